// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.worker.BackendException;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortBusyException;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.StateTransferException;

/**
 * Calls the control side of one netdev's backend, one call at a time, with a deadline. While a call has not returned, further ones are
 * refused at once: only its netdev is lost meanwhile, nobody else waits. Any thread may call.
 */
final class BackendCalls {
    private static final Logger LOG = LoggerFactory.getLogger(BackendCalls.class);

    private final String netdev;
    private final Executor threads;
    private final Queue<Runnable> waiting = new ArrayDeque<>();
    private boolean calling;
    private volatile String underWay;
    private volatile String stuck;

    /**
     * Calls of one backend.
     *
     * @param netdev for messages
     * @param threads they are made in; a call that does not return keeps one
     */
    BackendCalls(String netdev, Executor threads) {
        this.netdev = netdev;
        this.threads = threads;
    }

    private synchronized void submit(Runnable call) {
        waiting.add(call);
        if (!calling) {
            calling = true;
            try {
                threads.execute(this::makeCalls);
            } catch (RuntimeException | Error e) {
                // no thread left
                calling = false;
                waiting.remove(call);
                throw e;
            }
        }
    }

    private void makeCalls() {
        for (Runnable call = next(); call != null; call = next()) {
            call.run();
        }
    }

    private synchronized Runnable next() {
        Runnable call = waiting.poll();
        calling = call != null;
        return call;
    }

    /** A call without result. */
    @FunctionalInterface
    interface Action {
        void run() throws Exception;
    }

    private enum Stage { WAITING, RUNNING, DONE, GIVEN_UP }

    <T> T call(String what, String bundle, long deadlineNanos, Callable<T> call) throws NetdevException {
        return call(what, bundle, deadlineNanos, call, late -> LOG.info("netdev {}: {} of {} has returned", netdev, what, bundle));
    }

    /**
     * A call.
     *
     * @param tooLate takes a result that nobody waits for any more, on the backend's thread
     */
    <T> T call(String what, String bundle, long deadlineNanos, Callable<T> call, Consumer<T> tooLate) throws NetdevException {
        return call(what, bundle, deadlineNanos, call, tooLate, false);
    }

    /** @param surely it is made in any case: if its turn does not come in time, later */
    private <T> T call(String what, String bundle, long deadlineNanos, Callable<T> call, Consumer<T> tooLate, boolean surely)
            throws NetdevException {
        String busy = stuck;
        if (busy != null && !surely) {
            throw new NetdevException("netdev " + netdev + ": " + busy);
        }
        AtomicReference<Stage> stage = new AtomicReference<>(Stage.WAITING);
        CompletableFuture<T> result = new CompletableFuture<>();
        submit(() -> {
            if (!stage.compareAndSet(Stage.WAITING, Stage.RUNNING)) {
                return;
            }
            T value = null;
            Throwable thrown = null;
            underWay = what + " of " + bundle;
            try {
                value = call.call();
            } catch (Throwable t) {
                // here, where its deadline counts: even its message is code of the backend
                thrown = told(t);
            }
            underWay = null;
            if (stage.compareAndSet(Stage.RUNNING, Stage.DONE)) {
                complete(result, value, thrown);
            } else {
                late(value, thrown, tooLate);
            }
        });
        if (busy != null) {
            throw new NetdevException("netdev " + netdev + ": " + busy + "; " + what + " comes after it");
        }
        return await(what, bundle, deadlineNanos, stage, result, surely);
    }

    /** A refusal stays what it is, if it says something; all else is told in words of our own. */
    private static Throwable told(Throwable t) {
        BackendException e = BackendException.of(t);
        if (!(t instanceof NetdevException) || e.isSilent()) {
            return e;
        }
        boolean plain = t.getClass() == NetdevException.class || t.getClass() == StateTransferException.class;
        return t instanceof AlreadyOpenException || plain && e.getCause() == null ? t
                : t instanceof PortBusyException ? new PortBusyException(e.getMessage(), e.getCause())
                : t instanceof PortUnavailableException ? new PortUnavailableException(e.getMessage(), e.getCause())
                : t instanceof StateTransferException ? new StateTransferException(e.getMessage(), e.getCause())
                : new NetdevException(e.getMessage(), e.getCause());
    }

    private static <T> void complete(CompletableFuture<T> result, T value, Throwable thrown) {
        if (thrown == null) {
            result.complete(value);
        } else {
            result.completeExceptionally(thrown);
        }
    }

    private <T> void late(T value, Throwable thrown, Consumer<T> tooLate) {
        try {
            if (thrown == null) {
                tooLate.accept(value);
            } else {
                LOG.warn("netdev {}: threw after its deadline", netdev, thrown);
            }
        } catch (Throwable t) {
            LOG.warn("netdev {}: a late result could not be disposed of", netdev, BackendException.of(t));
        } finally {
            stuck = null;
        }
    }

    private <T> T await(String what, String bundle, long deadlineNanos, AtomicReference<Stage> stage, CompletableFuture<T> result,
            boolean surely) throws NetdevException {
        try {
            try {
                return result.get(Math.max(1, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (TimeoutException e) {
                if (surely && stage.get() == Stage.WAITING) {
                    throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + " comes after another call", e);
                }
                if (stage.compareAndSet(Stage.WAITING, Stage.GIVEN_UP)) {
                    String before = underWay;
                    throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + (before == null
                            ? " was not begun in time: is the machine overloaded?" : " waited in vain for " + before), e);
                }
                stuck = what + " of " + bundle + " has not returned";
                if (stage.compareAndSet(Stage.RUNNING, Stage.GIVEN_UP)) {
                    throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + " did not return in time", e);
                }
                stuck = null;
                return result.get();
            }
        } catch (ExecutionException e) {
            Throwable t = e.getCause();
            if (t instanceof NetdevException n) {
                throw n;
            }
            throw new NetdevException("netdev " + netdev + ": " + what + " of " + bundle + " threw " + t, t);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NetdevException("netdev " + netdev + ": " + what + " was interrupted", e);
        }
    }

    void run(String what, String bundle, long deadlineNanos, Action action) throws NetdevException {
        call(what, bundle, deadlineNanos, () -> {
            action.run();
            return null;
        });
    }

    /** As {@link #run}, but made in any case: behind a call that hangs, when that has returned. */
    void finish(String what, String bundle, long deadlineNanos, Action action) throws NetdevException {
        call(what, bundle, deadlineNanos, () -> {
            action.run();
            return null;
        }, late -> LOG.info("netdev {}: {} of {} has returned", netdev, what, bundle), true);
    }
}
