// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

/**
 * The backend test kit. A backend's test extends it:
 * <pre>
 * final class MyBackendTest extends BackendTck {
 *     &#64;Override
 *     protected BackendFixture fixture() {
 *         return new MyFixture();
 *     }
 * }
 * </pre>
 * Each {@link Rule} is a test. Those of what a backend, its fixture or the machine does not have (rings, state transfer, pairs, strace) are
 * skipped, with the reason; with the environment variable {@code VIREO_REQUIRE_ALL=1} what the machine lacks is a failure.
 *
 * <p>The JVM needs {@code --enable-native-access=ALL-UNNAMED --sun-misc-unsafe-memory-access=allow}. Queues are called on a thread of the
 * kit's own, as a worker calls them, everything else on the test's. The rules may grow with the kit's version; their ids stay.
 */
public abstract class BackendTck extends VringLossTck {
    /** For subclasses. */
    protected BackendTck() {
    }
}
