// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/**
 * The state of type "tap", version 1, as it was loaded, to be written again: each field that the meter does not change, also one that
 * it does not know, goes back as it came. What is in it stands in docs/contract.md's terms in TapState of backend-tap:
 * for each pair fd, using_vnet_hdr, has_ufo, has_uso, has_tunnel, enabled, host_vnet_hdr_len.
 */
final class TapState {
    static final StateFormat FORMAT = StateFormat.of("tap", 1, 1).build();

    static final String FD = "fd";
    static final String USING_VNET_HDR = "using_vnet_hdr";
    static final String HAS_UFO = "has_ufo";
    static final String HAS_USO = "has_uso";
    static final String HAS_TUNNEL = "has_tunnel";
    static final String ENABLED = "enabled";
    static final String HOST_VNET_HDR_LEN = "host_vnet_hdr_len";
    private static final Set<String> QUEUE_FIELDS = Set.of(FD, USING_VNET_HDR, HAS_UFO, HAS_USO, HAS_TUNNEL, ENABLED, HOST_VNET_HDR_LEN);
    static final String IFNAME = "ifname";
    static final String MTU = "mtu";
    static final String LINK_UP = "link_up";
    static final String CONFIGURED_SNDBUF = "configured_sndbuf";
    private static final String CONFIGURED_MTU = "configured_mtu";
    private static final String CONFIGURED_BR = "configured_br";
    private static final Set<String> PORT_FIELDS = Set.of(IFNAME, MTU, LINK_UP, CONFIGURED_SNDBUF, CONFIGURED_MTU, CONFIGURED_BR);

    private final Section port;
    private final List<Section> queues;

    private TapState(Section port, List<Section> queues) {
        this.port = port;
        this.queues = queues;
    }

    /** Takes sections over, with their descriptors. */
    static TapState of(Section port, List<Section> queues) {
        return new TapState(port, List.copyOf(queues));
    }

    /** A copy with duplicated descriptors. Looks at values only: the device is somebody else's. */
    static TapState copy(MeterOptions options, BackendState state) throws StateTransferException {
        if (!FORMAT.canRead(state.type(), state.version())) {
            throw new StateTransferException(options.prefix() + "state " + state.type() + " version " + state.version()
                    + " cannot be read, only " + FORMAT.reads());
        }
        checkPort(options, state.port());
        for (Section q : state.queues()) {
            checkQueue(state.queues().getFirst(), q);
        }
        List<Fd> made = new ArrayList<>();
        try {
            List<Section> queues = new ArrayList<>();
            for (Section q : state.queues()) {
                queues.add(copy(q, null, 0, made));
            }
            return new TapState(copy(state.port(), null, 0, made), queues);
        } catch (IOException e) {
            made.forEach(Fd::close);
            throw new StateTransferException(options.prefix() + "cannot load: " + e.getMessage(), e);
        }
    }

    private static void checkPort(MeterOptions options, Section p) throws StateTransferException {
        p.requireKnown(PORT_FIELDS);
        if (p.has(IFNAME) && options.ifname() != null && !options.ifname().equals(p.text(IFNAME))) {
            throw new StateTransferException(p.name(), IFNAME, options.ifname() + ", as ifname= of netdev " + options.id() + " says",
                    p.text(IFNAME));
        }
        if (p.has(IFNAME)) {
            p.text(IFNAME);
        }
        if (p.has(LINK_UP)) {
            p.flag(LINK_UP);
        }
        long mtu = p.has(MTU) ? p.number(MTU) : 0;
        if (mtu != 0 && (mtu < 68 || mtu > 65535)) {
            throw new StateTransferException(p.name(), MTU, "0 or 68 to 65535", "the number " + mtu);
        }
        checkUnchanged(options, p);
    }

