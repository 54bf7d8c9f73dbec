// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortBusyException;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/** Opens a TAP as its options say, by name or from passed descriptors. What fails leaves nothing behind. */
final class TapOpener {
    private static final Logger LOG = LoggerFactory.getLogger(TapOpener.class);

    private final TapOptions options;
    private final OpenContext context;
    private final List<Fd> queues = new ArrayList<>();
    private String name;
    private boolean created;
    private boolean shared;
    private boolean linkUp = true;

    private TapOpener(TapOptions options, OpenContext context) {
        this.options = options;
        this.context = context;
    }

    static OpenedTap open(TapOptions options, OpenContext context) throws NetdevException {
        if (options.queues() < context.pairs()) {
            throw new NetdevException(options.prefix() + "" + options.queues() + " queue pair(s), but the NIC has " + context.pairs()
                    + ": give queues=" + context.pairs() + " or as many fds, or the NIC fewer");
        }
        TapOpener o = new TapOpener(options, context);
        boolean done = false;
        try {
            OpenedTap tap = options.fds().isEmpty() ? o.byName() : o.passed();
            done = true;
            return tap;
        } catch (IOException e) {
            throw new NetdevException(options.prefix() + "cannot set up " + (o.name == null ? options.ifname() : o.name) + ": "
                    + e.getMessage(), e);
        } finally {
            if (!done) {
                o.queues.forEach(Fd::close);
            }
        }
    }

    private OpenedTap byName() throws NetdevException, IOException {
        boolean existed = false;
        if (!options.anyName()) {
            try (HostInterface host = new HostInterface(context.fds(), options.ifname())) {
                existed = host.exists();
                shared = existed && host.isRunning();
            }
        }
        attachAll();
        created = !existed;
        TapIoctl.Attachment a = TapIoctl.attachment(first());
        boolean vnetHdr = a.has(TapIoctl.IFF_VNET_HDR);
        if (options.vnetHdr() != null && options.vnetHdr() != vnetHdr) {
            throw new NetdevException(options.prefix() + "" + name + " is open elsewhere with vnet_hdr=" + (vnetHdr ? "on" : "off")
                    + ": close it there, or give the same here");
        }
        return configured(a);
    }

    private void attachAll() throws NetdevException, IOException {
        int flags = TapIoctl.IFF_TAP | TapIoctl.IFF_NO_PI | (options.queues() > 1 ? TapIoctl.IFF_MULTI_QUEUE : 0);
        Fd fd = device(options.ifname() + " queue 0");
        boolean canVnetHdr = (TapIoctl.features(fd.number()) & TapIoctl.IFF_VNET_HDR) != 0;
        if (Boolean.TRUE.equals(options.vnetHdr()) && !canVnetHdr) {
            throw new NetdevException(options.prefix() + "vnet_hdr=on: this kernel's TAPs have no virtio-net header: use off");
        }
        flags |= canVnetHdr && !Boolean.FALSE.equals(options.vnetHdr()) ? TapIoctl.IFF_VNET_HDR : 0;
        flags = attachFirst(fd.number(), flags);
        for (int i = 1; i < options.queues(); i++) {
            Fd q = device(name + " queue " + i);
            try {
                TapIoctl.setInterface(q.number(), name, flags);
            } catch (PosixException e) {
                throw explain(e, name);
            }
        }
    }

    private Fd device(String purpose) throws NetdevException {
        int n = Posix.open(TapIoctl.DEVICE, Posix.O_RDWR | Posix.O_NONBLOCK);
        if (n < 0) {
            String hint = switch (-n) {
                case Errno.ENOENT, Errno.ENODEV, Errno.ENXIO -> "the kernel has no TAP devices: modprobe tun";
                case Errno.EACCES, Errno.EPERM -> "give this user access to it (systemd: DeviceAllow=/dev/net/tun rw)";
                case Errno.EMFILE, Errno.ENFILE -> "raise the limit of open files (systemd: LimitNOFILE)";
                default -> "look at the device file";
            };
            throw new NetdevException(options.prefix() + "cannot open " + TapIoctl.DEVICE + ": " + Errno.text(-n) + ": " + hint);
        }
        Fd fd = context.fds().adopt(n, "netdev " + options.id() + " " + purpose);
        queues.add(fd);
        return fd;
    }

