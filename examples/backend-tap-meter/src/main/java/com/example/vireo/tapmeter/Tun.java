// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/** The requests of a TAP descriptor that a meter needs (linux/if_tun.h). They may take long: control threads only. */
final class Tun {
    static final int IFF_TAP = 0x0002;
    static final int IFF_MULTI_QUEUE = 0x0100;
    static final int IFF_NO_PI = 0x1000;
    static final int IFF_VNET_HDR = 0x4000;

    private static final long TUNSETIFF = 0x400454caL;
    private static final long TUNSETOFFLOAD = 0x400454d0L;
    private static final long TUNGETIFF = 0x800454d2L;
    private static final long TUNSETSNDBUF = 0x400454d4L;
    private static final long TUNGETVNETHDRSZ = 0x800454d7L;
    private static final long TUNSETVNETHDRSZ = 0x400454d8L;
    private static final long TUNSETQUEUE = 0x400454d9L;
    private static final int IFF_ATTACH_QUEUE = 0x0200;
    private static final int IFF_DETACH_QUEUE = 0x0400;
    private static final int FLAGS = 16;

    private Tun() {
    }

    static Fd open(Fds fds, String purpose) throws PosixException {
        return fds.adopt(Posix.check(Posix.open("/dev/net/tun", Posix.O_RDWR | Posix.O_NONBLOCK), "open /dev/net/tun"), purpose);
    }

    static void attachTo(Fd fd, String name, int flags) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            Posix.check(Posix.ioctl(fd.number(), TUNSETIFF, request(a, name, flags)), "TUNSETIFF " + name);
        }
    }

    /** The interface's name now, in its own name space. */
    static String name(Fd fd) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            return get(a, fd).getString(0);
        }
    }

    /** Whether the kernel gives this queue frames. */
    static boolean isAttached(Fd fd) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            return (get(a, fd).get(ValueLayout.JAVA_SHORT, FLAGS) & IFF_DETACH_QUEUE) == 0;
        }
    }

    static void attach(Fd fd, boolean on) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            Posix.check(Posix.ioctl(fd.number(), TUNSETQUEUE, request(a, "", on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE)),
                    on ? "attach a queue" : "detach a queue");
        }
    }

    static int headerLength(Fd fd) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(4, 4);
            Posix.check(Posix.ioctl(fd.number(), TUNGETVNETHDRSZ, m), "TUNGETVNETHDRSZ");
            return m.get(ValueLayout.JAVA_INT, 0);
        }
    }

    static void headerLength(Fd fd, int bytes) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            Posix.check(Posix.ioctl(fd.number(), TUNSETVNETHDRSZ, a.allocateFrom(ValueLayout.JAVA_INT, bytes)), "TUNSETVNETHDRSZ " + bytes);
        }
    }

    static void sendBuffer(Fd fd, int bytes) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            Posix.check(Posix.ioctl(fd.number(), TUNSETSNDBUF, a.allocateFrom(ValueLayout.JAVA_INT, bytes)), "TUNSETSNDBUF " + bytes);
        }
    }

    static void offload(Fd fd, int bits) throws PosixException {
        Posix.check(Posix.ioctl(fd.number(), TUNSETOFFLOAD, bits), "TUNSETOFFLOAD 0x" + Integer.toHexString(bits));
    }

    private static MemorySegment get(Arena a, Fd fd) throws PosixException {
        MemorySegment r = request(a, "", 0);
        Posix.check(Posix.ioctl(fd.number(), TUNGETIFF, r), "TUNGETIFF");
        return r;
    }

    /** struct ifreq. */
    private static MemorySegment request(Arena a, String name, int flags) {
        MemorySegment r = a.allocate(40, 8);
        r.setString(0, name);
        r.set(ValueLayout.JAVA_SHORT, FLAGS, (short) flags);
        return r;
    }
}
