// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import org.vireo.net.api.Fd;

/**
 * Work that a {@link Worker} does again and again: a NIC's queue pair. All methods are called on the worker's thread, except where
 * they say otherwise.
 */
public abstract class Task {
    private Worker worker;
    private int index = -1;
    boolean queued;
    int faults;
    volatile boolean revoked;

    /**
     * Something happened to a watched descriptor.
     *
     * @param source what it was watched as
     * @param events of epoll
     */
    protected abstract void ready(int source, int events);

    /**
     * Does some work: a few dozen frames.
     *
     * @param scratch this thread's memory
     * @return whether there is more to do at once
     * @throws Exception this task is broken: it is taken out, and {@link #broken} called
     */
    protected abstract boolean run(Scratch scratch) throws Exception;

    /**
     * It was taken out because it threw, or because a backend's call did not return. Any thread; must only post.
     *
     * @param why the reason
     */
    protected abstract void broken(Throwable why);

    /**
     * Whether the memory that it works on was truncated by its owner.
     *
     * @return whether
     */
    protected abstract boolean memoryTruncated();

    /** A fault of memory hit some task of this worker, not this one: undo look-ahead. */
    protected abstract void rewind();

    /**
     * Who suffers together: all tasks of one NIC.
     *
     * @return the NIC
     */
    protected abstract Object group();

    /**
     * Called when a thread that had been given up inside this task has come back.
     */
    protected abstract void returned();

    /**
     * Whether the worker gave this task up while its thread was inside: then it must touch nothing any more.
     *
     * @return whether; any thread
     */
    public final boolean isRevoked() {
        return revoked;
    }

    /**
     * Whether it is in a worker.
     *
     * @return whether; on the worker's thread
     */
    public final boolean isAdded() {
        return index >= 0;
    }

    final void attach(Worker to, int at) {
        worker = to;
        index = at;
    }

    final int index() {
        return index;
    }

    /**
     * The worker that it was added to.
     *
     * @return the worker
     */
    protected final Worker worker() {
        return worker;
    }

    /** Asks to be run. */
    protected final void wake() {
        worker.enqueue(this);
    }

    /**
     * Starts polling a descriptor for this task.
     *
     * @param fd the descriptor
     * @param source number for {@link #ready}, 0 to 3
     * @param events of epoll
     * @throws java.io.IOException it cannot be polled
     */
    protected final void watch(Fd fd, int source, int events) throws java.io.IOException {
        worker.watch(this, fd, source, events);
    }

    /**
     * Changes what a descriptor is polled for.
     *
     * @param fd the descriptor
     * @param source number for {@link #ready}
     * @param events of epoll
     * @throws java.io.IOException it is not polled
     */
    protected final void rewatch(Fd fd, int source, int events) throws java.io.IOException {
        worker.rewatch(this, fd, source, events);
    }

    /**
     * Ends polling a descriptor.
     *
     * @param fd the descriptor
     */
    protected final void unwatch(Fd fd) {
        worker.unwatch(this, fd);
    }
}
