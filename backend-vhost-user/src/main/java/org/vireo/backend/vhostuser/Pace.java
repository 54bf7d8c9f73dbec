// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.vireo.vhostuser.FlapDamping;

/**
 * How often back-ends that come and go are tried, and told of.
 *
 * @param clock nanoseconds, as {@link System#nanoTime()}: when something is told
 * @param mostMillis the longest pause that nobody asked for
 */
record Pace(LongSupplier clock, int mostMillis) {
    static final Pace USUAL = new Pace(System::nanoTime, Backoff.MOST_MILLIS);
    /** Two that go and come back, with a reason why they did not at once. */
    private static final int FIRST = 6;
    /** The pause where none was asked for: one side has hung up and calls again, or the other side does the calling. */
    private static final int CALLING_MILLIS = 100;
    private static final int LISTENING_MILLIS = 10;

    Backoff backoff(VhostUserOptions options) {
        int asked = options.server() ? LISTENING_MILLIS : options.reconnectMillis() == 0 ? CALLING_MILLIS : options.reconnectMillis();
        return new Backoff(asked, mostMillis, System::nanoTime);
    }

    FlapDamping damping(Consumer<String> log) {
        return new FlapDamping(FIRST, clock, log);
    }
}
