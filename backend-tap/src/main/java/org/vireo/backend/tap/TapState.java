// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/**
 * The state "tap", version 1. A section for each queue pair:
 * <pre>
 * fd                 descriptor  the queue
 * using_vnet_hdr     flag        frames carry a virtio-net header
 * has_ufo            flag        the kernel has UDP fragmentation offload
 * has_uso            flag        the kernel has UDP segmentation offload
 * has_tunnel         flag        the kernel has offload of UDP tunnels
 * enabled            flag        the queue is attached
 * host_vnet_hdr_len  number      the header's length: 0, 10 or 12
 * </pre>
 * The port's section has what a reader may do without: {@code ifname} (text), for messages, {@code mtu} (number), {@code link_up}
 * (flag), which is what a loaded port takes for true until it may look, {@code persistent} (flag), and what the options said that can be
 * changed while it is open: {@code configured_sndbuf} and {@code configured_mtu} (numbers), {@code configured_br} (text).
 */
final class TapState {
    static final String TYPE = "tap";
    static final int VERSION = 1;
    static final StateFormat FORMAT = StateFormat.of(TYPE, VERSION, VERSION).build();

    private static final String FD = "fd";
    private static final String USING_VNET_HDR = "using_vnet_hdr";
    private static final String HAS_UFO = "has_ufo";
    private static final String HAS_USO = "has_uso";
    private static final String HAS_TUNNEL = "has_tunnel";
    private static final String ENABLED = "enabled";
    private static final String HOST_VNET_HDR_LEN = "host_vnet_hdr_len";
    private static final Set<String> QUEUE_FIELDS = Set.of(FD, USING_VNET_HDR, HAS_UFO, HAS_USO, HAS_TUNNEL, ENABLED, HOST_VNET_HDR_LEN);
    private static final String IFNAME = "ifname";
    private static final String MTU = "mtu";
    private static final String LINK_UP = "link_up";
    private static final String PERSISTENT = "persistent";
    private static final String CONFIGURED_SNDBUF = "configured_sndbuf";
    private static final String CONFIGURED_MTU = "configured_mtu";
    private static final String CONFIGURED_BR = "configured_br";
    private static final Set<String> PORT_FIELDS = Set.of(IFNAME, MTU, LINK_UP, PERSISTENT, CONFIGURED_SNDBUF, CONFIGURED_MTU,
            CONFIGURED_BR);

    private TapState() {
    }

    static BackendState save(String id, TapPort port) throws StateTransferException {
        TapFacts facts = port.facts();
        List<Fd> duplicates = new ArrayList<>();
        List<Section> queues = new ArrayList<>();
        try {
            for (Fd fd : port.descriptors()) {
                int i = queues.size();
                Fd duplicate = fd.duplicate();
                duplicates.add(duplicate);
                queues.add(Section.builder("queue " + i)
                        .descriptor(FD, duplicate)
                        .flag(USING_VNET_HDR, facts.vnetHdr())
                        .flag(HAS_UFO, facts.ufo())
                        .flag(HAS_USO, facts.uso())
                        .flag(HAS_TUNNEL, facts.tunnel())
                        .flag(ENABLED, port.enabled(i))
                        .number(HOST_VNET_HDR_LEN, port.headerLength())
                        .build());
            }
        } catch (IOException e) {
            duplicates.forEach(Fd::close);
            throw new StateTransferException("netdev " + id + ": cannot save " + facts.name() + ": " + e.getMessage(), e);
        }
        Section.Builder p = Section.builder("port").text(IFNAME, facts.name()).optional(IFNAME).number(MTU, facts.mtu()).optional(MTU)
                .flag(LINK_UP, port.isLinkUp()).optional(LINK_UP).flag(PERSISTENT, facts.persistent()).optional(PERSISTENT);
        TapOptions o = port.options();
        if (o.sndbuf() >= 0) {
            p.number(CONFIGURED_SNDBUF, o.sndbuf()).optional(CONFIGURED_SNDBUF);
        }
        if (o.mtu() != 0) {
            p.number(CONFIGURED_MTU, o.mtu()).optional(CONFIGURED_MTU);
        }
        if (o.bridge() != null) {
            p.text(CONFIGURED_BR, o.bridge()).optional(CONFIGURED_BR);
        }
        return BackendState.of(TYPE, VERSION, p.build(), queues);
    }

