// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NicException;

/**
 * Changes of NICs and netdevs are made one at a time; but one that waits for a backend lets those of other things pass, so that a
 * backend that takes its time, or hangs, holds up its own NIC and netdev only. Any thread.
 */
final class Changes {
    private static final Logger LOG = LoggerFactory.getLogger(Changes.class);
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(60);

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition ended = lock.newCondition();
    /** Things that are being changed, {@code "netdev ID"} or {@code "NIC ID"}, and how. With the lock. */
    private final Map<String, String> underWay = new HashMap<>();
    /** Of {@link #exclusively}, how many are in progress. With the lock. */
    private int exclusives;
    /** Why nothing may be changed, or null. With the lock. */
    private String held;

    /** What a change does. */
    @FunctionalInterface
    interface Body<X extends Exception> {
        void run() throws NicException, X;
    }

    /**
     * Makes a change, when none of the things that it is about is being changed.
     *
     * @param things {@code "netdev ID"}, {@code "NIC ID"}
     * @param doing what is done to them, for who waits in vain: "is being added"
     * @param body does it
     * @throws NicException it is not made, now or at all
     */
    <X extends Exception> void make(List<String> things, String doing, Body<X> body) throws NicException, X {
        lock.lock();
        try {
            awaitIdle(things);
            things.forEach(t -> underWay.put(t, doing));
            try {
                body.run();
            } finally {
                underWay.keySet().removeAll(things);
                ended.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    private void awaitIdle(List<String> things) throws NicException {
        long left = PATIENCE_NANOS;
        while (true) {
            // who is in the middle of several comes to their end
            if (held != null && lock.getHoldCount() == 1) {
                throw new NicException(held);
            }
            Optional<String> busy = things.stream().filter(underWay::containsKey).findFirst();
            if (busy.isEmpty()) {
                return;
            }
            if (left <= 0) {
                throw new NicException(busy.get() + " " + underWay.get(busy.get()) + "; try again");
            }
            try {
                left = ended.awaitNanos(left);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new NicException("interrupted", e);
            }
        }
    }

    /**
     * The part of a change that waits for a backend: others pass meanwhile.
     *
     * @param body the part
     * @throws NicException what the body throws
     */
    <X extends Exception> void aside(Body<X> body) throws NicException, X {
        int holds = lock.getHoldCount();
        for (int i = 0; i < holds; i++) {
            lock.unlock();
        }
        try {
            body.run();
        } finally {
            for (int i = 0; i < holds; i++) {
                lock.lock();
            }
        }
    }

    /**
     * Looks and makes several changes, with nobody else's of the same things in between; others pass where one waits for a backend.
     *
     * @param things what may be changed, {@code "netdev ID"}, {@code "NIC ID"}: it begins when none of them is being changed
     * @return what came of it, or empty: nothing may be changed now
     */
    <T> Optional<T> exclusively(List<String> things, Supplier<T> changes) {
        lock.lock();
        try {
            awaitIdle(things);
            exclusives++;
            try {
                return Optional.of(changes.get());
            } finally {
                exclusives--;
                ended.signalAll();
            }
        } catch (NicException e) {
            LOG.debug("not now: {}", e.getMessage());
            return Optional.empty();
        } finally {
            lock.unlock();
        }
    }

    /** None from now on, and why; null: they are made again. Those that are being made are waited for. */
    void hold(String why) {
        lock.lock();
        try {
            held = why;
            ended.signalAll();
            while (why != null && !(underWay.isEmpty() && exclusives == 0)) {
                ended.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }
}
