// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/**
 * The state "packet", version 1. A section for each queue pair:
 * <pre>
 * fd       descriptor  a packet socket, bound, with PACKET_VNET_HDR, in a fanout group if there are several
 * enabled  flag        frames may come to this pair
 * </pre>
 * The port's section has the {@code ifindex} (number), the settings that are in force, {@code header_length} and {@code guest_offloads}
 * (numbers), what the sockets were made with, {@code promisc}, {@code qdisc_bypass} (flags) and {@code rcvbuf} (number), and what a reader
 * may do without: {@code ifname} (text), {@code mtu} (number), {@code link_up} (flag). Frames wait in the sockets.
 */
final class PacketState {
    static final String TYPE = "packet";
    static final StateFormat FORMAT = StateFormat.of(TYPE, 1, 1).build();

    private static final String FD = "fd";
    private static final String ENABLED = "enabled";
    private static final Set<String> QUEUE_FIELDS = Set.of(FD, ENABLED);
    private static final String IFINDEX = "ifindex";
    private static final String IFNAME = "ifname";
    private static final String MTU = "mtu";
    private static final String LINK_UP = "link_up";
    private static final String HEADER_LENGTH = "header_length";
    private static final String GUEST_OFFLOADS = "guest_offloads";
    private static final String PROMISC = "promisc";
    private static final String QDISC_BYPASS = "qdisc_bypass";
    private static final String RCVBUF = "rcvbuf";
    private static final Set<String> PORT_FIELDS = Set.of(IFINDEX, IFNAME, MTU, LINK_UP, HEADER_LENGTH, GUEST_OFFLOADS, PROMISC,
            QDISC_BYPASS, RCVBUF);

    private PacketState() {
    }

    static BackendState save(String id, PacketPort port) throws StateTransferException {
        List<Fd> duplicates = new ArrayList<>();
        List<Section> queues = new ArrayList<>();
        try {
            for (Fd fd : port.sockets()) {
                int i = queues.size();
                duplicates.add(fd.duplicate());
                queues.add(Section.builder("queue " + i).descriptor(FD, duplicates.getLast()).flag(ENABLED, port.settings().enabled(i)).build());
            }
        } catch (IOException e) {
            duplicates.forEach(Fd::close);
            throw new StateTransferException("netdev " + id + ": cannot save " + port.facts().name() + ": " + e.getMessage(), e);
        }
        PacketFacts f = port.facts();
        PacketOptions o = port.options();
        return BackendState.of(TYPE, 1, Section.builder("port").number(IFINDEX, f.index())
                .number(HEADER_LENGTH, port.settings().headerLength()).number(GUEST_OFFLOADS, port.settings().guestOffloads())
                .flag(PROMISC, o.promisc()).flag(QDISC_BYPASS, o.qdiscBypass()).number(RCVBUF, o.rcvbuf())
                .text(IFNAME, f.name()).optional(IFNAME)
                .number(MTU, f.mtu()).optional(MTU).flag(LINK_UP, f.linkUp()).optional(LINK_UP).build(), queues);
    }

    /** Makes a port. Looks at values only: the sockets are somebody else's. */
    static PacketPort load(PacketOptions options, BackendState state, OpenContext context) throws StateTransferException {
        if (!FORMAT.canRead(state.type(), state.version())) {
            throw new StateTransferException(options.prefix() + "state " + state.type() + " version " + state.version()
                    + " cannot be read, only " + FORMAT.reads());
        }
        int found = state.queues().size();
        if (found != options.queues() || found < context.pairs()) {
            throw new StateTransferException(options.prefix() + "the state has " + found + " queue pair(s), the configuration "
                    + options.queues() + ", the NIC " + context.pairs() + ": give all the same queues=");
        }
        PacketFacts facts = facts(options, state.port());
        BitSet enabled = new BitSet();
        for (int i = 0; i < found; i++) {
            Section q = state.queues().get(i);
            q.requireKnown(QUEUE_FIELDS);
            enabled.set(i, q.flag(ENABLED));
            Fd fd = q.descriptor(FD);
            if (!fd.isOpen() || !Posix.isOpen(fd.number())) {
                throw new StateTransferException(q.name(), FD, "an open descriptor", "a closed one");
            }
        }
        checkUnchanged(options, state.port());
        PortSettings settings = settings(state.port(), enabled);
        return PacketPort.loaded(options, context, facts, duplicates(options, state), settings);
    }

    /** They belong to the sockets: other ones would be another netdev. */
    private static void checkUnchanged(PacketOptions options, Section p) throws StateTransferException {
        require(options, p, PROMISC, String.valueOf(options.promisc()), String.valueOf(p.flag(PROMISC)));
        require(options, p, QDISC_BYPASS, String.valueOf(options.qdiscBypass()), String.valueOf(p.flag(QDISC_BYPASS)));
        require(options, p, RCVBUF, String.valueOf(options.rcvbuf()), String.valueOf(p.number(RCVBUF)));
    }

    private static void require(PacketOptions options, Section p, String field, String wanted, String is) throws StateTransferException {
        if (!wanted.equals(is)) {
            throw new StateTransferException(p.name(), field, wanted + ", as " + field + "= of netdev " + options.id()
                    + " says, which cannot be changed while it is open", is);
        }
    }

    private static PortSettings settings(Section p, BitSet enabled) throws StateTransferException {
        long header = p.number(HEADER_LENGTH);
        if (header != 10 && header != 12) {
            throw new StateTransferException(p.name(), HEADER_LENGTH, "10 or 12", "the number " + header);
        }
        return PortSettings.of((int) header, p.number(GUEST_OFFLOADS), enabled);
    }

    private static PacketFacts facts(PacketOptions options, Section p) throws StateTransferException {
        p.requireKnown(PORT_FIELDS);
        long index = p.number(IFINDEX);
        if (index < 1 || index > Integer.MAX_VALUE) {
            throw new StateTransferException(p.name(), IFINDEX, "the number of an interface", "the number " + index);
        }
        long mtu = p.has(MTU) ? p.number(MTU) : 0;
        if (mtu != 0 && (mtu < 68 || mtu > 65535)) {
            throw new StateTransferException(p.name(), MTU, "0 or 68 to 65535", "the number " + mtu);
        }
        String name = p.has(IFNAME) ? p.text(IFNAME) : options.ifname();
        if (!name.equals(options.ifname())) {
            throw new StateTransferException(p.name(), IFNAME, options.ifname() + ", as ifname= of netdev " + options.id() + " says", name);
        }
        return new PacketFacts(name, (int) index, (int) mtu, !p.has(LINK_UP) || p.flag(LINK_UP));
    }

    private static List<Fd> duplicates(PacketOptions options, BackendState state) throws StateTransferException {
        List<Fd> fds = new ArrayList<>();
        try {
            for (Section q : state.queues()) {
                fds.add(q.descriptor(FD).duplicate());
            }
            return fds;
        } catch (IOException e) {
            fds.forEach(Fd::close);
            throw new StateTransferException(options.prefix() + "cannot load: " + e.getMessage(), e);
        }
    }
}
