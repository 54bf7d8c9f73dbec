// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;

/**
 * The thread of a port: sleeps until the descriptor that its duty names is readable, or some time has passed, and then does the duty. It
 * can be made to stand still. Any thread but its own may call.
 */
final class Watcher {
    private final Duty duty;
    private final Fd wake;
    private final Thread thread;
    private boolean pausing;
    private boolean standing;
    private boolean ending;

    /**
     * What a watcher waits for.
     *
     * @param descriptor its number, or -1: none
     * @param millis at most, or -1: without end
     */
    record Wait(int descriptor, int millis) {
        /** The same, but no longer than that. */
        Wait atMost(int most) {
            return new Wait(descriptor, millis < 0 ? most : Math.min(millis, most));
        }
    }

    /** What a watcher does. On its thread only. */
    interface Duty {
        /** What to wait for, and how long: both by one look at the clock. */
        Wait next();

        /** The descriptor is readable, or the time has passed. */
        void handle();

        /** {@link #handle} threw what nobody expected: the watcher ends. */
        void broken(Throwable why);
    }

    private Watcher(String name, Fds fds, Duty duty) throws IOException {
        this.duty = duty;
        wake = EventFd.create(fds, name + " wake");
        thread = Thread.ofPlatform().daemon().name(name).unstarted(this::run);
    }

    static Watcher start(String name, Fds fds, Duty duty) throws IOException {
        Watcher w = new Watcher(name, fds, duty);
        boolean runs = false;
        try {
            w.thread.start();
            runs = true;
            return w;
        } finally {
            if (!runs) {
                w.wake.close();
            }
        }
    }

    private void run() {
        try {
            while (mayGoOn()) {
                Wait w = duty.next();
                int ready = Poll.readable(w.millis(), wake.number(), w.descriptor());
                if ((ready & 1) != 0) {
                    EventFd.drain(wake.number());
                } else if (mayGoOn()) {
                    duty.handle();
                }
            }
        } catch (RuntimeException | Error e) {
            duty.broken(e);
        }
    }

    private synchronized boolean mayGoOn() {
        while (pausing && !ending) {
            standing = true;
            notifyAll();
            try {
                wait();
            } catch (InterruptedException e) {
                ending = true; // nobody interrupts it but to end it
            }
        }
        standing = false;
        return !ending;
    }

    /** Makes it look at its duty anew. */
    void wake() {
        EventFd.signal(wake.number());
    }

    /**
     * Makes it stand still.
     *
     * @param millis how long that may take
     * @return whether it does; if not, it goes on
     */
    synchronized boolean pause(long millis) {
        pausing = true;
        wake();
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        for (long left = millis; !standing && thread.isAlive() && left > 0; left = (end - System.nanoTime()) / 1_000_000) {
            try {
                wait(left);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                break;
            }
        }
        if (!standing && thread.isAlive()) {
            goOn();
            return false;
        }
        return true;
    }

    synchronized void goOn() {
        pausing = false;
        notifyAll();
    }

    /**
     * Ends it.
     *
     * @param millis how long to wait for that
     */
    void end(long millis) {
        synchronized (this) {
            ending = true;
            notifyAll();
        }
        wake();
        try {
            thread.join(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        wake.close();
    }
}
