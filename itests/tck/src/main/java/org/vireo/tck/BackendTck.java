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
 * Tests of what a backend does not have (state transfer, several pairs) are skipped.
 */
public abstract class BackendTck extends TransferTck {
    /** For subclasses. */
    protected BackendTck() {
    }
}
