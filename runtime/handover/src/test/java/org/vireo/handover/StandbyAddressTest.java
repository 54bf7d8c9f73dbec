// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.vireo.net.api.nic.NicException;

class StandbyAddressTest {
    @Test
    void fenceIsOffUnlessAskedFor() throws NicException {
        assertEquals(new StandbyAddress("unix:/run/a", false), StandbyAddress.parse("unix:/run/a"));
        assertEquals(new StandbyAddress("unix:/run/a,b", false), StandbyAddress.parse("unix:/run/a,b,fence=off"));
        assertEquals(new StandbyAddress("unix:/run/a", true), StandbyAddress.parse("unix:/run/a,fence=auto"));
    }

    @Test
    void anythingElseIsRefusedWithItsValue() {
        NicException e = assertThrows(NicException.class, () -> StandbyAddress.parse("unix:/run/a,fence=yes"));
        assertEquals("\"unix:/run/a,fence=yes\": fence=yes is neither auto nor off", e.getMessage());
        e = assertThrows(NicException.class, () -> StandbyAddress.parse("unix:/run/a,fense=auto"));
        assertEquals("\"unix:/run/a,fense=auto\": after the path there may be fence=auto or fence=off, nothing else", e.getMessage());
    }
}
