// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/** What is open, so that a test JVM that is told to end leaves nothing on the machine, and names that no other run uses. */
final class Cleanup {
    private static final Set<Runnable> OPEN = Collections.synchronizedSet(new LinkedHashSet<>());
    private static final AtomicInteger COUNTER = new AtomicInteger();

    static {
        Runtime.getRuntime().addShutdownHook(new Thread(Cleanup::run, "test-cleanup"));
    }

    private Cleanup() {
    }

    static Runnable add(Runnable r) {
        OPEN.add(r);
        return r;
    }

    /** Runs it once: true if this call did. */
    static boolean end(Runnable r) {
        if (OPEN.remove(r)) {
            r.run();
            return true;
        }
        return false;
    }

    /** A name of at most 15 characters, unique on the machine while this process lives. */
    static String name(String kind) {
        return kind + Long.toString(ProcessHandle.current().pid(), 36) + "x" + Integer.toString(COUNTER.incrementAndGet(), 36);
    }

    private static void run() {
        List<Runnable> left;
        synchronized (OPEN) {
            left = new ArrayList<>(OPEN);
        }
        Collections.reverse(left);
        left.forEach(Cleanup::end);
    }
}
