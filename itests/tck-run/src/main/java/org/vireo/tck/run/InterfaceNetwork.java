// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.tck.BackendFixture;
import org.vireo.testsupport.Await;

/**
 * An interface of the host at which the netdev's frames come out: a packet socket (packet(7)) there sees what the guest transmits, and
 * sends what it is to receive. The netdev may make the interface when it is opened.
 */
final class InterfaceNetwork implements BackendFixture.Network {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int AF_PACKET = 17;
    private static final int SOCK_RAW = 3;
    private static final short ETH_P_ALL = 0x0300;
    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCSIFFLAGS = 0x8914;
    private static final int IFF_UP = 1;
    private static final int IFREQ = 40;
    private static final int FLAGS = 16;
    private static final int MOST = 64 * 1024;
    private static final int BUFFER = 8 << 20;
    /** What a netdev could change of an interface; the number goes with the interface. */
    private static final List<String> OBSERVED = List.of("address", "flags", "mtu", "tun_flags", "tx_queue_len", "type", "owner", "group",
            "ifalias", "link_mode", "brport/state");

    private final String name;
    private final Map<String, ?> options;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);
    private Fd socket;
    private int index;

    InterfaceNetwork(String name, Map<String, ?> options) {
        this.name = name;
        this.options = options;
        attach();
    }

    /** Listens at the interface, if it is there. */
    private void attach() {
        int now = Files.exists(file("ifindex")) ? Integer.parseInt(read("ifindex")) : 0;
        if (now == index || now == 0) {
            return;
        }
        close();
        int fd = Posix.socket(AF_PACKET, SOCK_RAW | Posix.O_NONBLOCK, 0);
        Assumptions.assumeTrue(fd != -Errno.EPERM, "a packet socket at " + name + " needs CAP_NET_RAW (run as root)");
        try {
            socket = new Descriptors().adopt(Posix.check(fd, "packet socket"), "packet socket at " + name);
            UnixSockets.receiveBuffer(socket, BUFFER);
            try (Arena a = Arena.ofConfined()) {
                MemorySegment address = a.allocate(20, 4); // struct sockaddr_ll
                address.set(ValueLayout.JAVA_SHORT, 0, (short) AF_PACKET);
                address.set(ValueLayout.JAVA_SHORT, 2, ETH_P_ALL);
                address.set(ValueLayout.JAVA_INT, 4, now);
                Posix.check(Posix.bind(socket.number(), address), "bind to " + name);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("cannot listen at interface " + name, e);
        }
        index = now;
    }

    @Override
    public void opened() {
        attach();
        if (index == 0) {
            throw new AssertionError("there is no interface " + name + " though the netdev is open: --network names the one where its"
                    + " frames come out");
        }
        boolean up = setUp(false);
        if (!up) {
            silence();
            setUp(true);
        }
    }

    /** The kernel's own frames would only be in the way. */
    private void silence() {
        Path file = Path.of("/proc/sys/net/ipv6/conf", name, "disable_ipv6");
        try {
            if (Files.exists(file)) {
                Files.writeString(file, "1");
            }
        } catch (IOException e) {
            // then there are more frames, which are told apart
            return;
        }
    }

    /** Whether it is up; brings it up if asked to. */
    private boolean setUp(boolean change) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = a.allocate(IFREQ, 8);
            r.setString(0, name);
            Posix.check(Posix.ioctl(socket.number(), SIOCGIFFLAGS, r), "SIOCGIFFLAGS " + name);
            int flags = r.get(ValueLayout.JAVA_SHORT, FLAGS);
            if (change) {
                r.set(ValueLayout.JAVA_SHORT, FLAGS, (short) (flags | IFF_UP));
                int result = Posix.ioctl(socket.number(), SIOCSIFFLAGS, r);
                Assumptions.assumeTrue(result != -Errno.EPERM, name + " is down, and bringing it up needs CAP_NET_ADMIN (run as root)");
                Posix.check(result, "SIOCSIFFLAGS " + name);
            }
            return (flags & IFF_UP) != 0;
        } catch (IOException e) {
            throw new UncheckedIOException("interface " + name, e);
        }
    }

    @Override
    public Map<String, ?> options() {
        return options;
    }

    @Override
    public void send(byte[] frame) {
        // the kernel notices a new carrier a little later, and drops what is sent before
        Await.until(LIMIT, "interface " + name + " is operational, not " + read("operstate"),
                () -> List.of("up", "unknown").contains(read("operstate")));
        MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, 0, frame.length);
        long n = Posix.write(socket.number(), buffer.address(), frame.length);
        if (n != frame.length) {
            throw new AssertionError("cannot send a frame of " + frame.length + " bytes to " + name + ": " + Errno.text((int) -n));
        }
    }

    @Override
    public byte[] take(Duration limit) {
        if (Poll.readable((int) limit.toMillis(), socket.number()) == 0) {
            return null;
        }
        long n = Posix.read(socket.number(), buffer.address(), MOST);
        if (n < 0 && n != -Errno.EAGAIN) {
            throw new AssertionError("cannot read from " + name + ": " + Errno.text((int) -n));
        }
        return n < 0 ? null : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
    }

    @Override
    public String observe() {
        StringBuilder s = new StringBuilder(name);
        for (String what : OBSERVED) {
            if (Files.exists(file(what))) {
                s.append(' ').append(what).append('=').append(read(what));
            }
        }
        return s.toString();
    }

    private Path file(String what) {
        return Path.of("/sys/class/net", name, what);
    }

    private String read(String what) {
        try {
            return Files.readString(file(what)).strip();
        } catch (IOException e) {
            return "unreadable";
        }
    }

    @Override
    public void close() {
        if (socket != null) {
            socket.close();
        }
    }
}
