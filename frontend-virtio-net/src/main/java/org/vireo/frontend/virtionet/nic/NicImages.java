// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.session.DeviceState;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.vhostuser.InflightSpec;

/**
 * Writes and reads {@link NicImage}s. Sections: {@code nic} (options, netdev), {@code block}, {@code device}, {@code memory} and
 * {@code memory N}, {@code log} and {@code log-event} while a VM is migrated, {@code inflight} if the VMM keeps such memory,
 * {@code ring N}, {@code port}, {@code connection}, {@code listener}, {@code counters}. A change holds the sections that changed:
 * {@code device} always; memory whole or not at all.
 */
final class NicImages {
    /** Versions of the image that are written and read. */
    static final StateFormat FORMAT = StateFormat.of("virtio-net", 1, 1).build();

    private static final String BREAK_BEFORE_MAKE = "break-before-make";
    private static final String PORT_ELSEWHERE = "port-elsewhere";
    private static final String NETDEV_REVISION = "netdev-revision";
    private static final Set<String> DEVICE_FIELDS = Set.of("features", "protocol-features", "status", "mtu", "pairs");
    private static final Set<String> MEMORY_FIELDS = Set.of("guest", "bytes", "user", "offset", "file");
    private static final Set<String> LOG_FIELDS = Set.of("bytes", "offset", "file");
    private static final String LOG_EVENT = "log-event";
    private static final Set<String> INFLIGHT_FIELDS = Set.of("bytes", "offset", "rings", "entries", "file");
    private static final Set<String> RING_FIELDS = Set.of("size", "descriptors", "available", "used", "flags", "log", "base", "started",
            "enabled", "kick", "call", "error");

    private NicImages() {
    }

    /**
     * The whole NIC.
     *
     * @param backend the backend's state, owned by the image from then on; or null
     * @param breaks whether the source closes its port before the target opens its own
     */
    static NicImage whole(Nic nic, BackendState backend, boolean breaks) throws IOException {
        List<Section> s = new ArrayList<>();
        try {
            s.add(nic(nic, breaks));
            s.add(Section.builder("block").descriptor("file", nic.block().file().duplicate()).build());
            s.add(device(nic.state()));
            memory(nic.state(), s);
            if (nic.state().log() != null) {
                s.add(log(nic.state().log()));
            }
            if (nic.state().logEvent() != null) {
                s.add(logEvent(nic.state().logEvent()));
            }
            if (nic.state().inflight() != null) {
                s.add(inflight(nic.state().inflight()));
            }
            for (int i = 0; i < nic.state().rings().size(); i++) {
                s.add(ring(i, nic.state().rings().get(i)));
            }
            port(nic, s);
            Session session = nic.session();
            if (session != null) {
                s.add(connection(session, session.backendSocket()));
            }
            if (nic.endpoint().listener() != null) {
                s.add(Section.builder("listener").descriptor("socket", nic.endpoint().listener().duplicate()).build());
            }
            Section.Builder counters = Section.builder("counters");
            nic.engine().counters().forEach((name, value) -> counters.number(name, value).optional(name));
            s.add(counters.build());
            return NicImage.of(nic.id(), FORMAT.writes().newest(), nic.block().seq(), s, backend);
        } catch (IOException | RuntimeException e) {
            s.forEach(Section::closeDescriptors);
            if (backend != null) {
                backend.close();
            }
            throw e;
        }
    }

    /**
     * A NIC like the one of an image, over other things: for a rehearsal.
     *
     * @param of the image
     * @param state memory and rings
     * @param block its block
     * @param socket its VMM's connection
     * @param backend the backend's state, owned by the image from then on; or null
     */
    static NicImage twin(NicImage of, DeviceState state, Fd block, Fd socket, BackendState backend)
            throws IOException, StateTransferException {
        List<Section> s = new ArrayList<>();
        try {
            s.add(require(of, "nic"));
            s.add(Section.builder("block").descriptor("file", block.duplicate()).build());
            s.add(device(state));
            memory(state, s);
            for (int i = 0; i < state.rings().size(); i++) {
                s.add(ring(i, state.rings().get(i)));
            }
            of.section("port").ifPresent(s::add);
            s.add(Section.builder("connection").number("vmm-pid", ProcessHandle.current().pid()).descriptor("socket", socket.duplicate())
                    .build());
            return NicImage.of(of.nic(), of.version(), of.seq(), s, backend);
        } catch (IOException | StateTransferException e) {
            s.forEach(Section::closeDescriptors);
            throw e;
        }
    }

