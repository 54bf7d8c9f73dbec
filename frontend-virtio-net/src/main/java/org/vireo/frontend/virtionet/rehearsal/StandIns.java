// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.linux.UnixSockets;

/**
 * A backend's state with each descriptor replaced by one end of a socket pair that keeps frames apart: so that the real backend's code
 * can be run without touching the real thing.
 */
public final class StandIns implements AutoCloseable {
    private static final int SEQPACKET = 5;

    private final BackendState state;
    private final List<Fd> farEnds;

    private StandIns(BackendState state, List<Fd> farEnds) {
        this.state = state;
        this.farEnds = farEnds;
    }

    /**
     * Makes stand-ins for a state.
     *
     * @param real the state, which is left alone
     * @param fds makes the sockets
     * @return the same state with stand-ins
     * @throws IOException no descriptor left
     * @throws StateTransferException the state is over a limit
     */
    public static StandIns of(BackendState real, Fds fds) throws IOException, StateTransferException {
        List<Fd> far = new ArrayList<>();
        List<Section> sections = new ArrayList<>();
        try {
            sections.add(section(real.port(), fds, far));
            for (Section q : real.queues()) {
                sections.add(section(q, fds, far));
            }
        } catch (IOException e) {
            far.forEach(Fd::close);
            sections.forEach(Section::closeDescriptors);
            throw e;
        }
        return new StandIns(BackendState.of(real.type(), real.version(), sections.getFirst(), sections.subList(1, sections.size())), far);
    }

    private static Section section(Section real, Fds fds, List<Fd> far) throws IOException {
        Section.Builder b = Section.builder(real.name());
        for (String field : real.names()) {
            switch (real.value(field)) {
                case Long n -> b.number(field, n);
                case Boolean f -> b.flag(field, f);
                case String t -> b.text(field, t);
                default -> {
                    Fd[] pair = UnixSockets.pair(fds, SEQPACKET, true, "stand-in for " + field);
                    b.descriptor(field, pair[0]);
                    far.add(pair[1]);
                }
            }
            if (real.optional(field)) {
                b.optional(field);
            }
        }
        return b.build();
    }

    /**
     * The state.
     *
     * @return owned by this object
     */
    public BackendState state() {
        return state;
    }

    /**
     * The other ends of the stand-ins, in the state's order.
     *
     * @return owned by this object
     */
    public List<Fd> farEnds() {
        return farEnds;
    }

    @Override
    public void close() {
        state.close();
        farEnds.forEach(Fd::close);
    }
}
