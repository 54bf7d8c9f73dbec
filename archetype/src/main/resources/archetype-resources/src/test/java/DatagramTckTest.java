## SPDX-License-Identifier: Apache-2.0
package ${package};

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The backend test kit. */
class DatagramTckTest extends BackendTck {
    @Override
    protected BackendFixture fixture() {
        return new DatagramFixture();
    }
}