    /**
     * What differs between two states. The connection is part of it whenever the session has just begun or ended, or its channel for
     * requests is another one.
     */
    static NicImage change(Nic nic, DeviceState from, DeviceState to, Fd backendSocket, long seq) throws IOException {
        List<Section> s = new ArrayList<>();
        try {
            s.add(device(to));
            if (from.memory() != to.memory()) {
                memory(to, s);
            }
            if (from.log() != to.log()) {
                s.add(log(to.log()));
            }
            if (from.logEvent() != to.logEvent()) {
                s.add(logEvent(to.logEvent()));
            }
            if (from.inflight() != to.inflight()) {
                s.add(inflight(to.inflight()));
            }
            for (int i = 0; i < to.rings().size(); i++) {
                if (from.rings().get(i) != to.rings().get(i)) {
                    s.add(ring(i, to.rings().get(i)));
                }
            }
            Session session = nic.session();
            if (session == null) {
                s.add(Section.builder("connection").number("vmm-pid", 0).build());
            } else if (from == to || backendSocket != session.backendSocket()) {
                s.add(connection(session, backendSocket));
            }
            return NicImage.of(nic.id(), FORMAT.writes().newest(), seq, s, null);
        } catch (IOException e) {
            s.forEach(Section::closeDescriptors);
            throw e;
        }
    }

    /** Of the netdev's configuration where the image was made; 0: it is as it was at first. */
    static int netdevRevision(NicImage image) throws StateTransferException {
        Section s = require(image, "nic");
        return s.has(NETDEV_REVISION) ? Math.clamp(s.number(NETDEV_REVISION), 0, Integer.MAX_VALUE) : 0;
    }

    /** Whether the source closes its port before this process may open its own. */
    static boolean breaks(NicImage image) throws StateTransferException {
        Section s = require(image, "nic");
        return s.has(BREAK_BEFORE_MAKE) && s.flag(BREAK_BEFORE_MAKE);
    }

    /** Whether another NIC holds the netdev, of which this one may get the port. */
    static boolean portElsewhere(NicImage image) throws StateTransferException {
        Section s = require(image, "nic");
        return s.has(PORT_ELSEWHERE) && s.flag(PORT_ELSEWHERE);
    }

    private static Section nic(Nic nic, boolean breaks) {
        Section.Builder b = Section.builder("nic").flag("backend-transfer", nic.options().backendTransfer());
        nic.options().effective().forEach((k, v) -> b.text("option." + k, v));
        if (nic.slot() != null) {
            b.text("netdev-type", nic.slot().type());
            nic.slot().options().forEach((k, v) -> b.text("netdev-option." + k, v));
            if (nic.slot().revision() > 0) {
                b.number(NETDEV_REVISION, nic.slot().revision()).optional(NETDEV_REVISION);
            }
        }
        if (breaks) {
            b.flag(BREAK_BEFORE_MAKE, true);
        }
        if (nic.waitsForPort()) {
            b.flag(PORT_ELSEWHERE, true);
        }
        return b.build();
    }

    private static Section device(DeviceState d) {
        return Section.builder("device").number("features", d.features()).number("protocol-features", d.protocolFeatures())
                .number("status", d.status()).number("mtu", d.mtu()).number("pairs", d.rings().size() / 2).build();
    }

    private static void memory(DeviceState d, List<Section> to) throws IOException {
        List<MappedRegion> regions = d.memory().regions();
        to.add(Section.builder("memory").number("regions", regions.size()).build());
        for (int i = 0; i < regions.size(); i++) {
            MappedRegion.Spec r = regions.get(i).spec();
            to.add(Section.builder("memory " + i).number("guest", r.guest()).number("bytes", r.bytes()).number("user", r.user())
                    .number("offset", r.offset()).descriptor("file", regions.get(i).file().duplicate()).build());
        }
    }