    /** Attaches the first queue; one that was made with the other kind of queues serves too if one pair is enough. */
    private int attachFirst(int fd, int flags) throws NetdevException {
        try {
            name = TapIoctl.setInterface(fd, options.ifname(), flags);
            return flags;
        } catch (PosixException e) {
            if (e.errno() != Errno.EINVAL) {
                throw explain(e, options.ifname());
            }
            int other = flags ^ TapIoctl.IFF_MULTI_QUEUE;
            try {
                name = TapIoctl.setInterface(fd, options.ifname(), other);
            } catch (PosixException second) {
                if (second.errno() == Errno.EINVAL) {
                    throw new NetdevException(options.prefix() + "interface " + options.ifname()
                            + " exists and is no TAP: choose another ifname, or delete it", e);
                }
                throw options.queues() > 1 ? singleQueue(e) : explain(second, options.ifname());
            }
            if (options.queues() > 1) {
                throw singleQueue(e);
            }
            return other;
        }
    }

    private NetdevException singleQueue(PosixException e) {
        return new NetdevException(options.prefix() + "interface " + options.ifname() + " has a single queue, but queues="
                + options.queues() + ": make it anew (ip tuntap add dev " + options.ifname() + " mode tap multi_queue), or give queues=1",
                        e);
    }

    private NetdevException explain(PosixException e, String ifname) {
        String hint = switch (e.errno()) {
            case Errno.EBUSY -> "another process has it open, and it has a single queue: end that process, or choose another interface";
            case Errno.EPERM, Errno.EACCES -> "this process may not: give it CAP_NET_ADMIN, or make the interface for its user"
                    + " (ip tuntap add dev " + ifname + " mode tap user NAME)";
            case Errno.E2BIG -> "all queues of the interface are in use: give fewer queues";
            case Errno.ENODEV -> "no interface can have this name: choose another ifname";
            default -> "look at it with: ip -d link show " + ifname;
        };
        String message = options.prefix() + "cannot open interface " + ifname + ": " + Errno.text(e.errno()) + ": " + hint;
        boolean busy = e.errno() == Errno.EBUSY || e.errno() == Errno.E2BIG;
        return busy ? new PortBusyException(message, e) : new NetdevException(message, e);
    }

    private OpenedTap passed() throws NetdevException, IOException {
        TapIoctl.Attachment of = null;
        for (int number : options.fds()) {
            TapIoctl.Attachment a = adopt(number);
            if (of != null && !of.equals(a)) {
                throw passedWrong(number, "is a queue of " + a.name() + ", the first one of " + of.name()
                        + " or with other flags: pass queues of one");
            }
            of = a;
        }
        name = of.name();
        if (options.fds().size() > 1 && !of.has(TapIoctl.IFF_MULTI_QUEUE)) {
            throw passedWrong(options.fds().getLast(), "is a queue of the single-queue interface " + name + ": pass one descriptor only");
        }
        // somebody made it for us: nobody else reads it
        return configured(of);
    }

    /** Takes a duplicate: the number stays with whoever passed it, so it is never closed twice. */
    private TapIoctl.Attachment adopt(int number) throws NetdevException, IOException {
        if (!Posix.isOpen(number)) {
            throw passedWrong(number, "is not open in this process: pass it when the process is started, or over its socket");
        }
        Fd fd = context.fds().adopt(Posix.check(Posix.duplicate(number), "duplicate descriptor " + number),
                "netdev " + options.id() + " queue " + queues.size());
        queues.add(fd);
        TapIoctl.Attachment a;
        try {
            a = attachment(fd.number());
        } catch (PosixException e) {
            throw passedWrong(number, "is not an open TAP (" + Errno.text(e.errno())
                    + "): open /dev/net/tun and attach it with TUNSETIFF", e);
        }
        if (!a.has(TapIoctl.IFF_TAP)) {
            throw passedWrong(number, "is a TUN of interface " + a.name() + ", without Ethernet header: pass a TAP");
        }
        // whether it was made with IFF_NO_PI cannot be asked: TUNGETIFF gives that bit another meaning
        Posix.check(Posix.setNonBlocking(fd.number()), "make descriptor " + number + " non-blocking");
        return a;
    }

