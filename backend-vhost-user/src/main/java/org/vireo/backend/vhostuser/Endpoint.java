// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.PortBusyException;
import org.vireo.posix.linux.UnixSockets;

/** Where back-ends come from: a socket that they listen on, or one that they connect to. */
final class Endpoint {
    private static final Logger LOG = LoggerFactory.getLogger(Endpoint.class);

    private final VhostUserOptions options;
    private final Fds fds;
    private Fd listener;

    private Endpoint(VhostUserOptions options, Fds fds, Fd listener) {
        this.options = options;
        this.fds = fds;
        this.listener = listener;
    }

    /**
     * Listens, if that is this side's part. A dead socket file is replaced.
     *
     * @throws PortBusyException somebody listens there, perhaps the port that this one is to replace
     */
    static Endpoint open(VhostUserOptions options, Fds fds) throws IOException, PortBusyException {
        if (!options.server()) {
            return new Endpoint(options, fds, null);
        }
        Path path = Path.of(options.path());
        try {
            return new Endpoint(options, fds, listen(options, fds));
        } catch (IOException e) {
            if (isListening(path, fds)) {
                throw new PortBusyException(options.prefix() + e.getMessage(), e);
            }
            throw e;
        }
    }

    private static Fd listen(VhostUserOptions options, Fds fds) throws IOException {
        return UnixSockets.listen(fds, Path.of(options.path()), 0600, options.prefix() + "listener");
    }

    private static boolean isListening(Path path, Fds fds) {
        try {
            UnixSockets.connect(fds, path, "probe of " + path).close();
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** Goes on with a listener of somebody else; null where this side connects. */
    static Endpoint of(VhostUserOptions options, Fds fds, Fd listener) {
        return new Endpoint(options, fds, listener);
    }

    Fd listener() {
        return listener;
    }

    /**
     * The next connection, without waiting for it.
     *
     * @return a socket; null: nobody is there. Only who listens returns that
     * @throws IOException nobody is there, for who connects; or there is no descriptor left
     */
    Fd next() throws IOException {
        String purpose = options.prefix() + "back-end " + options.path();
        return listener != null ? UnixSockets.accept(listener, fds, false, purpose)
                : UnixSockets.connect(fds, Path.of(options.path()), purpose);
    }

    /**
     * Listens anew where somebody has removed the socket that back-ends connect to.
     *
     * @return whether it did
     */
    boolean renew() throws IOException {
        if (listener == null || Files.exists(Path.of(options.path()), LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        Fd former = listener;
        listener = listen(options, fds);
        former.close();
        return true;
    }

    /**
     * Why there is no back-end.
     *
     * @param told the reason
     * @param explained whether it tells who is in the way: then it is no use to start another one
     */
    record Reason(String told, boolean explained) { }

    /**
     * Why a connection was not made, or was of no use, with what can be known of others at the same path.
     *
     * @param c the connection, which this side has not ended yet; null: it was not made
     * @param e what became of it
     */
    Reason reason(Connection c, IOException e) {
        String why = c == null ? e.getMessage() : c.reason(e);
        // where nobody listens there is nobody to tell of
        boolean nobody = c == null && !(e instanceof UnixSockets.QueueFullException);
        if (listener != null || nobody || c != null && c.isAborted()) {
            return new Reason(why, false);
        }
        if (c != null && c.isOwn()) {
            return new Reason(why, true);
        }
        Occupancy now = Occupancy.of(options.path());
        String who = c == null ? "who listens there" : c.peer();
        String others = c != null && c.hasEnded() ? now.ofEnd(who) : c != null || now.waiting() > 0 ? now.ofSilence(who) : "";
        return new Reason(why + others, !others.isEmpty());
    }

    /** What an operator has to do so that a back-end comes, behind why there is none. */
    String advice() {
        if (listener != null) {
            return "; start one that connects to " + options.path();
        }
        Path path = Path.of(options.path());
        return "; " + (Files.isDirectory(path) || Files.isRegularFile(path) ? "give another path=, or remove what is there and " : "")
                + "start one that listens on " + path;
    }

    /**
     * Closes the listener.
     *
     * @param last whether nobody goes on with it: then its path is removed
     */
    void close(boolean last) {
        if (listener == null) {
            return;
        }
        if (last) {
            try {
                Files.deleteIfExists(Path.of(options.path()));
            } catch (IOException e) {
                LOG.warn("{}cannot remove {}: {}", options.prefix(), options.path(), e.getMessage());
            }
        }
        listener.close();
    }
}