    private static Section log(DirtyLog log) throws IOException {
        if (log == null) {
            return Section.builder("log").build();
        }
        return Section.builder("log").number("bytes", log.bytes()).number("offset", log.offset())
                .descriptor("file", log.file().duplicate()).build();
    }

    private static Section logEvent(Fd event) throws IOException {
        Section.Builder b = Section.builder(LOG_EVENT);
        put(b, "event", event);
        return b.build();
    }

    private static Section inflight(InflightRegion region) throws IOException {
        if (region == null) {
            return Section.builder("inflight").build();
        }
        InflightSpec spec = region.spec();
        return Section.builder("inflight").number("bytes", spec.size()).number("offset", spec.offset()).number("rings", spec.queues())
                .number("entries", spec.queueSize()).descriptor("file", region.file().duplicate()).build();
    }

    private static Section ring(int i, RingState r) throws IOException {
        Section.Builder b = Section.builder("ring " + i).number("size", r.size()).number("descriptors", r.descriptors())
                .number("available", r.available()).number("used", r.used()).number("flags", r.flags()).number("log", r.log())
                .number("base", r.base()).flag("started", r.started()).flag("enabled", r.enabled());
        put(b, "kick", r.kick());
        put(b, "call", r.call());
        put(b, "error", r.error());
        return b.build();
    }

    private static void port(Nic nic, List<Section> to) {
        PortSettings p = nic.binding() == null ? null : nic.binding().applied();
        if (p != null) {
            StringBuilder pairs = new StringBuilder();
            for (int i = 0; i < nic.options().pairs(); i++) {
                pairs.append(p.enabled(i) ? '1' : '0');
            }
            to.add(Section.builder("port").number("header-length", p.headerLength()).number("guest-offloads", p.guestOffloads())
                    .text("enabled-pairs", pairs.toString()).build());
        }
    }

    private static Section connection(Session session, Fd backendSocket) throws IOException {
        Section.Builder b = Section.builder("connection").number("vmm-pid", session.vmmPid());
        put(b, "socket", session.socket());
        put(b, "backend-requests", backendSocket);
        return b.build();
    }

    private static void put(Section.Builder b, String field, Fd fd) throws IOException {
        if (fd != null) {
            b.descriptor(field, fd.duplicate());
        }
    }

    // ---- reading

    static Section require(NicImage image, String section) throws StateTransferException {
        return image.section(section).orElseThrow(() -> new StateTransferException("NIC image of " + image.nic() + ": section " + section
                + " is missing"));
    }

    /** Options by a prefix of their fields. */
    static Map<String, String> options(Section nic, String prefix) throws StateTransferException {
        Map<String, String> o = new LinkedHashMap<>();
        for (String field : nic.names()) {
            if (field.startsWith(prefix)) {
                o.put(field.substring(prefix.length()), nic.text(field));
            }
        }
        return o;
    }

    static Map<String, Long> counters(NicImage image) throws StateTransferException {
        Map<String, Long> c = new LinkedHashMap<>();
        Section s = image.section("counters").orElse(null);
        if (s != null) {
            for (String field : s.names()) {
                c.put(field, s.number(field));
            }
        }
        return c;
    }

    static PortSettings settings(NicImage image) throws StateTransferException {
        Section s = image.section("port").orElse(null);
        if (s == null) {
            return null;
        }
        s.requireKnown(Set.of("header-length", "guest-offloads", "enabled-pairs"));
        BitSet pairs = new BitSet();
        String text = s.text("enabled-pairs");
        for (int i = 0; i < text.length(); i++) {
            pairs.set(i, text.charAt(i) == '1');
        }
        return PortSettings.of((int) s.number("header-length"), s.number("guest-offloads"), pairs);
    }

