// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The backend test kit. */
class PacketTckTest extends BackendTck {
    @Override
    protected BackendFixture fixture() {
        return new PacketFixture();
    }
}
