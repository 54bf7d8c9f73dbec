// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.DescriptorStore.Found;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.UnixSockets;

/**
 * Goes on with NICs that a dead process left in the descriptor store. This process is its own standby: what was stored is what the dead one
 * had fed it, so that the same rules decide, by the NICs' words, whether a NIC may be taken.
 */
final class StoreRestore {
    private static final Logger LOG = LoggerFactory.getLogger(StoreRestore.class);
    private static final int STREAM = 1;
    private static final long NOBODY = -1;

    private final Context context;

    StoreRestore(Context context) {
        this.context = new Context(context.nics(), context.fds(), Deadlines.STANDARD, context.events(), false);
    }

    /**
     * Takes what may be taken, and waits for that.
     *
     * @param found the NICs; closed
     * @return how many were taken
     * @throws IOException no descriptor left
     */
    int run(List<Found> found) throws IOException {
        Fd[] ends = UnixSockets.pair(context.fds(), STREAM, false, "restored NICs");
        try (Cancel cancel = new Cancel(context.fds())) {
            Report report = new Report("restored", context.events());
            RestoreSession session = new RestoreSession(context, new Channel(ends[0], context.fds()), dead(), cancel, report);
            Thread t = Thread.ofPlatform().daemon().name("descriptor-store").start(session::run);
            // its end is what the other process's death is to a standby
            try (Channel feeder = new Channel(ends[1], context.fds())) {
                feed(feeder, found);
            } catch (WireException e) {
                LOG.error("NICs of the descriptor store: {}", e.getMessage());
            }
            // bounded by the deadlines of its own
            t.join();
            return session.taken();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return 0;
        } finally {
            found.forEach(Found::close);
        }
    }

    /** Who left the NICs: whoever a NIC's word names is looked up by that name. */
    private Peer dead() throws IOException {
        Fd ended = EventFd.create(context.fds(), "process that has ended");
        EventFd.signal(ended.number());
        return new Peer(context.fds(), NOBODY, ended);
    }

    private void feed(Channel to, List<Found> found) throws WireException {
        for (Found f : found) {
            boolean goesOn = prepares(to, Message.of(RecordType.PREPARE, f.picture()));
            for (int i = 0; goesOn && i < f.changes().size(); i++) {
                goesOn = prepares(to, Message.of(RecordType.CHANGE, f.changes().get(i)));
            }
        }
    }

    /** Sends it and waits for the answer; whether that is PREPARED. */
    private boolean prepares(Channel channel, Message m) throws WireException {
        // the session has as long for a NIC, and says so then
        long deadline = Deadlines.in(context.deadlines().prepare() + context.deadlines().record());
        channel.send(m, deadline);
        while (true) {
            Optional<Message> received = channel.receive(deadline);
            if (received.isPresent()) {
                try (Message answer = received.get()) {
                    if (answer.nic().equals(m.nic())) {
                        return answer.type() == RecordType.PREPARED;
                    }
                }
            }
        }
    }
}
