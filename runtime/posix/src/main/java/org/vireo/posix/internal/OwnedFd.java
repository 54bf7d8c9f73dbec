// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.internal;

import java.io.IOException;
import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.posix.Posix;

/** A descriptor that is closed exactly once. Its number is given up before it is closed, so it is never closed twice. */
public final class OwnedFd implements Fd {
    private static final Cleaner CLEANER = Cleaner.create();

    private final Cell cell;
    private final Cleaner.Cleanable cleanable;

    /**
     * Takes ownership.
     *
     * @param number an open descriptor
     * @param purpose what it is
     */
    public OwnedFd(int number, String purpose) {
        cell = new Cell(number, purpose);
        cleanable = CLEANER.register(this, cell);
    }

    /** What outlives the object: the number, and how many epolls it is registered with. */
    private static final class Cell implements Runnable {
        final AtomicInteger number;
        final AtomicInteger registrations = new AtomicInteger();
        final String purpose;
        volatile boolean closedByOwner;

        Cell(int number, String purpose) {
            this.number = new AtomicInteger(number);
            this.purpose = purpose;
        }

        @Override
        public void run() {
            int n = number.getAndSet(-1);
            if (n >= 0) {
                if (!closedByOwner) {
                    LoggerFactory.getLogger(Fd.class).warn("descriptor {} was not closed: {}", n, purpose);
                }
                Posix.close(n);
            }
        }
    }

    @Override
    public int number() {
        int n = cell.number.get();
        if (n < 0) {
            throw new IllegalStateException(cell.purpose + ": descriptor is closed");
        }
        return n;
    }

    @Override
    public Fd duplicate() throws IOException {
        return new OwnedFd(Posix.check(Posix.duplicate(number()), "duplicate " + cell.purpose), cell.purpose);
    }

    @Override
    public boolean isOpen() {
        return cell.number.get() >= 0;
    }

    @Override
    public void close() {
        if (cell.registrations.get() > 0) {
            throw new IllegalStateException(cell.purpose + ": descriptor " + cell.number + " is still registered with epoll");
        }
        cell.closedByOwner = true;
        cleanable.clean();
    }

    /**
     * Counts registrations with epoll.
     *
     * @param change +1 or -1
     */
    public void registered(int change) {
        cell.registrations.addAndGet(change);
    }

    @Override
    public String toString() {
        return cell.purpose + " (descriptor " + cell.number + ")";
    }
}
