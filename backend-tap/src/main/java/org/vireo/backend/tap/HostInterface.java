// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.StatisticsSink;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/**
 * A network interface of this process's name space, by its name: requests of netdevice(7). Never used for an interface that was passed
 * as a descriptor, until {@link #isHere} has said that its name means the same interface here.
 */
final class HostInterface implements AutoCloseable {
    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCSIFFLAGS = 0x8914;
    private static final long SIOCGIFMTU = 0x8921;
    private static final long SIOCSIFMTU = 0x8922;
    private static final long SIOCGIFINDEX = 0x8933;
    private static final long SIOCETHTOOL = 0x8946;
    private static final long SIOCBRADDIF = 0x89a2;
    private static final long SIOCBRDELIF = 0x89a3;
    private static final int ETHTOOL_GLINK = 0x0a;
    private static final short IFF_UP = 1;
    private static final short IFF_RUNNING = 0x40;
    /** The columns of /proc/net/dev. */
    private static final String[] COUNTERS = {"rx-bytes", "rx-packets", "rx-errors", "rx-dropped", null, null, null, null, "tx-bytes",
        "tx-packets", "tx-errors", "tx-dropped"};

    private final Fd socket;
    private final String name;

    HostInterface(Fds fds, String name) throws IOException {
        int s = Posix.check(Posix.socket(Posix.AF_INET, Posix.SOCK_DGRAM, 0), "socket for requests about " + name);
        socket = fds.adopt(s, "requests about " + name);
        this.name = name;
    }

    /** Whether it exists. */
    boolean exists() throws PosixException {
        try {
            index();
            return true;
        } catch (PosixException e) {
            if (e.errno() == Errno.ENODEV) {
                return false;
            }
            throw e;
        }
    }

    /** Whether somebody has it open: a TAP has a carrier while a queue is attached. */
    boolean isRunning() throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            return (flags(TapIoctl.request(a, name)) & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
        }
    }

    /** Whether it is up and has a carrier. SIOCGIFFLAGS would not do: its IFF_RUNNING follows the carrier later. */
    boolean linkUp() throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            // struct ethtool_value
            MemorySegment value = a.allocate(8, 8);
            value.set(ValueLayout.JAVA_INT, 0, ETHTOOL_GLINK);
            MemorySegment r = TapIoctl.request(a, name);
            r.set(ValueLayout.ADDRESS, TapIoctl.NAME_BYTES, value);
            Posix.check(Posix.ioctl(socket.number(), SIOCETHTOOL, r), "link of " + name);
            return value.get(ValueLayout.JAVA_INT, 4) != 0;
        }
    }

    int index() throws PosixException {
        return integer(SIOCGIFINDEX, "index");
    }

    int mtu() throws PosixException {
        return integer(SIOCGIFMTU, "MTU");
    }

    void setMtu(int bytes) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = TapIoctl.request(a, name);
            r.set(ValueLayout.JAVA_INT, TapIoctl.NAME_BYTES, bytes);
            Posix.check(Posix.ioctl(socket.number(), SIOCSIFMTU, r), "set the MTU of " + name + " to " + bytes);
        }
    }

    void up() throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = TapIoctl.request(a, name);
            short flags = flags(r);
            if ((flags & IFF_UP) == 0) {
                r.set(ValueLayout.JAVA_SHORT, TapIoctl.NAME_BYTES, (short) (flags | IFF_UP));
                Posix.check(Posix.ioctl(socket.number(), SIOCSIFFLAGS, r), "bring " + name + " up");
            }
        }
    }

    /** Puts it into a bridge; nothing if it is there already. */
    void joinBridge(String bridge) throws PosixException {
        int result = askBridge(bridge, SIOCBRADDIF);
        if (result != -Errno.EBUSY || !Files.exists(Path.of("/sys/class/net", bridge, "brif", name))) {
            Posix.check(result, "put " + name + " into bridge " + bridge);
        }
    }

    /** Takes it out of a bridge; nothing if it is not in there. */
    void leaveBridge(String bridge) throws PosixException {
        int result = askBridge(bridge, SIOCBRDELIF);
        if (result != -Errno.EINVAL && result != -Errno.ENODEV) {
            Posix.check(result, "take " + name + " out of bridge " + bridge);
        }
    }

    private int askBridge(String bridge, long request) throws PosixException {
        int index = index();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = TapIoctl.request(a, bridge);
            r.set(ValueLayout.JAVA_INT, TapIoctl.NAME_BYTES, index);
            return Posix.ioctl(socket.number(), request, r);
        }
    }

    private short flags(MemorySegment r) throws PosixException {
        Posix.check(Posix.ioctl(socket.number(), SIOCGIFFLAGS, r), "flags of " + name);
        return r.get(ValueLayout.JAVA_SHORT, TapIoctl.NAME_BYTES);
    }

    private int integer(long request, String what) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = TapIoctl.request(a, name);
            Posix.check(Posix.ioctl(socket.number(), request, r), what + " of " + name);
            return r.get(ValueLayout.JAVA_INT, TapIoctl.NAME_BYTES);
        }
    }

    @Override
    public void close() {
        socket.close();
    }

    /**
     * Whether the interface of a TAP descriptor is in this process's name space, so that its name means the same to both.
     *
     * @param tap an attached descriptor
     * @param fds for the name space's descriptor
     * @return false also if the kernel does not tell (before 5.2, or without CAP_NET_ADMIN over the name space)
     */
    static boolean isHere(int tap, Fds fds) throws IOException {
        int n = TapIoctl.namespace(tap);
        if (n < 0) {
            return false;
        }
        Fd namespace = fds.adopt(n, "name space of a TAP");
        try {
            return Files.isSameFile(Path.of("/proc/self/fd/" + n), Path.of("/proc/thread-self/ns/net"));
        } finally {
            namespace.close();
        }
    }

    /** The kernel's counters, named as in /sys/class/net/X/statistics but with hyphens. None if the interface is gone. */
    static void counters(String name, StatisticsSink to) throws IOException {
        // not /sys: that shows the name space of whoever mounted it
        for (String line : Files.readAllLines(Path.of("/proc/thread-self/net/dev"))) {
            int colon = line.lastIndexOf(':');
            if (colon > 0 && line.substring(0, colon).strip().equals(name)) {
                String[] values = line.substring(colon + 1).strip().split("\\s+");
                for (int i = 0; i < COUNTERS.length && i < values.length; i++) {
                    if (COUNTERS[i] != null) {
                        to.counter(COUNTERS[i], Long.parseLong(values[i]));
                    }
                }
            }
        }
    }
}
