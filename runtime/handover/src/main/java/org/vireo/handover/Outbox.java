// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.ArrayDeque;
import java.util.Deque;
import org.vireo.handover.wire.Channel;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.nic.NicImage;

/**
 * Sends changes from a thread of its own, so that who makes them never waits for the other side. A full or broken outbox drops
 * everything from then on: the target is expelled, the NICs go on.
 */
final class Outbox implements AutoCloseable {
    private static final int MOST = 1024;

    private final Channel channel;
    private final Deadlines deadlines;
    private final Deque<NicImage> queue = new ArrayDeque<>();
    private final Thread thread;
    private boolean sending;
    private boolean closed;
    private String broken;

    Outbox(Channel channel, Deadlines deadlines) {
        this.channel = channel;
        this.deadlines = deadlines;
        thread = Thread.ofPlatform().daemon().name("handover-changes").start(this::run);
    }

    /** Takes a change, which is closed when it was sent. Does not block. */
    void add(NicImage change) {
        synchronized (this) {
            if (broken == null && queue.size() == MOST) {
                broken = "the target lags: " + MOST + " changes wait to be sent";
            }
            if (broken == null && !closed) {
                queue.add(change);
                notifyAll();
                return;
            }
        }
        change.close();
    }

    /** Why nothing is sent any more, or null. */
    synchronized String broken() {
        return broken;
    }

    synchronized boolean isEmpty() {
        return queue.isEmpty() && !sending;
    }

    private void run() {
        try {
            for (NicImage next = take(); next != null; next = take()) {
                try (NicImage change = next) {
                    channel.send(Message.of(RecordType.CHANGE, change), Deadlines.in(deadlines.record()));
                }
            }
        } catch (WireException e) {
            fail(e.getMessage());
        } catch (RuntimeException e) {
            fail("a change cannot be sent: " + e);
        }
    }

    private synchronized void fail(String why) {
        if (!closed) {
            broken = why;
        }
        sending = false;
        drop();
    }

    private synchronized NicImage take() {
        sending = false;
        while (queue.isEmpty() && !closed) {
            try {
                wait();
            } catch (InterruptedException e) {
                closed = true; // nobody interrupts this thread but to end it
            }
        }
        if (closed) {
            return null;
        }
        sending = true;
        return queue.poll();
    }

    private void drop() {
        queue.forEach(NicImage::close);
        queue.clear();
    }

    /** Ends the thread; what was not sent is dropped. */
    @Override
    public void close() {
        synchronized (this) {
            closed = true;
            drop();
            notifyAll();
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true; // the thread ends within the deadline of a record
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
