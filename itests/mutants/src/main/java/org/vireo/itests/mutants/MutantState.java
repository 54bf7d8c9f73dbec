// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/** The state: the socket and the header's length. */
final class MutantState {
    static final String TYPE = "mutant";
    static final int VERSION = 1;
    static final StateFormat FORMAT = StateFormat.of(TYPE, VERSION, VERSION).build();
    /** Frames that this process has sent. */
    static final AtomicLong SENT = new AtomicLong();
    private static final String FD = "fd";
    private static final String COUNT = "count";
    private static final String HEADER = "header_length";
    private static final int FIONREAD = 0x541b;

    private MutantState() {
    }

    static BackendState save(Fault fault, MutantPort p) throws StateTransferException {
        if (fault == Fault.SAVE_SENDS) {
            p.tell("saved");
        }
        try {
            if (fault == Fault.SAVE_LEAKS) {
                p.socket().duplicate();
            }
            Section.Builder port = Section.builder("port").number(HEADER, p.header());
            if (fault == Fault.STATE_COUNTS) {
                port.number(COUNT, SENT.get());
            }
            Fd fd = fault == Fault.LENDS_ITS_DESCRIPTOR ? p.socket() : p.socket().duplicate();
            return BackendState.of(TYPE, VERSION, port.build(),
                    List.of(Section.builder("queue 0").descriptor(FD, fd).build()));
        } catch (IOException e) {
            throw new StateTransferException("no descriptor left", e);
        }
    }

    static MutantPort load(Fault fault, BackendState s, OpenContext context) throws StateTransferException {
        if (!s.type().equals(TYPE) || s.version() != VERSION && fault != Fault.LOADS_ANY_VERSION) {
            throw new StateTransferException("state " + s.type() + " version " + s.version() + " cannot be read");
        }
        if (s.queues().size() != 1 || context.pairs() != 1) {
            throw new StateTransferException("a state of " + s.queues().size() + " pairs for a NIC with " + context.pairs());
        }
        if (fault == Fault.LOAD_LEAKS) {
            leak(s);
        }
        Section queue = s.queues().getFirst();
        if (fault != Fault.LOADS_UNKNOWN_FIELDS) {
            s.port().requireKnown(fault == Fault.STATE_COUNTS ? Set.of(HEADER, COUNT) : Set.of(HEADER));
            queue.requireKnown(Set.of(FD));
        }
        try {
            long behind = fault == Fault.STATE_COUNTS ? SENT.get() - s.port().number(COUNT) : 0;
            MutantPort p = load(fault, s.port().number(HEADER), queue.descriptor(FD), context);
            p.queue().behind(behind);
            return p;
        } catch (StateTransferException e) {
            throw fault == Fault.HIDES_THE_FIELD ? new StateTransferException("the state is not right") : e;
        } catch (IOException e) {
            throw new StateTransferException("no descriptor left", e);
        }
    }

    private static MutantPort load(Fault fault, long header, Fd fd, OpenContext context) throws IOException, StateTransferException {
        if (!MutantPort.HEADERS.contains((int) header)) {
            throw new StateTransferException("port", HEADER, "one of " + MutantPort.HEADERS, Long.toString(header));
        }
        if (fault == Fault.LOAD_LOOKS) {
            try (Arena a = Arena.ofConfined()) {
                Posix.ioctl(fd.number(), FIONREAD, a.allocate(8));
            }
        }
        MutantPort p = new MutantPort(fault, context, fd.duplicate(), (int) header);
        if (fault == Fault.LOAD_DRAINS) {
            p.empty();
        }
        return p;
    }

    private static void leak(BackendState s) {
        for (String name : s.queues().getFirst().names()) {
            if (s.queues().getFirst().value(name) instanceof Fd fd) {
                Posix.duplicate(fd.number());
            }
        }
    }
}