    /**
     * The state that an image, or a change, leads to. Descriptors are duplicated; memory that did not change is the former state's.
     */
    static DeviceState state(NicImage image, DeviceState former, boolean anyMemory)
            throws StateTransferException, InvalidMemoryException, IOException {
        Section d = require(image, "device");
        d.requireKnown(DEVICE_FIELDS);
        if (d.number("pairs") * 2 != former.rings().size()) {
            throw new StateTransferException("device", "pairs", String.valueOf(former.rings().size() / 2),
                    String.valueOf(d.number("pairs")));
        }
        MemoryTable memory = image.section("memory").isPresent() ? memory(image, anyMemory) : former.memory();
        DirtyLog log = former.log();
        Fd logEvent = former.logEvent();
        InflightRegion inflight = former.inflight();
        List<RingState> rings = new ArrayList<>(former.rings());
        try {
            if (image.section("log").isPresent()) {
                log = log(require(image, "log"), anyMemory);
            }
            if (image.section(LOG_EVENT).isPresent()) {
                logEvent = logEvent(require(image, LOG_EVENT));
            }
            if (image.section("inflight").isPresent()) {
                inflight = inflight(require(image, "inflight"), anyMemory);
            }
            for (int i = 0; i < former.rings().size(); i++) {
                Section r = image.section("ring " + i).orElse(null);
                if (r != null) {
                    rings.set(i, ring(r));
                }
            }
        } catch (StateTransferException | InvalidMemoryException | IOException e) {
            former.closeReplaced(new DeviceState(0, 0, 0, 0, memory, log, inflight, rings, logEvent));
            throw e;
        }
        return new DeviceState(d.number("features"), d.number("protocol-features"), (int) d.number("status"), (int) d.number("mtu"), memory,
                log, inflight, List.copyOf(rings), logEvent);
    }

    private static RingState ring(Section r) throws StateTransferException, IOException {
        r.requireKnown(RING_FIELDS);
        return new RingState((int) r.number("size"), r.number("descriptors"), r.number("available"), r.number("used"),
                (int) r.number("flags"), r.number("log"), (int) r.number("base"), r.flag("started"), r.flag("enabled"),
                optional(r, "kick"), optional(r, "call"), optional(r, "error"));
    }

    static Fd optional(Section s, String field) throws StateTransferException, IOException {
        return s.has(field) ? s.descriptor(field).duplicate() : null;
    }

    private static DirtyLog log(Section l, boolean anyMemory) throws StateTransferException, InvalidMemoryException, IOException {
        l.requireKnown(LOG_FIELDS);
        return l.has("file") ? DirtyLog.map(l.number("bytes"), l.number("offset"), l.descriptor("file").duplicate(), anyMemory) : null;
    }

    private static Fd logEvent(Section l) throws StateTransferException, IOException {
        l.requireKnown(Set.of("event"));
        return optional(l, "event");
    }

    private static InflightRegion inflight(Section i, boolean anyMemory)
            throws StateTransferException, InvalidMemoryException, IOException {
        i.requireKnown(INFLIGHT_FIELDS);
        return i.has("file") ? InflightRegion.map(new InflightSpec(i.number("bytes"), i.number("offset"), (int) i.number("rings"),
                (int) i.number("entries")), i.descriptor("file").duplicate(), anyMemory) : null;
    }

    private static MemoryTable memory(NicImage image, boolean anyMemory)
            throws StateTransferException, InvalidMemoryException, IOException {
        long n = require(image, "memory").number("regions");
        List<MappedRegion> regions = new ArrayList<>();
        try {
            for (int i = 0; i < n; i++) {
                Section m = require(image, "memory " + i);
                m.requireKnown(MEMORY_FIELDS);
                MappedRegion.Spec spec = new MappedRegion.Spec(m.number("guest"), m.number("bytes"), m.number("user"), m.number("offset"));
                regions.add(MappedRegion.map(spec, m.descriptor("file").duplicate(), anyMemory));
            }
        } catch (StateTransferException | InvalidMemoryException | IOException e) {
            regions.forEach(MappedRegion::release);
            throw e;
        }
        return MemoryTable.of(regions);
    }
}
