// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;
import org.vireo.vhostuser.InflightSpec;

/**
 * The state "vhost-user", version 1. The port's section:
 * <pre>
 * path                 text        of the UNIX socket
 * server               flag        whether this side listens
 * queues               number      queue pairs
 * reconnect_ms         number      for who reads it only
 * features             number      what the back-end offers
 * protocol             number      protocol features in force
 * mtu, memory_slots    numbers     what the back-end said of them
 * acknowledged         number      what the driver acknowledged; -1: nothing yet
 * told                 number      what SET_FEATURES said last; -1: nothing yet
 * status               number      what SET_STATUS said last
 * memory_told          flag        whether the back-end has memory of a guest, perhaps
 * connected            flag        whether a back-end is there
 * socket               descriptor  the connection, with connected
 * former               descriptor  the connection of a back-end that did not answer when it had rings; nobody else gets them before it is
 *                                  closed at the other side. For who knows it
 * listener             descriptor  with server
 * inflight             descriptor  the in-flight memory, if there is one, and with it:
 * inflight_size, inflight_offset, inflight_queues, inflight_queue_size  numbers
 * </pre>
 * A section for each queue pair:
 * <pre>
 * receive_runs         flag        the ring's position is what the back-end says
 * transmit_runs        flag        as above
 * </pre>
 */
final class VhostUserState {
    static final String TYPE = "vhost-user";
    static final int VERSION = 1;
    static final StateFormat FORMAT = StateFormat.of(TYPE, VERSION, VERSION).build();

    private static final String PATH = "path";
    private static final String SERVER = "server";
    private static final String QUEUES = "queues";
    private static final String RECONNECT_MS = "reconnect_ms";
    private static final String FEATURES = "features";
    private static final String PROTOCOL = "protocol";
    private static final String MTU = "mtu";
    private static final String MEMORY_SLOTS = "memory_slots";
    private static final String ACKNOWLEDGED = "acknowledged";
    private static final String TOLD = "told";
    private static final String STATUS = "status";
    private static final String MEMORY_TOLD = "memory_told";
    private static final String CONNECTED = "connected";
    private static final String SOCKET = "socket";
    private static final String FORMER = "former";
    private static final String LISTENER = "listener";
    private static final String INFLIGHT = "inflight";
    private static final String INFLIGHT_SIZE = "inflight_size";
    private static final String INFLIGHT_OFFSET = "inflight_offset";
    private static final String INFLIGHT_QUEUES = "inflight_queues";
    private static final String INFLIGHT_QUEUE_SIZE = "inflight_queue_size";
    private static final Set<String> PORT_FIELDS = Set.of(PATH, SERVER, QUEUES, RECONNECT_MS, FEATURES, PROTOCOL, MTU, MEMORY_SLOTS,
            ACKNOWLEDGED, TOLD, STATUS, MEMORY_TOLD, CONNECTED, SOCKET, FORMER, LISTENER, INFLIGHT, INFLIGHT_SIZE, INFLIGHT_OFFSET,
            INFLIGHT_QUEUES, INFLIGHT_QUEUE_SIZE);
    private static final String RECEIVE_RUNS = "receive_runs";
    private static final String TRANSMIT_RUNS = "transmit_runs";
    private static final Set<String> QUEUE_FIELDS = Set.of(RECEIVE_RUNS, TRANSMIT_RUNS);

    private VhostUserState() {
    }