    /** What tap can change while it is open, a meter cannot: it says so instead of leaving it undone. */
    private static void checkUnchanged(MeterOptions options, Section p) throws StateTransferException {
        long sndbuf = p.has(CONFIGURED_SNDBUF) ? p.number(CONFIGURED_SNDBUF) : 0;
        if (sndbuf != options.sndbuf()) {
            throw changed(options, "sndbuf", String.valueOf(sndbuf), String.valueOf(options.sndbuf()));
        }
        long mtu = p.has(CONFIGURED_MTU) ? p.number(CONFIGURED_MTU) : 0;
        if (options.mtu() != 0 && mtu != options.mtu()) {
            throw changed(options, "mtu", String.valueOf(mtu), String.valueOf(options.mtu()));
        }
        String bridge = p.has(CONFIGURED_BR) ? p.text(CONFIGURED_BR) : null;
        if (!Objects.equals(bridge, options.bridge())) {
            throw changed(options, "br", Objects.requireNonNullElse(bridge, ""), Objects.requireNonNullElse(options.bridge(), ""));
        }
    }

    private static StateTransferException changed(MeterOptions options, String option, String is, String wanted) {
        return new StateTransferException(options.prefix() + "option " + option + "=" + wanted + ": it was opened with " + option + "=" + is
                + ", and tap-meter cannot change it: first vireo backend swap " + options.id() + " --to tap, then vireo netdev change "
                + options.id() + " " + option + "=" + wanted);
    }

    private static void checkQueue(Section first, Section q) throws StateTransferException {
        q.requireKnown(QUEUE_FIELDS);
        Fd fd = q.descriptor(FD);
        if (!fd.isOpen() || !Posix.isOpen(fd.number())) {
            throw new StateTransferException(q.name(), FD, "an open descriptor", "a closed one");
        }
        q.flag(ENABLED);
        for (String same : List.of(USING_VNET_HDR, HAS_UFO, HAS_USO, HAS_TUNNEL)) {
            if (q.flag(same) != first.flag(same)) {
                throw new StateTransferException(q.name(), same, first.flag(same) + ", as in " + first.name(),
                        String.valueOf(q.flag(same)));
            }
        }
        long header = q.number(HOST_VNET_HDR_LEN);
        boolean right = q.flag(USING_VNET_HDR) ? header == 10 || header == 12 : header == 0;
        if (!right || header != first.number(HOST_VNET_HDR_LEN)) {
            throw new StateTransferException(q.name(), HOST_VNET_HDR_LEN, q.flag(USING_VNET_HDR) ? "10 or 12, alike in all queues" : "0",
                    "the number " + header);
        }
    }

    /** A copy of a section; of a queue's with what has changed since. */
    private static Section copy(Section s, Boolean enabled, int header, List<Fd> made) throws IOException {
        Section.Builder b = Section.builder(s.name());
        for (String field : s.names()) {
            switch (s.value(field)) {
                case Fd fd -> {
                    made.add(fd.duplicate());
                    b.descriptor(field, made.getLast());
                }
                case Long n -> b.number(field, enabled != null && field.equals(HOST_VNET_HDR_LEN) ? header : n);
                case Boolean f -> b.flag(field, enabled != null && field.equals(ENABLED) ? enabled : f);
                default -> b.text(field, s.value(field).toString());
            }
            if (s.optional(field)) {
                b.optional(field);
            }
        }
        return b.build();
    }

    /** The state to hand on. */
    BackendState save(String id, MeterPort now) throws StateTransferException {
        List<Fd> made = new ArrayList<>();
        try {
            List<Section> saved = new ArrayList<>();
            for (int i = 0; i < queues.size(); i++) {
                saved.add(copy(queues.get(i), now.isEnabled(i), now.headerLength(), made));
            }
            return BackendState.of(FORMAT.type(), 1, copy(port, null, 0, made), saved);
        } catch (IOException e) {
            made.forEach(Fd::close);
            throw new StateTransferException("netdev " + id + ": cannot save: " + e.getMessage(), e);
        }
    }

    Section port() {
        return port;
    }

    List<Section> queues() {
        return queues;
    }

    Section first() {
        return queues.getFirst();
    }

    /** Closes all descriptors, those of fields that nobody here knows too. */
    void close() {
        port.closeDescriptors();
        queues.forEach(Section::closeDescriptors);
    }
}
