// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/** What is asked of the kernel about packet sockets and their interface: packet(7), netdevice(7). Control threads only. */
final class PacketSocket {
    private static final int SOL_SOCKET = 1;
    private static final int SO_RCVBUF = 8;
    private static final int SO_RCVBUFFORCE = 33;
    static final int SOL_PACKET = 263;
    private static final int PACKET_ADD_MEMBERSHIP = 1;
    private static final int PACKET_STATISTICS = 6;
    private static final int PACKET_AUXDATA = 8;
    private static final int PACKET_VNET_HDR = 15;
    private static final int PACKET_QDISC_BYPASS = 20;
    private static final int PACKET_IGNORE_OUTGOING = 23;
    private static final int PACKET_MR_PROMISC = 1;
    private static final short ETH_P_ALL = 3;
    private static final ValueLayout.OfShort NETWORK_SHORT = ValueLayout.JAVA_SHORT.withOrder(ByteOrder.BIG_ENDIAN);

    private static final long SIOCGIFNAME = 0x8910;
    private static final long SIOCGIFFLAGS = 0x8913;
    private static final long SIOCGIFMTU = 0x8921;
    private static final long SIOCGIFHWADDR = 0x8927;
    private static final long SIOCGIFINDEX = 0x8933;
    private static final long SIOCETHTOOL = 0x8946;
    private static final int ETHTOOL_GLINK = 0x0a;
    private static final int IFF_UP = 1;
    private static final int ARPHRD_ETHER = 1;
    private static final int NAME_BYTES = 16;
    private static final int IFREQ_BYTES = 40;
    private static final int MOST_DRAINED = 100_000;

    private PacketSocket() {
    }

    /** A socket that gets no frame yet. */
    static Fd create(PacketOptions options, Fds fds, int queue) throws NetdevException {
        // protocol 0: nothing arrives before it is bound
        int n = Posix.socket(Posix.AF_PACKET, Posix.SOCK_RAW | Posix.SOCK_NONBLOCK, 0);
        if (n < 0) {
            String hint = switch (-n) {
                case Errno.EPERM, Errno.EACCES -> "give this process CAP_NET_RAW (systemd: AmbientCapabilities=CAP_NET_RAW)";
                case Errno.EMFILE, Errno.ENFILE -> "raise the limit of open files (systemd: LimitNOFILE)";
                default -> "does this kernel have packet sockets (CONFIG_PACKET)?";
            };
            throw new NetdevException(options.prefix() + "cannot make a packet socket: " + Errno.text(-n) + ": " + hint);
        }
        return fds.adopt(n, "netdev " + options.id() + " queue " + queue);
    }

    /** Looks at the interface through a socket, in whose name space it is. */
    static PacketFacts look(Fd socket, PacketOptions options) throws NetdevException, PosixException {
        String name = options.ifname();
        try (Arena a = Arena.ofConfined()) {
            int index = request(a, socket, SIOCGIFINDEX, name, "interface " + name).get(ValueLayout.JAVA_INT, NAME_BYTES);
            int kind = request(a, socket, SIOCGIFHWADDR, name, "address of " + name).get(ValueLayout.JAVA_SHORT, NAME_BYTES);
            if (kind != ARPHRD_ETHER) {
                throw new NetdevException(options.prefix() + "ifname=" + name + " is no Ethernet interface (ARPHRD type " + kind
                        + "): choose another one");
            }
            short flags = request(a, socket, SIOCGIFFLAGS, name, "flags of " + name).get(ValueLayout.JAVA_SHORT, NAME_BYTES);
            if ((flags & IFF_UP) == 0) {
                throw new NetdevException(options.prefix() + "interface " + name + " is down: ip link set " + name + " up");
            }
            int mtu = request(a, socket, SIOCGIFMTU, name, "MTU of " + name).get(ValueLayout.JAVA_INT, NAME_BYTES);
            return new PacketFacts(name, index, mtu < 68 || mtu > 65535 ? 0 : mtu, carrier(a, socket, name));
        }
    }

