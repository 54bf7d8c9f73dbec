// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import java.io.IOException;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.StatisticsSink;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;

/** A backend on a socket pair, to rehearse with before there is the state of a real one. */
public final class StandInBackend implements NetBackend, BackendStateTransfer {
    /** Its netdev type. */
    public static final String TYPE = "rehearsal";

    private static final String FD = "fd";

    private final long features;

    /**
     * A backend.
     *
     * @param features virtio features of its port
     */
    public StandInBackend(long features) {
        this.features = features;
    }

    /**
     * A state of one queue, whose descriptor is of no use.
     *
     * @param fds makes the descriptor
     * @return the state
     * @throws IOException no descriptor left
     * @throws StateTransferException never
     */
    public static BackendState state(Fds fds) throws IOException, StateTransferException {
        return BackendState.of(TYPE, 1, Section.builder("port").build(),
                List.of(Section.builder("queue 0").descriptor(FD, EventFd.create(fds, TYPE)).build()));
    }

    @Override
    public void validate() {
        // it has no options
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        throw new NetdevException("a stand-in is loaded, not opened");
    }

    @Override
    public StateFormat stateFormat() {
        return StateFormat.of(TYPE, 1, 1).build();
    }

    @Override
    public void check(NetPort port) {
        // it can always be saved
    }

    @Override
    public BackendState save(NetPort port, int version) throws StateTransferException {
        try {
            Section queue = Section.builder("queue 0").descriptor(FD, ((Port) port).queue.fd.duplicate()).build();
            return BackendState.of(TYPE, version, Section.builder("port").build(), List.of(queue));
        } catch (IOException e) {
            throw new StateTransferException("stand-in: " + e.getMessage(), e);
        }
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException {
        try {
            return new Port(state.queues().getFirst().descriptor(FD).duplicate(), features);
        } catch (IOException e) {
            throw new StateTransferException("stand-in: " + e.getMessage(), e);
        }
    }

    private static final class Port implements FramePort {
        private final Queue queue;
        private final PortProfile profile;

        Port(Fd fd, long features) {
            queue = new Queue(fd);
            profile = PortProfile.builder().pairs(1).headerLengths(10, 12).features(features).build();
        }

        @Override
        public FrameQueue queue(int pair) {
            return queue;
        }

        @Override
        public PortProfile profile() {
            return profile;
        }

        @Override
        public void apply(PortSettings settings) {
            // a socket takes frames as they are
        }

        @Override
        public void statistics(StatisticsSink to) {
            // none
        }

        @Override
        public void close(Disposal how) {
            queue.fd.close();
        }
    }

    private record Queue(Fd fd) implements FrameQueue {
        @Override
        public Fd events() {
            return fd;
        }

        @Override
        public int transmit(FrameBatch batch) {
            int size = batch.size();
            for (int i = 0; i < size; i++) {
                if (Posix.writev(fd.number(), batch.iovecs(i), batch.iovecCount(i)) < 0) {
                    return i;
                }
                batch.taken(i);
            }
            return size;
        }

        @Override
        public int receive(ReceiveWindow window) {
            int delivered = 0;
            int count = window.iovecCount();
            while (count > 0) {
                long n = Posix.readv(fd.number(), window.iovecs(), count);
                if (n <= 0) {
                    return delivered;
                }
                delivered++;
                count = window.deliver((int) n) ? window.iovecCount() : 0;
            }
            return delivered;
        }
    }
}
