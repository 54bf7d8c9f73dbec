// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.osgi.framework.FrameworkUtil;
import org.osgi.framework.wiring.BundleCapability;
import org.osgi.framework.wiring.BundleRevision;
import org.vireo.backend.tap.TapBackend;
import org.vireo.net.api.NetBackend;

/** The bundle in Felix, its service made by Declarative Services. Whether the kit passes there is tried with the command for bundles. */
class FelixTapIT {
    @Test
    void bundleProvidesTheCapabilityAndItsOwnClass() throws Exception {
        try (FelixTapFixture f = new FelixTapFixture()) {
            NetBackend b = f.backend("x", Map.of("ifname", "tap0"));
            assertEquals(TapBackend.class.getName(), b.getClass().getName());
            assertNotSame(TapBackend.class, b.getClass(), "the test's class, not the bundle's");
            BundleRevision r = FrameworkUtil.getBundle(b.getClass()).adapt(BundleRevision.class);
            assertEquals("org.vireo.backend.tap", r.getSymbolicName());
            BundleCapability c = r.getDeclaredCapabilities("net.backend").getFirst();
            assertEquals("tap", c.getAttributes().get("net.backend"));
            assertTrue(r.getDeclaredRequirements("osgi.wiring.package").stream()
                    .noneMatch(q -> q.getDirectives().get("filter").contains("org.vireo.backend")), "a bundle that imports backends");
        }
    }
}
