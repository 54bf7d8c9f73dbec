## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StatisticsSink;

/** An open netdev: one queue pair, frames without virtio-net header, so without offloads. */
final class DatagramPort implements FramePort {
    private static final Logger LOG = LoggerFactory.getLogger(DatagramPort.class);

    private final DatagramOptions options;
    private final OpenContext context;
    private final PortProfile profile = PortProfile.builder().pairs(1).headerLengths(0).build();
    private final DatagramQueue queue;
    private boolean closed;

    DatagramPort(DatagramOptions options, OpenContext context, Fd socket) {
        this.options = options;
        this.context = context;
        // in a rehearsal the socket is a stand-in, which must not be connected elsewhere
        queue = new DatagramQueue(socket, context.rehearsal() ? null : UnixSocket.address(Arena.ofAuto(), options.peer()));
    }

    DatagramOptions options() {
        return options;
    }

    boolean isClosed() {
        return closed;
    }

    Fd socket() {
        return queue.events();
    }

    @Override
    public FrameQueue queue(int pair) {
        if (pair != 0) {
            throw new IndexOutOfBoundsException("pair " + pair + " of 1");
        }
        return queue;
    }

    @Override
    public PortProfile profile() {
        return profile;
    }

    @Override
    public void apply(PortSettings settings) throws NetdevException {
        if (closed) {
            throw new NetdevException("netdev " + options.id() + ": is closed");
        }
        if (!profile.headerLengths().contains(settings.headerLength())) {
            throw new NetdevException("netdev " + options.id() + ": header length " + settings.headerLength() + " is not one of "
                    + profile.headerLengths());
        }
        queue.enable(settings.enabled(0));
    }

    @Override
    public void statistics(StatisticsSink to) {
        to.counter("reconnects", queue.reconnects());
    }

    @Override
    public void close(Disposal how) {
        if (closed) {
            return;
        }
        closed = true;
        queue.close();
        // LEAVE: somebody else goes on with the socket; a rehearsal has no duties
        if (how == Disposal.RELEASE && !context.rehearsal()) {
            try {
                Files.deleteIfExists(Path.of(options.path()));
            } catch (IOException e) {
                LOG.warn("netdev {}: {} stays: {}", options.id(), options.path(), e.getMessage());
            }
        }
    }
}
