// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The kit on a mutant. Not found by the build: the tests run it. */
public final class MutantTck extends BackendTck {
    /** For JUnit. */
    public MutantTck() {
        // no state
    }

    @Override
    protected BackendFixture fixture() {
        return new MutantFixture();
    }
}
