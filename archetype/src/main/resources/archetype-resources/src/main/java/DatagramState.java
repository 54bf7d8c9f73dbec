## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.io.IOException;
import java.util.List;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/**
 * The state "${type}", version 1: the section of the one queue pair has {@code fd}, the bound socket. Datagrams wait in it while the NIC
 * moves. The port's section has {@code path} and {@code peer}, which it was opened with: a configuration that says otherwise is refused,
 * since nothing here could change them while it is open. A next version that needs more writes version 2 and reads both, or adds fields
 * that are optional.
 */
final class DatagramState {
    static final String TYPE = "${type}";
    static final StateFormat FORMAT = StateFormat.of(TYPE, 1, 1).build();
    private static final String FD = "fd";
    private static final String PATH = "path";
    private static final String PEER = "peer";

    private DatagramState() {
    }

    /** A snapshot: the port lives on, and knows nothing of it. */
    static BackendState save(String id, DatagramPort port) throws StateTransferException {
        try {
            Section queue = Section.builder("queue 0").descriptor(FD, port.socket().duplicate()).build();
            Section all = Section.builder("port").text(PATH, port.options().path()).text(PEER, port.options().peer()).build();
            return BackendState.of(TYPE, 1, all, List.of(queue));
        } catch (IOException e) {
            throw new StateTransferException("netdev " + id + ": cannot save: " + e.getMessage(), e);
        }
    }

    private static void requireSame(DatagramOptions options, Section port, String field, String wanted) throws StateTransferException {
        if (!port.text(field).equals(wanted)) {
            throw new StateTransferException(port.name(), field, wanted + ", as " + field + "= of netdev " + options.id()
                    + " says, which cannot be changed while it is open", port.text(field));
        }
    }

    /** The socket, for a new port. It is looked at no more than that it is open: another process may be using it. */
    static Fd load(DatagramOptions options, BackendState state) throws StateTransferException {
        if (!FORMAT.canRead(state.type(), state.version())) {
            throw new StateTransferException("netdev " + options.id() + ": state " + state.type() + " version " + state.version()
                    + " cannot be read, only " + FORMAT.reads());
        }
        if (state.queues().size() != 1) {
            throw new StateTransferException("netdev " + options.id() + ": the state has " + state.queues().size()
                    + " queue pairs, type ${type} has one");
        }
        state.port().requireKnown(Set.of(PATH, PEER));
        requireSame(options, state.port(), PATH, options.path());
        requireSame(options, state.port(), PEER, options.peer());
        Section queue = state.queues().getFirst();
        queue.requireKnown(Set.of(FD));
        Fd fd = queue.descriptor(FD);
        if (!fd.isOpen() || !Posix.isOpen(fd.number())) {
            throw new StateTransferException(queue.name(), FD, "an open descriptor", "a closed one");
        }
        try {
            return fd.duplicate();
        } catch (IOException e) {
            throw new StateTransferException("netdev " + options.id() + ": cannot load: " + e.getMessage(), e);
        }
    }
}