    /** Makes a port. Checks values only: the device is somebody else's. */
    static TapPort load(TapOptions options, BackendState state, OpenContext context) throws StateTransferException {
        if (!FORMAT.canRead(state.type(), state.version())) {
            throw new StateTransferException(options.prefix() + "state " + state.type() + " version " + state.version()
                    + " cannot be read, only " + FORMAT.reads());
        }
        state.port().requireKnown(PORT_FIELDS);
        checkCount(options, state.queues().size(), context.pairs());
        TapChange change = change(options, state.port());
        int mtu = change.mtu() != 0 ? change.mtu() : state.port().has(MTU) ? mtu(state.port()) : 0;
        boolean persistent = state.port().has(PERSISTENT) && state.port().flag(PERSISTENT);
        boolean linkUp = !state.port().has(LINK_UP) || state.port().flag(LINK_UP);
        TapFacts facts = null;
        int header = 0;
        BitSet enabled = new BitSet();
        for (int i = 0; i < state.queues().size(); i++) {
            Section q = state.queues().get(i);
            q.requireKnown(QUEUE_FIELDS);
            TapFacts f = new TapFacts(name(options, state.port()), q.flag(USING_VNET_HDR), q.flag(HAS_UFO), q.flag(HAS_USO),
                    q.flag(HAS_TUNNEL), mtu, persistent);
            int h = header(q, f.vnetHdr());
            if (facts != null) {
                checkSame(state.queues().getFirst(), q);
            }
            facts = f;
            header = h;
            enabled.set(i, q.flag(ENABLED));
        }
        checkOptions(options, state, facts);
        return new TapPort(options, context, new OpenedTap(facts, duplicates(options, state), header, TapControl.UNKNOWN, linkUp), enabled,
                change);
    }

    private static TapChange change(TapOptions options, Section port) throws StateTransferException {
        long sndbuf = port.has(CONFIGURED_SNDBUF) ? port.number(CONFIGURED_SNDBUF) : -1;
        long mtu = port.has(CONFIGURED_MTU) ? port.number(CONFIGURED_MTU) : 0;
        return TapChange.of(options, sndbuf, mtu, port.has(CONFIGURED_BR) ? port.text(CONFIGURED_BR) : null);
    }

    private static void checkCount(TapOptions options, int found, int pairs) throws StateTransferException {
        if (found != options.queues()) {
            throw new StateTransferException(options.prefix() + "the state has " + found + " queue pair(s), the configuration "
                    + options.queues() + ": give both sides the same queues=");
        }
        if (found < pairs) {
            throw new StateTransferException(options.prefix() + "the state has " + found + " queue pair(s), but the NIC has " + pairs
                    + ": give both sides the same queues=");
        }
    }

    private static void checkOptions(TapOptions options, BackendState state, TapFacts facts) throws StateTransferException {
        if (options.vnetHdr() != null && options.vnetHdr() != facts.vnetHdr()) {
            throw new StateTransferException(state.queues().getFirst().name(), USING_VNET_HDR, options.vnetHdr()
                    + ", as vnet_hdr= of netdev "
                    + options.id() + " says", String.valueOf(facts.vnetHdr()));
        }
        if (!options.anyName() && state.port().has(IFNAME) && !options.ifname().equals(facts.name())) {
            throw new StateTransferException("port", IFNAME, options.ifname() + ", as ifname= of netdev " + options.id() + " says",
                    facts.name());
        }
    }

    private static String name(TapOptions options, Section port) throws StateTransferException {
        return port.has(IFNAME) ? port.text(IFNAME) : options.anyName() ? "(unnamed)" : options.ifname();
    }

    private static int mtu(Section port) throws StateTransferException {
        long mtu = port.number(MTU);
        if (mtu != 0 && (mtu < 68 || mtu > 65535)) {
            throw new StateTransferException(port.name(), MTU, "0 or 68 to 65535", "the number " + mtu);
        }
        return (int) mtu;
    }

    private static int header(Section q, boolean vnetHdr) throws StateTransferException {
        long bytes = q.number(HOST_VNET_HDR_LEN);
        if (vnetHdr ? bytes != 10 && bytes != 12 : bytes != 0) {
            throw new StateTransferException(q.name(), HOST_VNET_HDR_LEN, vnetHdr ? "10 or 12" : "0, without header", "the number "
                    + bytes);
        }
        return (int) bytes;
    }

    private static void checkSame(Section first, Section q) throws StateTransferException {
        for (String field : List.of(USING_VNET_HDR, HAS_UFO, HAS_USO, HAS_TUNNEL, HOST_VNET_HDR_LEN)) {
            if (!first.value(field).equals(q.value(field))) {
                throw new StateTransferException(q.name(), field, first.value(field) + ", as in " + first.name(),
                        String.valueOf(q.value(field)));
            }
        }
    }

    private static List<Fd> duplicates(TapOptions options, BackendState state) throws StateTransferException {
        List<Fd> fds = new ArrayList<>();
        try {
            for (Section q : state.queues()) {
                Fd fd = q.descriptor(FD);
                if (!fd.isOpen() || !Posix.isOpen(fd.number())) {
                    throw new StateTransferException(q.name(), FD, "an open descriptor", "a closed one");
                }
                fds.add(fd.duplicate());
            }
            return List.copyOf(fds);
        } catch (IOException e) {
            fds.forEach(Fd::close);
            throw new StateTransferException(options.prefix() + "cannot load: " + e.getMessage(), e);
        } catch (StateTransferException e) {
            fds.forEach(Fd::close);
            throw e;
        }
    }
}
