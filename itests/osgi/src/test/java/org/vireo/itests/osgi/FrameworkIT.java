// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.felix.framework.FrameworkFactory;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.wiring.BundleWire;
import org.osgi.framework.wiring.BundleWiring;
import org.osgi.framework.wiring.FrameworkWiring;

/** Every bundle of the house resolves and starts in Felix, wired along the arrows. */
@Timeout(60)
class FrameworkIT {
    private Framework framework;

    @BeforeEach
    void start(@TempDir Path storage) throws BundleException {
        framework = new FrameworkFactory().newFramework(Map.of(
                Constants.FRAMEWORK_STORAGE, storage.resolve("felix").toString(),
                Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, Platform.SLF4J_PACKAGES));
        framework.start();
    }

    @AfterEach
    void stop() throws BundleException, InterruptedException {
        framework.stop();
        framework.waitForStop(10_000);
    }

    private List<Bundle> installAll() throws BundleException {
        List<Bundle> bundles = new ArrayList<>();
        List<Path> jars = new ArrayList<>();
        Platform.BUNDLES.forEach(a -> jars.add(House.jar(a)));
        Platform.TEST_BUNDLES.forEach(a -> jars.add(House.jar(a)));
        Platform.HEALTH_BUNDLES.forEach(a -> jars.add(House.jar(a)));
        House.inFramework().forEach(r -> jars.add(r.jar()));
        for (Path jar : jars) {
            bundles.add(framework.getBundleContext().installBundle(jar.toUri().toString()));
        }
        return bundles;
    }

    @Test
    void allResolveAndStart() throws BundleException {
        List<Bundle> bundles = installAll();
        assertTrue(framework.adapt(FrameworkWiring.class).resolveBundles(bundles), () -> unresolved(bundles).toString());
        for (Bundle b : bundles) {
            b.start();
            assertEquals(Bundle.ACTIVE, b.getState(), b.getSymbolicName());
        }
        Set<String> missing = new TreeSet<>(House.ARROWS.keySet());
        bundles.forEach(b -> missing.remove(b.getSymbolicName()));
        assertEquals(Set.of(House.LAUNCHER, House.BENCH), missing);
    }

    @Test
    void wiresFollowTheArrows() throws BundleException {
        List<Bundle> bundles = installAll();
        framework.adapt(FrameworkWiring.class).resolveBundles(bundles);
        Set<String> wrong = new TreeSet<>();
        for (Bundle b : bundles) {
            Set<String> allowed = House.ARROWS.get(b.getSymbolicName());
            BundleWiring wiring = b.adapt(BundleWiring.class);
            assertNotNull(wiring, () -> b.getSymbolicName() + " is not resolved");
            for (BundleWire wire : wiring.getRequiredWires("osgi.wiring.package")) {
                String from = wire.getProvider().getBundle().getSymbolicName();
                if (allowed != null && House.ARROWS.containsKey(from) && !allowed.contains(from)) {
                    wrong.add(b.getSymbolicName() + " <- " + from);
                }
            }
        }
        assertEquals(Set.of(), wrong);
    }

    @Test
    void oneBundleExportsTheContract() throws BundleException {
        List<Bundle> bundles = installAll();
        framework.adapt(FrameworkWiring.class).resolveBundles(bundles);
        Set<String> exporters = new TreeSet<>();
        for (Bundle b : bundles) {
            b.adapt(BundleWiring.class).getCapabilities("osgi.wiring.package").stream()
                    .filter(c -> House.API.equals(c.getAttributes().get("osgi.wiring.package")))
                    .forEach(c -> exporters.add(b.getSymbolicName()));
        }
        assertEquals(Set.of(House.API), exporters);
    }

    private static List<String> unresolved(List<Bundle> bundles) {
        List<String> found = new ArrayList<>();
        for (Bundle b : bundles) {
            if (b.getState() == Bundle.INSTALLED) {
                try {
                    b.start();
                } catch (BundleException e) {
                    found.add(e.getMessage());
                }
            }
        }
        return found;
    }
}