    /** What the descriptor is a queue of; a detached one is attached. */
    private static TapIoctl.Attachment attachment(int fd) throws PosixException {
        TapIoctl.Attachment a = TapIoctl.attachment(fd);
        if (a.has(TapIoctl.IFF_DETACH_QUEUE)) {
            TapIoctl.attach(fd);
        }
        return new TapIoctl.Attachment(a.name(), a.flags() & ~TapIoctl.IFF_DETACH_QUEUE);
    }

    private NetdevException passedWrong(int number, String why) {
        return passedWrong(number, why, null);
    }

    private NetdevException passedWrong(int number, String why, Exception cause) {
        return new NetdevException(options.prefix() + "descriptor " + number + " " + why, cause);
    }

    private int first() {
        return queues.getFirst().number();
    }

    private OpenedTap configured(TapIoctl.Attachment a) throws NetdevException, IOException {
        boolean vnetHdr = a.has(TapIoctl.IFF_VNET_HDR);
        if (options.sndbuf() >= 0) {
            TapIoctl.setSendBuffer(first(), options.sendBuffer());
        }
        OffloadProbe probe = !vnetHdr ? OffloadProbe.NONE : shared ? OffloadProbe.aside(context.fds()) : OffloadProbe.here(first());
        int header = vnetHdr ? header() : 0;
        int offload = vnetHdr && shared ? TapControl.UNKNOWN : 0;
        for (int i = 1; i < queues.size(); i++) {
            TapIoctl.detach(queues.get(i).number());
        }
        int mtu = outside();
        TapFacts facts = new TapFacts(name, vnetHdr, probe.ufo(), probe.uso(), probe.tunnel(), mtu,
                a.has(TapIoctl.IFF_PERSIST));
        LOG.info("netdev {}: opened {} with {} queue pair(s), {}", options.id(), name, queues.size(), facts);
        return new OpenedTap(facts, List.copyOf(queues), header, offload, linkUp);
    }

    private int header() throws PosixException {
        int bytes = TapIoctl.headerLength(first());
        if (bytes != 10 && bytes != 12) {
            TapIoctl.setHeaderLength(first(), 12);
            return 12;
        }
        return bytes;
    }

    /** What concerns the interface as others see it; returns its MTU, 0 where it cannot be read, and looks at its link. */
    private int outside() throws NetdevException, IOException {
        if (!options.fds().isEmpty() && !HostInterface.isHere(first(), context.fds())) {
            return 0;
        }
        try (HostInterface host = new HostInterface(context.fds(), name)) {
            if (options.mtu() != 0) {
                host.setMtu(options.mtu());
            }
            if (options.bridge() != null) {
                joinBridge(host, options, name);
            }
            if (options.script() != null) {
                DutyScript.run(options.id(), "script", options.script(), name, context.deadlineNanos());
            } else if (created) {
                host.up();
                LOG.info("netdev {}: made interface {} and brought it up, since no script does", options.id(), name);
            }
            linkUp = host.linkUp();
            int mtu = host.mtu();
            return mtu < 68 || mtu > 65535 ? 0 : mtu;
        }
    }

    /** Puts an interface into the bridge that is configured. */
    static void joinBridge(HostInterface host, TapOptions options, String name) throws NetdevException {
        try {
            host.joinBridge(options.bridge());
        } catch (PosixException e) {
            String hint = switch (e.errno()) {
                case Errno.ENODEV -> "there is no such bridge: ip link add " + options.bridge() + " type bridge";
                case Errno.EBUSY -> "the interface is in another bridge: ip link set " + name + " nomaster";
                case Errno.EPERM -> "this process may not: give it CAP_NET_ADMIN, or put the interface there beforehand and leave br= out";
                case Errno.EOPNOTSUPP, Errno.EINVAL -> "that is no bridge";
                default -> "look at both with: ip -d link show";
            };
            throw new NetdevException(options.prefix() + "cannot put " + name + " into br=" + options.bridge() + ": "
                    + Errno.text(e.errno()) + ": " + hint, e);
        }
    }
}