    /** With the port's lock. */
    static BackendState save(VhostUserPort port) throws StateTransferException {
        VhostUserOptions o = port.options();
        Connection c = port.link().connection();
        Offer offer = port.link().offer();
        Section.Builder p = Section.builder("port").text(PATH, o.path()).flag(SERVER, o.server()).number(QUEUES, o.queues())
                .number(RECONNECT_MS, o.reconnectMillis()).optional(RECONNECT_MS)
                .number(FEATURES, offer.features()).number(PROTOCOL, offer.protocol()).number(MTU, offer.mtu())
                .number(MEMORY_SLOTS, offer.memorySlots()).number(ACKNOWLEDGED, port.device().acknowledged())
                .number(TOLD, c == null ? Connection.UNTOLD : c.features()).number(STATUS, c == null ? 0 : c.status())
                .flag(MEMORY_TOLD, c != null && !c.memory().isEmpty()).flag(CONNECTED, c != null);
        List<Fd> duplicates = new ArrayList<>();
        boolean done = false;
        try {
            if (c != null) {
                p.descriptor(SOCKET, duplicate(c.socket(), duplicates));
            }
            if (port.link().former() != null) {
                p.descriptor(FORMER, duplicate(port.link().former().socket(), duplicates)).optional(FORMER);
            }
            if (port.link().listener() != null) {
                p.descriptor(LISTENER, duplicate(port.link().listener(), duplicates));
            }
            Inflight i = port.device().inflight();
            if (i != null) {
                p.descriptor(INFLIGHT, duplicate(i.file(), duplicates)).number(INFLIGHT_SIZE, i.spec().size())
                        .number(INFLIGHT_OFFSET, i.spec().offset()).number(INFLIGHT_QUEUES, i.spec().queues())
                        .number(INFLIGHT_QUEUE_SIZE, i.spec().queueSize());
            }
            BackendState s = BackendState.of(TYPE, VERSION, p.build(), queues(port.device().rings()));
            port.link().saved();
            done = true;
            return s;
        } catch (IOException e) {
            throw new StateTransferException(o.prefix() + "cannot save: " + e.getMessage(), e);
        } finally {
            if (!done) {
                duplicates.forEach(Fd::close);
            }
        }
    }

    private static Fd duplicate(Fd fd, List<Fd> duplicates) throws IOException {
        Fd d = fd.duplicate();
        duplicates.add(d);
        return d;
    }

    private static List<Section> queues(List<Ring> rings) {
        List<Section> all = new ArrayList<>();
        for (int i = 0; i < rings.size(); i += 2) {
            all.add(Section.builder("queue " + i / 2).flag(RECEIVE_RUNS, rings.get(i).isForeignNext())
                    .flag(TRANSMIT_RUNS, rings.get(i + 1).isForeignNext()).build());
        }
        return all;
    }

    /** Makes a port. Checks values only: the back-end is somebody else's. */
    static VhostUserPort load(VhostUserOptions options, BackendState state, OpenContext context, Pace pace)
            throws StateTransferException {
        if (!FORMAT.canRead(state.type(), state.version())) {
            throw new StateTransferException(options.prefix() + "state " + state.type() + " version " + state.version()
                    + " cannot be read, only " + FORMAT.reads());
        }
        Section p = state.port();
        p.requireKnown(PORT_FIELDS);
        if (p.has(RECONNECT_MS)) {
            within(p, RECONNECT_MS, 0, Integer.MAX_VALUE);
        }
        checkOptions(options, p, context.pairs());
        if (state.queues().size() != options.queues()) {
            throw new StateTransferException(options.prefix() + "the state has " + state.queues().size() + " queue section(s) for "
                    + options.queues() + " pair(s)");
        }
        Offer offer = new Offer(p.number(FEATURES), p.number(PROTOCOL), (int) within(p, MTU, 0, 65535),
                within(p, MEMORY_SLOTS, 0, Integer.MAX_VALUE));
        if ((offer.protocol() & ~Connection.PROTOCOL) != 0) {
            throw new StateTransferException(p.name(), PROTOCOL, "within 0x" + Long.toHexString(Connection.PROTOCOL),
                    "0x" + Long.toHexString(offer.protocol()));
        }
        List<Boolean> foreign = new ArrayList<>();
        for (Section q : state.queues()) {
            q.requireKnown(QUEUE_FIELDS);
            foreign.add(q.flag(RECEIVE_RUNS));
            foreign.add(q.flag(TRANSMIT_RUNS));
        }
        return make(options, p, context, offer, foreign, pace);
    }

