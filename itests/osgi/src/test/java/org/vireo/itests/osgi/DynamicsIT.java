// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Bundle;
import org.osgi.framework.ServiceReference;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;

/** Bundles and configurations come and go in every order: the NIC serves as soon as all are there, and whoever has gone left nothing. */
@Timeout(150)
class DynamicsIT {
    @TempDir
    private Path folder;
    private EmbeddedVireo vireo;
    private Bundle backend;

    /** What comes and goes. */
    private enum Part { FRONTEND, BACKEND, CONFIGURATION, CONTROL }

    @BeforeEach
    void start() throws Exception {
        ProbeBundle.forget();
        vireo = EmbeddedVireo.start(folder.resolve("felix"));
        // it would rehearse handovers at each start of the frontend; LifecycleIT has it
        vireo.bundle(House.HANDOVER).stop();
        backend = vireo.install("probe", ProbeBundle.of("1.0.0"), 6);
    }

    @AfterEach
    void stop() throws Exception {
        vireo.close();
        assertEquals(0, ProbeBundle.count("late"), () -> "calls after the end: " + ProbeBundle.calls());
    }

    private Path socket() {
        return folder.resolve("nic0");
    }

    private static List<List<Part>> orders(List<Part> left) {
        if (left.isEmpty()) {
            return List.of(List.of());
        }
        List<List<Part>> all = new ArrayList<>();
        for (Part first : left) {
            List<Part> others = new ArrayList<>(left);
            others.remove(first);
            for (List<Part> o : orders(others)) {
                List<Part> order = new ArrayList<>(List.of(first));
                order.addAll(o);
                all.add(order);
            }
        }
        return all;
    }

    private void come(Part p) throws Exception {
        switch (p) {
            case FRONTEND -> {
                vireo.bundle(House.FRONTEND).start();
                // the NIC at once, whether or not its netdev is there
                vireo.addNic("nic0", "net0", socket());
            }
            case BACKEND -> backend.start();
            case CONTROL -> vireo.bundle(House.CONTROL).start();
            default -> vireo.netdev("net0");
        }
    }

    private void go(Part p) throws Exception {
        switch (p) {
            case FRONTEND -> vireo.bundle(House.FRONTEND).stop();
            case BACKEND -> backend.stop();
            case CONTROL -> vireo.bundle(House.CONTROL).stop();
            default -> {
                EmbeddedVireo.call(EmbeddedVireo.call(vireo.service(EmbeddedVireo.CONFIGURATIONS), "getFactoryConfiguration",
                        "netdev." + ProbeBundle.TYPE, "net0", "?"), "delete");
                // Configuration Admin does it in a thread of its own: this is about one after the other
                Await.until(EmbeddedVireo.LIMIT, "the end of the netdev", () -> vireo.reference(EmbeddedVireo.BACKEND, null) == null);
            }
        }
    }

    private static Set<String> threads() {
        Set<String> all = new TreeSet<>();
        Thread.getAllStackTraces().keySet().stream().filter(t -> t.getName().startsWith("vireo-")).forEach(t -> all.add(t.getName()));
        return all;
    }

    /** Uses of services by bundles that do not run, and services of such. */
    private Set<String> stale() {
        Set<String> found = new TreeSet<>();
        for (Bundle b : vireo.framework().getBundleContext().getBundles()) {
            ServiceReference<?>[] used = b.getServicesInUse();
            ServiceReference<?>[] offered = b.getRegisteredServices();
            if (b.getState() != Bundle.ACTIVE && (used != null || offered != null)) {
                found.add(b + " has " + Arrays.toString(offered) + " and uses " + Arrays.toString(used));
            }
        }
        ServiceReference<?> r = vireo.reference(EmbeddedVireo.BACKEND, null);
        if (r != null) {
            found.add("a backend is left: " + r);
        }
        return found;
    }

    private void assertNothingIsLeft(Map<Integer, String> openBefore) {
        Await.until(EmbeddedVireo.LIMIT, "the end of all threads", () -> threads().isEmpty());
        assertEquals(Set.of(), stale());
        Await.until(EmbeddedVireo.LIMIT, "no descriptor more than before",
                () -> openBefore.entrySet().containsAll(OpenFiles.links().entrySet()));
    }

    @Test
    void inEveryOrderTheNicServesAndNothingIsLeft() throws Exception {
        List<List<Part>> orders = orders(List.of(Part.values()));
        assertEquals(24, orders.size());
        go(Part.FRONTEND);
        go(Part.BACKEND);
        go(Part.CONTROL);
        Map<Integer, String> open = null;
        for (List<Part> order : orders) {
            for (Part p : order) {
                come(p);
            }
            vireo.awaitNic("nic0 LISTENING");
            try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
                guest.sends(3);
                vireo.awaitNic("nic0 RUNNING");
                for (Part p : order) {
                    go(p);
                }
            }
            if (open == null) {
                // the first round opens what stays
                Await.until(EmbeddedVireo.LIMIT, "the end of all threads", () -> threads().isEmpty());
                open = OpenFiles.links();
            }
            assertNothingIsLeft(open);
            assertEquals(ProbeBundle.count("activate"), ProbeBundle.count("deactivate"), () -> order + ": " + ProbeBundle.calls());
        }
    }

    @Test
    void controlAndConfigurationAdminMayGoWhileItServes() throws Exception {
        vireo.netdev("net0");
        vireo.addNic("nic0", "net0", socket());
        Object frontend = vireo.service(EmbeddedVireo.NICS);
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            long activated = ProbeBundle.count("activate");
            for (int i = 0; i < 5; i++) {
                vireo.bundle(House.CONTROL).stop();
                guest.sends(3);
                vireo.bundle(House.CONTROL).start();
                guest.sends(3);
            }
            assertEquals(activated, ProbeBundle.count("activate"), "the backend is no part of that");
            Bundle admin = vireo.bundle("org.apache.felix.configadmin");
            for (int i = 0; i < 5; i++) {
                admin.stop();
                admin.start();
                vireo.awaitNetdev("net0 open");
                guest.sends(3);
            }
            assertSame(frontend, vireo.service(EmbeddedVireo.NICS));
            // frames pass before that is said
            Await.until(EmbeddedVireo.LIMIT, "nic0 to be said to run", () -> vireo.nics().equals(List.of("nic0 RUNNING")));
        }
    }

    @Test
    void anotherComponentRuntimeMakesEverythingAnew() throws Exception {
        vireo.netdev("net0");
        vireo.addNic("nic0", "net0", socket());
        Object frontend = vireo.service(EmbeddedVireo.NICS);
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
            vireo.bundle("org.apache.felix.scr").stop();
            assertEquals(List.of(), vireo.nics(), "the NICs end with the frontend");
            Await.until(EmbeddedVireo.LIMIT, "the end of all threads", () -> threads().isEmpty());
            assertEquals(ProbeBundle.count("open") + ProbeBundle.count("load"), ProbeBundle.count("close RELEASE")
                    + ProbeBundle.count("close LEAVE"), () -> ProbeBundle.calls().toString());
        }
        vireo.bundle("org.apache.felix.scr").start();
        assertNotSame(frontend, vireo.service(EmbeddedVireo.NICS));
        // whoever made the NIC makes it again; the netdev's configuration is still there
        vireo.addNic("nic0", "net0", socket());
        try (EmbeddedGuest guest = EmbeddedGuest.connect(socket())) {
            guest.sends(3);
        }
    }
}
