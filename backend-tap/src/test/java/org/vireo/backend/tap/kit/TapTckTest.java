// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The backend test kit on the plain class, on the class path. */
class TapTckTest extends BackendTck {
    @Override
    protected BackendFixture fixture() {
        return new TapFixture();
    }
}