    private static VhostUserPort make(VhostUserOptions options, Section p, OpenContext context, Offer offer, List<Boolean> foreign,
            Pace pace) throws StateTransferException {
        int status = (int) within(p, STATUS, 0, 255);
        long acknowledged = p.number(ACKNOWLEDGED);
        long told = p.number(TOLD);
        Fds fds = context.fds();
        List<Fd> kept = new ArrayList<>();
        boolean done = false;
        try {
            Fd socket = p.flag(CONNECTED) ? copy(p, SOCKET, kept) : null;
            Fd listener = options.server() ? copy(p, LISTENER, kept) : null;
            Inflight inflight = p.has(INFLIGHT) || p.has(INFLIGHT_SIZE) ? inflight(p, options, context.rehearsal(), kept) : null;
            Device device = Device.of(options.prefix(), options.queues(), acknowledged, inflight);
            for (Ring r : device.rings()) {
                r.foreign = foreign.get(r.index);
            }
            if (acknowledged == Connection.UNTOLD && foreign.contains(true)) {
                throw new StateTransferException(p.name(), ACKNOWLEDGED, "what the driver acknowledged, since rings run", "-1");
            }
            Connection c = socket == null ? null
                    : new Connection(socket, fds, options.prefix() + "back-end", offer, told, status, p.flag(MEMORY_TOLD));
            if (c != null) {
                // told with the first ring that runs
                c.inflightTold(inflight != null && foreign.contains(true));
                c.take();
            }
            Fd former = p.has(FORMER) ? copy(p, FORMER, kept) : null;
            VhostUserPort port = new VhostUserPort(options, context,
                    new Link.Beginning(Endpoint.of(options, fds, listener), c, offer, pace), device);
            if (former != null) {
                port.link().former(new Connection(former, fds, options.prefix() + "former back-end"));
            }
            done = true;
            return port;
        } catch (IOException e) {
            throw new StateTransferException(options.prefix() + "cannot load: " + e.getMessage(), e);
        } finally {
            if (!done) {
                kept.forEach(Fd::close);
            }
        }
    }

    private static Inflight inflight(Section p, VhostUserOptions options, boolean rehearsal, List<Fd> kept)
            throws StateTransferException, IOException {
        InflightSpec spec = new InflightSpec(p.number(INFLIGHT_SIZE), p.number(INFLIGHT_OFFSET),
                (int) within(p, INFLIGHT_QUEUES, 2L * options.queues(), 2L * options.queues()),
                (int) within(p, INFLIGHT_QUEUE_SIZE, 1, 65535));
        Inflight i = new Inflight(copy(p, INFLIGHT, kept), spec);
        if (!rehearsal) {
            // a stand-in is no memory
            i.check();
        }
        return i;
    }

    private static Fd copy(Section p, String field, List<Fd> kept) throws StateTransferException, IOException {
        Fd fd = p.descriptor(field);
        if (!fd.isOpen() || !Posix.isOpen(fd.number())) {
            throw new StateTransferException(p.name(), field, "an open descriptor", "a closed one");
        }
        Fd d = fd.duplicate();
        kept.add(d);
        return d;
    }

    private static void checkOptions(VhostUserOptions options, Section p, int pairs) throws StateTransferException {
        if (!options.path().equals(p.text(PATH))) {
            throw differs(options, p, PATH, options.path(), p.text(PATH));
        }
        if (options.server() != p.flag(SERVER)) {
            throw differs(options, p, SERVER, options.server() ? "on" : "off", p.flag(SERVER) ? "on" : "off");
        }
        if (options.queues() != p.number(QUEUES)) {
            throw differs(options, p, QUEUES, String.valueOf(options.queues()), String.valueOf(p.number(QUEUES)));
        }
        if (options.queues() < pairs) {
            throw new StateTransferException(options.prefix() + "the state has " + options.queues() + " queue pair(s), but the NIC has "
                    + pairs + ": give both sides the same queues=");
        }
    }

    private static StateTransferException differs(VhostUserOptions options, Section p, String field, String now, String before) {
        return new StateTransferException(p.name(), field, now + ", as " + field + "= of netdev " + options.id()
                + " says (it cannot change under a guest: move the NIC to another type with 'vireo backend swap', and from there)", before);
    }

    private static long within(Section p, String field, long least, long most) throws StateTransferException {
        long n = p.number(field);
        if (n < least || n > most) {
            throw new StateTransferException(p.name(), field, least + " to " + most, "the number " + n);
        }
        return n;
    }
}
