// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/** A netdev that serves the guest's rings itself: each frame is a packet on a socket whose number is given. */
final class RingBackend implements NetBackend, BackendStateTransfer {
    private static final StateFormat FORMAT = StateFormat.of("ring-mutant", 1, 1).build();
    private static final String FD = "fd";
    private static final String PAIR = "pair";

    private final String id;
    private final Map<String, ?> raw;
    private RingPort port;

    RingBackend(String id, Map<String, ?> options) {
        this.id = id;
        raw = Map.copyOf(options);
    }

    @Override
    public void validate() throws NetdevException {
        RingOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        RingOptions o = RingOptions.parse(id, raw);
        if (context.pairs() > 1) {
            throw new NetdevException("netdev " + id + ": has one pair, and the NIC has " + context.pairs());
        }
        if (!Files.exists(o.there())) {
            String why = "netdev " + id + ": nobody is there: make " + o.there();
            if (o.fault() == RingFault.UNAVAILABLE_LEAKS) {
                Posix.duplicate(o.fd());
            }
            throw o.fault() == RingFault.UNAVAILABLE_IS_WRONG ? new NetdevException(why) : new PortUnavailableException(why, null);
        }
        int fd = Posix.duplicate(o.fd());
        if (fd < 0) {
            throw new NetdevException("netdev " + id + ": fd=" + o.fd() + " is not open: pass the number of a socket");
        }
        port = new RingPort(o, context, context.fds().adopt(fd, "netdev " + id));
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        mine(p);
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        RingPort mine = mine(p);
        if (!FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": version " + version + " cannot be written");
        }
        try {
            return BackendState.of(FORMAT.type(), version, Section.builder("port").number(PAIR, 1).build(),
                    List.of(Section.builder("queue 0").descriptor(FD, mine.socket().duplicate()).build()));
        } catch (IOException e) {
            throw new StateTransferException("no descriptor left", e);
        }
    }

    @Override
    public NetPort load(BackendState s, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        if (!FORMAT.canRead(s.type(), s.version()) || s.queues().size() != 1 || context.pairs() != 1) {
            throw new StateTransferException("state " + s.type() + " version " + s.version() + " of " + s.queues().size()
                    + " pairs cannot be read for " + context.pairs());
        }
        Section queue = s.queues().getFirst();
        s.port().requireKnown(Set.of(PAIR));
        queue.requireKnown(Set.of(FD));
        if (s.port().number(PAIR) != 1) {
            throw new StateTransferException("port", PAIR, "1", Long.toString(s.port().number(PAIR)));
        }
        Fd own = null;
        try {
            own = queue.descriptor(FD).duplicate();
            RingPort loaded = new RingPort(RingOptions.parse(id, raw), context, own);
            if (!context.rehearsal()) {
                port = loaded;
            }
            return loaded;
        } catch (IOException | NetdevException e) {
            if (own != null) {
                own.close();
            }
            throw e instanceof StateTransferException t ? t : new StateTransferException(e.getMessage(), e);
        }
    }

    private boolean isOpen() {
        return port != null && !port.isClosed();
    }

    private RingPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port is not the open one of this netdev");
        }
        return port;
    }
}
