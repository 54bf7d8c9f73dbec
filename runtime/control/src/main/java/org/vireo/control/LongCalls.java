// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.vireo.net.api.nic.NicException;

/** What the framework does to a bundle runs code of that bundle, its activator for instance, which may never return. */
final class LongCalls {
    private static final long LIMIT_SECONDS = 20;

    private LongCalls() {
    }

    /** Something the framework does. */
    @FunctionalInterface
    interface Call {
        void run() throws BundleException, IOException;
    }

    /**
     * Does it, and waits for it for a while.
     *
     * @param what for the message
     * @throws NicException it has not returned; it goes on by itself
     */
    static void make(String what, Bundle b, Call call) throws BundleException, NicException {
        FutureTask<Void> task = new FutureTask<>(() -> {
            call.run();
            return null;
        });
        Thread.ofPlatform().daemon().name("vireo-bundle").start(task);
        try {
            task.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case BundleException x -> throw x;
                case IllegalStateException x -> throw x;
                default -> throw new BundleException(String.valueOf(e.getCause().getMessage()), e.getCause());
            }
        } catch (TimeoutException e) {
            throw new NicException("bundle " + b.getBundleId() + " (" + b.getSymbolicName() + " " + b.getVersion() + "): its " + what
                    + " has not returned for " + LIMIT_SECONDS + " s; others go on, and it goes when the daemon ends", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NicException("interrupted", e);
        }
    }
}
