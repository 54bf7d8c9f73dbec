// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.util.Locale;

/** Tells on the standard error how far a run is, and how long it has taken so far. Any thread. */
public final class Progress {
    private static volatile long began = System.nanoTime();

    private Progress() {
    }

    /** The run begins now. */
    public static void begin() {
        began = System.nanoTime();
    }

    /** A line for people. */
    public static void say(String what) {
        System.err.printf(Locale.ROOT, "%6.1f s  %s%n", (System.nanoTime() - began) / 1e9, what);
    }
}