    private static boolean carrier(Arena a, Fd socket, String name) throws PosixException {
        // struct ethtool_value
        MemorySegment value = a.allocate(8, 8);
        value.set(ValueLayout.JAVA_INT, 0, ETHTOOL_GLINK);
        MemorySegment r = ifreq(a, name);
        r.set(ValueLayout.ADDRESS, NAME_BYTES, value);
        int result = Posix.ioctl(socket.number(), SIOCETHTOOL, r);
        if (result == -Errno.EOPNOTSUPP) {
            return true;
        }
        Posix.check(result, "link of " + name);
        return value.get(ValueLayout.JAVA_INT, 4) != 0;
    }

    /** The name that an interface has now. */
    static String nameOf(Fd socket, int index) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment r = ifreq(a, "");
            r.set(ValueLayout.JAVA_INT, NAME_BYTES, index);
            Posix.check(Posix.ioctl(socket.number(), SIOCGIFNAME, r), "name of interface " + index);
            return r.getString(0);
        }
    }

    /** How frames come and go, before the socket is bound. */
    static void prepare(Fd socket, PacketOptions options) throws PosixException {
        int s = socket.number();
        // 10 bytes before each frame: checksum and segmentation offloads
        set(s, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
        // VLAN tags, which the kernel takes out of frames
        set(s, PACKET_AUXDATA, 1, "PACKET_AUXDATA");
        set(s, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING (Linux 4.20)");
        if (options.qdiscBypass()) {
            set(s, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
        }
        if (Posix.setSocketOption(s, SOL_SOCKET, SO_RCVBUFFORCE, options.rcvbuf()) < 0) {
            // without CAP_NET_ADMIN: as much as net.core.rmem_max allows
            Posix.check(Posix.setSocketOption(s, SOL_SOCKET, SO_RCVBUF, options.rcvbuf()), "SO_RCVBUF");
        }
    }

    /** From now on frames arrive. */
    static void bind(Fd socket, int index) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            // struct sockaddr_ll
            MemorySegment address = a.allocate(20, 4);
            address.set(ValueLayout.JAVA_SHORT, 0, (short) Posix.AF_PACKET);
            address.set(NETWORK_SHORT, 2, ETH_P_ALL);
            address.set(ValueLayout.JAVA_INT, 4, index);
            Posix.check(Posix.bind(socket.number(), address), "bind to interface " + index);
        }
    }

    /** The interface takes frames for any address as long as this socket is open. */
    static void promiscuous(Fd socket, int index) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            // struct packet_mreq
            MemorySegment m = a.allocate(16, 4);
            m.set(ValueLayout.JAVA_INT, 0, index);
            m.set(ValueLayout.JAVA_SHORT, 4, (short) PACKET_MR_PROMISC);
            Posix.check(Posix.setSocketOption(socket.number(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, m), "PACKET_MR_PROMISC");
        }
    }

    /** Frames that a socket had no room for since this was asked the last time. */
    static long dropped(Fd socket) throws PosixException {
        try (Arena a = Arena.ofConfined()) {
            // struct tpacket_stats
            MemorySegment m = a.allocate(8, 4);
            Posix.check(Posix.getSocketOption(socket.number(), SOL_PACKET, PACKET_STATISTICS, m), "PACKET_STATISTICS");
            return Integer.toUnsignedLong(m.get(ValueLayout.JAVA_INT, 4));
        }
    }

    /** Throws away what waits in a socket. */
    static void drain(Fd socket) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment one = a.allocate(64);
            long n = 0;
            // bounded: more may come all the time
            for (int i = 0; i < MOST_DRAINED && n != -Errno.EAGAIN; i++) {
                n = Posix.read(socket.number(), one.address(), one.byteSize());
            }
        }
    }

    private static void set(int socket, int option, int value, String what) throws PosixException {
        Posix.check(Posix.setSocketOption(socket, SOL_PACKET, option, value), what);
    }

    private static MemorySegment request(Arena a, Fd socket, long request, String name, String what) throws PosixException {
        MemorySegment r = ifreq(a, name);
        Posix.check(Posix.ioctl(socket.number(), request, r), what);
        return r;
    }

    private static MemorySegment ifreq(Arena a, String name) {
        MemorySegment r = a.allocate(IFREQ_BYTES, 8);
        r.setString(0, name);
        return r;
    }
}
