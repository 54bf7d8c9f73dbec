// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntFunction;
import org.vireo.frontend.virtionet.worker.Worker;

/**
 * Commands to the workers of a NIC's pairs, and their acknowledgements, which are waited for until a deadline. Used by the control
 * thread; a command runs on its pair's worker.
 */
final class WorkerCommands {
    private static final long DEADLINE_MILLIS = 1000;

    private final String nic;
    private final List<Worker> workers;
    private CompletableFuture<Void> quiet = CompletableFuture.completedFuture(null);

    WorkerCommands(String nic, List<Worker> workers) {
        this.nic = nic;
        this.workers = workers;
    }

    <T> Worker.Command<T> post(int pair, Callable<T> command) {
        return workers.get(pair).execute(command);
    }

    <T> T await(CompletableFuture<T> result, int pair) throws EngineException {
        try {
            try {
                return result.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
            } catch (TimeoutException e) {
                // nobody waits for it any more: it must not run later
                if (result instanceof Worker.Command<?> c && !c.withdraw()) {
                    return result.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
                }
                throw e;
            }
        } catch (ExecutionException e) {
            throw new EngineException(nic + " pair " + pair + ": " + e.getCause().getMessage(), e.getCause());
        } catch (TimeoutException e) {
            throw new EngineException(nic + " pair " + pair + ": its worker did not answer for " + DEADLINE_MILLIS + " ms", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EngineException(nic + " pair " + pair + ": interrupted", e);
        }
    }

    <T> T run(int pair, Callable<T> command) throws EngineException {
        return await(post(pair, command), pair);
    }

    /** The last command of each pair, all at the same time. One that is late is not withdrawn: {@link #quiet} says when it is done. */
    void stop(IntFunction<Callable<Object>> last, long deadlineNanos) throws EngineException {
        List<CompletableFuture<Object>> all = new ArrayList<>();
        for (int i = 0; i < workers.size(); i++) {
            all.add(post(i, last.apply(i)));
        }
        quiet = CompletableFuture.allOf(all.toArray(CompletableFuture[]::new)).exceptionally(e -> null);
        EngineException failed = null;
        for (CompletableFuture<Object> f : all) {
            try {
                f.get(Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS);
            } catch (ExecutionException e) {
                failed = new EngineException(nic + ": " + e.getCause().getMessage(), e.getCause());
            } catch (TimeoutException e) {
                failed = new EngineException(nic + ": a worker did not stop in time", e);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new EngineException(nic + ": interrupted", e);
            }
        }
        if (failed != null) {
            throw failed;
        }
    }

    /** Completed when the workers have done what the last {@link #stop} asked them for, also if that gave up waiting. */
    CompletableFuture<Void> quiet() {
        return quiet;
    }

    void awaitQuiet() throws EngineException {
        try {
            quiet.get(DEADLINE_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            throw new EngineException(nic + ": a worker has not let go of its rings for " + DEADLINE_MILLIS + " ms", e);
        } catch (ExecutionException e) {
            throw new IllegalStateException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new EngineException(nic + ": interrupted", e);
        }
    }
}
