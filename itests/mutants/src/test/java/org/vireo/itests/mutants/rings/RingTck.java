// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The kit on a mutant that takes rings. Not found by the build: the tests run it. */
public final class RingTck extends BackendTck {
    /** For JUnit. */
    public RingTck() {
        // no state
    }

    @Override
    protected BackendFixture fixture() {
        return new RingFixture();
    }
}
