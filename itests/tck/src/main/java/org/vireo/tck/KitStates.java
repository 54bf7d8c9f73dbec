// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.linux.UnixSockets;

/**
 * States made of one that a backend saved: the same, with a field that is wrong, or with stand-ins for its descriptors. Descriptors are
 * duplicated: who gets a state, or a section, closes it. One thread.
 */
final class KitStates {
    /** The place of the port's section, before the queues'. */
    static final int PORT = -1;

    private KitStates() {
    }

    /** The same as of another type and version. */
    static BackendState as(String type, int version, BackendState s) throws IOException, StateTransferException {
        return BackendState.of(type, version, copy(s.port()), copies(s.queues()));
    }

    /** With its last queue twice. */
    static BackendState withOneQueueMore(BackendState s) throws IOException, StateTransferException {
        List<Section> more = new ArrayList<>(copies(s.queues()));
        more.add(copy(s.queues().getLast()));
        return BackendState.of(s.type(), s.version(), copy(s.port()), more);
    }

    /** The port's section, or a queue's. */
    static Section section(BackendState s, int at) {
        return at == PORT ? s.port() : s.queues().get(at);
    }

    /** With another value of a field, or without it if that is null, in the {@link #section} at a place. */
    static BackendState with(BackendState s, int at, String field, Object value) throws IOException, StateTransferException {
        return with(s, at, changed(section(s, at), field, value));
    }

    /** With a flag that nobody knows. */
    static BackendState withSurplus(BackendState s, int at, String field) throws IOException, StateTransferException {
        return with(s, at, changed(section(s, at), "", field));
    }

    private static BackendState with(BackendState s, int at, Section changed) throws IOException, StateTransferException {
        List<Section> queues = new ArrayList<>();
        for (int i = 0; i < s.queues().size(); i++) {
            queues.add(i == at ? changed : copy(s.queues().get(i)));
        }
        return BackendState.of(s.type(), s.version(), at == PORT ? changed : copy(s.port()), queues);
    }

    private static List<Section> copies(List<Section> sections) throws IOException, StateTransferException {
        List<Section> l = new ArrayList<>();
        for (Section s : sections) {
            l.add(copy(s));
        }
        return l;
    }

    private static Section copy(Section s) throws IOException, StateTransferException {
        return changed(s, null, null);
    }

    /**
     * A copy, with duplicated descriptors.
     *
     * @param field the field to leave out or to replace; empty: the value is the name of a field to add; null: none
     */
    private static Section changed(Section s, String field, Object value) throws IOException, StateTransferException {
        Section.Builder b = Section.builder(s.name());
        for (String f : s.names()) {
            Object v = f.equals(field) ? value : s.value(f);
            if (v instanceof Fd fd) {
                b.descriptor(f, f.equals(field) ? fd : fd.duplicate());
            } else {
                value(b, f, v);
            }
            if (v != null && s.optional(f)) {
                b.optional(f);
            }
        }
        if ("".equals(field)) {
            b.flag((String) value, true);
        }
        return b.build();
    }

    private static void value(Section.Builder b, String field, Object v) {
        if (v instanceof Long l) {
            b.number(field, l);
        } else if (v instanceof Boolean flag) {
            b.flag(field, flag);
        } else if (v instanceof String t) {
            b.text(field, t);
        }
    }

    /**
     * The same state with stand-ins for all descriptors.
     *
     * @param far takes each one's other end; those of the queues come first
     */
    static BackendState standIns(BackendState s, KitContext rehearsal, Consumer<Fd> far) throws IOException, StateTransferException {
        List<Section> queues = new ArrayList<>();
        for (Section q : s.queues()) {
            queues.add(standIns(q, rehearsal, far));
        }
        return BackendState.of(s.type(), s.version(), standIns(s.port(), rehearsal, far), queues);
    }

    private static Section standIns(Section s, KitContext rehearsal, Consumer<Fd> far) throws IOException, StateTransferException {
        Section.Builder b = Section.builder(s.name());
        for (String f : s.names()) {
            if (s.value(f) instanceof Fd) {
                Fd[] pair = UnixSockets.pair(rehearsal.fds(), 5, true, "stand-in");
                far.accept(pair[0]);
                b.descriptor(f, pair[1]);
            } else {
                value(b, f, s.value(f));
            }
            if (s.optional(f)) {
                b.optional(f);
            }
        }
        return b.build();
    }
}
