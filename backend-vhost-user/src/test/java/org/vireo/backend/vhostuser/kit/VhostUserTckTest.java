// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser.kit;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The backend test kit on the plain class, with a small back-end of the test's. */
class VhostUserTckTest extends BackendTck {
    @Override
    protected BackendFixture fixture() {
        return new VhostUserFixture();
    }
}
