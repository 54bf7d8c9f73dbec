// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.posix.linux.Poll;

/** Opens a port. It waits a moment for the first back-end: who wants the port tries again, and can do something else in between. */
final class Opener {
    private static final Logger LOG = LoggerFactory.getLogger(Opener.class);
    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final long NEGOTIATION_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final long CONNECT_NANOS = TimeUnit.MILLISECONDS.toNanos(300);
    /** Longer: back-ends that connect look about once a second whether somebody listens. */
    private static final long LISTEN_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** An answer that comes at the deadline comes too late. */
    private static final long RETURN_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    private Opener() {
    }

    static VhostUserPort open(VhostUserOptions options, OpenContext context, Pace pace) throws NetdevException {
        if (options.queues() < context.pairs()) {
            throw new NetdevException(options.prefix() + "queues=" + options.queues() + " are configured, but the NIC has "
                    + context.pairs() + " pairs: give both the same queues=");
        }
        if (options.force()) {
            LOG.info("{}vhostforce has no effect: the rings are always the back-end's", options.prefix());
        }
        Endpoint endpoint = null;
        Connection connection = null;
        boolean done = false;
        try {
            endpoint = Endpoint.open(options, context.fds());
            connection = first(options, context, endpoint);
            VhostUserPort port = new VhostUserPort(options, context,
                    new Link.Beginning(endpoint, connection, connection.offer(), pace));
            done = true;
            LOG.info("{}connected to the back-end at {}: {}", options.prefix(), options.path(), port.link().offer());
            return port;
        } catch (IOException e) {
            throw new NetdevException(options.prefix() + e.getMessage(), e);
        } finally {
            if (!done && connection != null) {
                connection.close();
            }
            if (!done && endpoint != null) {
                endpoint.close(true);
            }
        }
    }

    private static Connection first(VhostUserOptions options, OpenContext context, Endpoint endpoint) throws NetdevException {
        IOException last = null;
        Endpoint.Reason why = null;
        long end = context.deadlineNanos() - RETURN_NANOS;
        long start = System.nanoTime();
        long until = start + Math.min(end - start, endpoint.listener() == null ? CONNECT_NANOS : LISTEN_NANOS);
        do {
            Connection c = null;
            boolean done = false;
            try {
                Fd socket = next(endpoint, until);
                if (socket != null) {
                    c = new Connection(socket, context.fds(), options.prefix() + "back-end");
                    c.until(Math.min(end - System.nanoTime(), NEGOTIATION_NANOS) + System.nanoTime());
                    c.negotiate(options.prefix(), options.queues());
                    c.take();
                    done = true;
                    return c;
                }
            } catch (IOException e) {
                last = e;
                // why none was made is looked up once, in the end
                why = c == null ? null : endpoint.reason(c, e);
                LockSupport.parkNanos(RETRY_NANOS);
            } finally {
                if (c != null && !done) {
                    c.close();
                }
            }
        } while (until - System.nanoTime() > 0);
        if (why == null && last != null) {
            why = endpoint.reason(null, last);
        }
        throw new PortUnavailableException(options.prefix() + "no back-end" + (why == null ? "" : " (" + why.told() + ")")
                + (why == null || !why.explained() ? endpoint.advice() : ""), last);
    }

    private static Fd next(Endpoint endpoint, long deadlineNanos) throws IOException {
        if (endpoint.listener() != null) {
            long left = deadlineNanos - System.nanoTime();
            Poll.readable(Math.clamp(TimeUnit.NANOSECONDS.toMillis(left) + 1, 0, Integer.MAX_VALUE), endpoint.listener().number());
        }
        return endpoint.next();
    }
}
