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
    private static final int MOST_CAUSES = 16;

    private LongCalls() {
    }

    /** What went wrong, in the words of the innermost cause that has some. */
    static String reason(Throwable t) {
        String words = t.getClass().getName();
        int deep = 0;
        for (Throwable c = t; c != null && deep < MOST_CAUSES; c = c.getCause(), deep++) {
            try {
                String said = c.getMessage();
                words = said == null ? words : said;
            } catch (Throwable x) {
                words = c.getClass().getName() + ", whose message throws";
            }
        }
        return words;
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
            try {
                call.run();
            } catch (BundleException e) {
                // here, where the time counts: a cause, and its message, is code of the bundle
                throw new BundleException(reason(e), e.getType());
            } catch (IllegalStateException e) {
                throw new IllegalStateException(reason(e));
            } catch (Throwable t) {
                throw new BundleException(reason(t));
            }
            return null;
        });
        Thread.ofPlatform().daemon().name("vireo-bundle").start(task);
        try {
            task.get(LIMIT_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case BundleException x -> throw x;
                case IllegalStateException x -> throw x;
                default -> throw new IllegalStateException(e.getCause());
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
