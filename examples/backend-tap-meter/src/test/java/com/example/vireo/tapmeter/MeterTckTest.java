// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;

/** The backend test kit. */
class MeterTckTest extends BackendTck {
    @Override
    protected BackendFixture fixture() {
        return new MeterFixture();
    }
}
