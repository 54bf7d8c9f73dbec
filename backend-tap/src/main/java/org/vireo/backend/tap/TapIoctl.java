// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/**
 * The requests of a TAP descriptor ({@code linux/if_tun.h}). All take the kernel's RTNL lock, which a busy host may hold for long: never
 * on a worker. A detached queue answers them too; once the interface is deleted they fail with EBADFD.
 */
final class TapIoctl {
    static final String DEVICE = "/dev/net/tun";

    static final int IFF_TAP = 0x0002;
    static final int IFF_MULTI_QUEUE = 0x0100;
    /** In an answer: the queue is detached. */
    static final int IFF_DETACH_QUEUE = 0x0400;
    /** In an answer: the interface stays when its last descriptor is closed. */
    static final int IFF_PERSIST = 0x0800;
    static final int IFF_NO_PI = 0x1000;
    static final int IFF_VNET_HDR = 0x4000;

    static final int TUN_F_CSUM = 0x01;
    static final int TUN_F_TSO4 = 0x02;
    static final int TUN_F_TSO6 = 0x04;
    static final int TUN_F_TSO_ECN = 0x08;
    static final int TUN_F_UFO = 0x10;
    static final int TUN_F_USO4 = 0x20;
    static final int TUN_F_USO6 = 0x40;
    static final int TUN_F_UDP_TUNNEL_GSO = 0x80;

    static final int NAME_BYTES = 16;
    static final int IFREQ_BYTES = 40;

    private static final long TUNSETIFF = 0x400454caL;
    private static final long TUNGETFEATURES = 0x800454cfL;
    private static final long TUNSETOFFLOAD = 0x400454d0L;
    private static final long TUNGETIFF = 0x800454d2L;
    private static final long TUNGETSNDBUF = 0x800454d3L;
    private static final long TUNSETSNDBUF = 0x400454d4L;
    private static final long TUNGETVNETHDRSZ = 0x800454d7L;
    private static final long TUNSETVNETHDRSZ = 0x400454d8L;
    private static final long TUNSETQUEUE = 0x400454d9L;
    private static final long TUNGETDEVNETNS = 0x54e3L;
    private static final short IFF_ATTACH_QUEUE = 0x0200;

    private TapIoctl() {
    }

    /**
     * What a descriptor is attached to.
     *
     * @param name the interface's name, in the interface's own name space
     * @param flags IFF_...
     */
    record Attachment(String name, int flags) {
        boolean has(int flag) {
            return (flags & flag) == flag;
        }
    }

    /** TUNSETIFF: the name that the kernel gave. */
    static String setInterface(int fd, String name, int flags) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = request(a, name);
            r.set(ValueLayout.JAVA_SHORT, NAME_BYTES, (short) flags);
            Posix.check(Posix.ioctl(fd, TUNSETIFF, r), "TUNSETIFF " + name);
            return r.getString(0);
        }
    }

    /** TUNGETIFF. */
    static Attachment attachment(int fd) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = request(a, "");
            Posix.check(Posix.ioctl(fd, TUNGETIFF, r), "TUNGETIFF of descriptor " + fd);
            return new Attachment(r.getString(0), Short.toUnsignedInt(r.get(ValueLayout.JAVA_SHORT, NAME_BYTES)));
        }
    }

    /** TUNGETFEATURES: the IFF_ flags that this kernel knows. */
    static int features(int fd) throws PosixException {
        return get(fd, TUNGETFEATURES, "TUNGETFEATURES");
    }

    /** TUNGETVNETHDRSZ. */
    static int headerLength(int fd) throws PosixException {
        return get(fd, TUNGETVNETHDRSZ, "TUNGETVNETHDRSZ");
    }

    /** TUNSETVNETHDRSZ; belongs to the interface. */
    static void setHeaderLength(int fd, int bytes) throws PosixException {
        set(fd, TUNSETVNETHDRSZ, bytes, "TUNSETVNETHDRSZ " + bytes);
    }

    /** TUNGETSNDBUF. */
    static int sendBuffer(int fd) throws PosixException {
        return get(fd, TUNGETSNDBUF, "TUNGETSNDBUF");
    }

    /** TUNSETSNDBUF; belongs to the interface. */
    static void setSendBuffer(int fd, int bytes) throws PosixException {
        set(fd, TUNSETSNDBUF, bytes, "TUNSETSNDBUF " + bytes);
    }

    /** TUNSETOFFLOAD with TUN_F_ bits; belongs to the interface. A refusal changes nothing. */
    static void setOffload(int fd, int bits) throws PosixException {
        Posix.check(Posix.ioctl(fd, TUNSETOFFLOAD, bits), "TUNSETOFFLOAD 0x" + Integer.toHexString(bits));
    }

    /** TUNSETQUEUE: the kernel gives this queue frames again. */
    static void attach(int fd) throws PosixException {
        queue(fd, IFF_ATTACH_QUEUE, "TUNSETQUEUE attach");
    }

    /** TUNSETQUEUE: the kernel gives this queue no more frames. */
    static void detach(int fd) throws PosixException {
        queue(fd, (short) IFF_DETACH_QUEUE, "TUNSETQUEUE detach");
    }

    /** TUNGETDEVNETNS: a descriptor of the interface's name space, to be adopted at once, or the negative errno. */
    static int namespace(int fd) {
        return Posix.ioctl(fd, TUNGETDEVNETNS, 0);
    }

    /** Whether an errno of readv or writev says that the interface is gone for good. */
    static boolean gone(int errno) {
        return errno == Errno.EBADFD || errno == Errno.EBADF || errno == Errno.ENODEV || errno == Errno.ENXIO;
    }

    static MemorySegment request(Arena a, String name) {
        MemorySegment r = a.allocate(IFREQ_BYTES, 8);
        byte[] bytes = name.getBytes(StandardCharsets.US_ASCII);
        MemorySegment.copy(bytes, 0, r, ValueLayout.JAVA_BYTE, 0, Math.min(bytes.length, NAME_BYTES - 1));
        return r;
    }

    private static void queue(int fd, short flag, String what) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = request(a, "");
            r.set(ValueLayout.JAVA_SHORT, NAME_BYTES, flag);
            Posix.check(Posix.ioctl(fd, TUNSETQUEUE, r), what);
        }
    }

    private static int get(int fd, long request, String what) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(8, 8);
            Posix.check(Posix.ioctl(fd, request, m), what);
            return m.get(ValueLayout.JAVA_INT, 0);
        }
    }

    private static void set(int fd, long request, int value, String what) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(8, 8);
            m.set(ValueLayout.JAVA_INT, 0, value);
            Posix.check(Posix.ioctl(fd, request, m), what);
        }
    }
}
