// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.InputStream;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Bundle;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.wiring.BundleWiring;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestBundle;

/** What restarts a NIC and what does not, when bundles are refreshed, updated, or come beside it: docs/integrate.md. */
@Timeout(150)
class RefreshIT {
    private static final int STORM = 50;

    @TempDir
    private Path folder;
    private EmbeddedVireo vireo;
    private Bundle backend;
    private Object frontend;

    @BeforeEach
    void start() throws Exception {
        ProbeBundle.forget();
        vireo = EmbeddedVireo.start(folder.resolve("felix"));
        backend = vireo.install("probe", ProbeBundle.of("1.0.0"), 6);
        vireo.netdev("net0");
        vireo.addNic("nic0", "net0", socket());
        frontend = vireo.service(EmbeddedVireo.NICS);
    }

    @AfterEach
    void stop() throws Exception {
        vireo.close();
        assertEquals(0, ProbeBundle.count("late"), () -> "calls after the end: " + ProbeBundle.calls());
    }

    private Path socket() {
        return folder.resolve("nic0");
    }

    /** All that changes if one of the house's bundles is restarted: its wiring, its time stamp, its services. */
    private Map<String, String> house() {
        Map<String, String> all = new TreeMap<>();
        for (Bundle b : vireo.framework().getBundleContext().getBundles()) {
            if (House.ARROWS.containsKey(b.getSymbolicName()) || b == backend) {
                Set<Object> services = new TreeSet<>();
                for (ServiceReference<?> r : b.getRegisteredServices() == null ? new ServiceReference<?>[0] : b.getRegisteredServices()) {
                    services.add(r.getProperty(Constants.SERVICE_ID));
                }
                all.put(b.getSymbolicName(), b.getBundleId() + " state " + b.getState() + " modified " + b.getLastModified() + " wiring "
                        + System.identityHashCode(b.adapt(BundleWiring.class)) + " services " + services);
            }
        }
        return all;
    }

    @Test
    void fiftyRefreshesAndUpdatesOfTheBackendLeaveNoLoaderAndNoFrameIsLost() throws Exception {
        List<WeakReference<ClassLoader>> loaders = new ArrayList<>();
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            for (int i = 0; i < STORM; i++) {
                loaders.add(new WeakReference<>(backend.adapt(BundleWiring.class).getClassLoader()));
                if (i % 2 == 0) {
                    vireo.refresh(backend);
                } else {
                    backend.update(ProbeBundle.of("1.0." + i));
                    vireo.refresh();
                }
                guest.sends(2);
            }
            assertSame(frontend, vireo.service(EmbeddedVireo.NICS));
            // frames pass before that is said
            Await.until(EmbeddedVireo.LIMIT, "nic0 to be said to run", () -> vireo.nics().equals(List.of("nic0 RUNNING")));
        }
        Await.until(EmbeddedVireo.LIMIT, "all former class loaders collected", () -> {
            System.gc();
            // the first may be held by a thread that waits for work
            return loaders.stream().filter(l -> l.get() != null).count() <= 1;
        });
    }

    /** All depend on the contract: they are stopped, wired anew and started, so the NICs end, and netdevs come back. */
    @Test
    void aRefreshOfTheContractRestartsEverything() throws Exception {
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            Map<String, String> before = house();
            vireo.refresh(vireo.bundle(House.API));
            Map<String, String> after = house();
            assertEquals(before.keySet(), after.keySet());
            Set<String> same = new TreeSet<>();
            before.forEach((name, was) -> {
                if (was.equals(after.get(name))) {
                    same.add(name);
                }
            });
            assertEquals(Set.of(House.JNR), same);
            assertEquals(List.of(), vireo.nics());
        }
        assertNotSame(frontend, vireo.service(EmbeddedVireo.NICS));
        vireo.awaitNetdev("net0 closed");
        vireo.addNic("nic0", "net0", socket());
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
        }
    }

    /** Another SLF4J, an exporter of a package that the house has from the platform, and a whole Web Console with its server. */
    @Test
    void bundlesThatComeBesideLeaveItAlone() throws Exception {
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            Map<String, String> before = house();
            List<Bundle> others = new ArrayList<>();
            Path slf4j = TestBundle.variant(House.jar("slf4j-api"), folder.resolve("slf4j.jar"), Map.of("Bundle-Version", "2.0.99",
                    "Import-Package", "org.osgi.framework", "Require-Capability", "osgi.ee;filter:=\"(osgi.ee=JavaSE)\"",
                    "Export-Package", "org.slf4j;version=2.0.99,"
                            + "org.slf4j.event;version=2.0.99,org.slf4j.helpers;version=2.0.99,org.slf4j.spi;version=2.0.99"));
            try (InputStream in = Files.newInputStream(slf4j)) {
                others.add(vireo.install("slf4j", in, 1));
            }
            others.add(vireo.install("exporter", ProbeBundle.plain("org.example.exporter", Map.of("Export-Package",
                    "org.osgi.service.cm;version=1.6.9,com.fasterxml.jackson.core;version=2.99,org.osgi.service.event;version=1.4.1")), 1));
            for (String a : List.of("org.apache.felix.http.servlet-api", "commons-io", "commons-fileupload",
                    "org.apache.felix.http.jetty12", "org.apache.felix.inventory", "encoder", "org.apache.felix.webconsole")) {
                others.add(vireo.install(a, 4));
            }
            for (Bundle b : others) {
                assertEquals(Bundle.ACTIVE, b.getState(), b.getSymbolicName());
            }
            guest.sends(3);
            for (int i = 0; i < 5; i++) {
                vireo.refresh(others.toArray(Bundle[]::new));
                guest.sends(1);
            }
            for (Bundle b : others.reversed()) {
                b.uninstall();
            }
            vireo.refresh();
            guest.sends(3);
            assertEquals(before, house());
            assertSame(frontend, vireo.service(EmbeddedVireo.NICS));
            assertEquals(List.of("nic0 RUNNING"), vireo.nics());
        }
    }

    /** An import that may be satisfied later restarts a bundle on the next refresh; the house has none. */
    @Test
    void nothingOfTheHouseHasAnOptionalImport() {
        for (House.Room room : House.rooms().values()) {
            if (!room.name().equals(House.JNR)) {
                String imports = String.valueOf(room.manifest().getValue("Import-Package"));
                assertFalse(imports.contains("optional"), () -> room + ": " + imports);
                assertTrue(room.manifest().getValue("DynamicImport-Package") == null, () -> room + " imports dynamically");
            }
        }
    }
}
