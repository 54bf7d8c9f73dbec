// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.After;
import org.junit.Test;
import org.ops4j.pax.exam.Configuration;
import org.ops4j.pax.exam.Option;
import org.osgi.framework.Bundle;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.wiring.BundleCapability;
import org.osgi.framework.wiring.BundleRevision;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetdevException;

/** The TAP backend as a component: a configuration makes a netdev, and a netdev opens nothing. */
public class TapBackendIT extends Container {
    private static final String PID = NetBackend.PID_PREFIX + "tap";
    private static final String NET0 = "(" + NetBackend.NETDEV_ID + "=net0)";

    private org.osgi.service.cm.Configuration configuration;

    /**
     * The container.
     *
     * @return its options
     */
    @Configuration
    public Option[] house() {
        List<String> artifacts = new ArrayList<>(HOUSE);
        artifacts.add("vireo-backend-tap");
        return container(artifacts);
    }

    /** Removes what a test configured. */
    @After
    public void removeConfiguration() throws IOException {
        if (configuration != null) {
            configuration.delete();
            configuration = null;
            awaitGone(NetBackend.class, NET0);
        }
    }

    private ServiceReference<NetBackend> make(Map<String, String> options) throws IOException {
        configuration = netdev(PID, "net0", options);
        return awaitService(NetBackend.class, NET0);
    }

    private static List<String> openTunDescriptors() throws IOException {
        List<String> found = new ArrayList<>();
        try (var all = Files.list(Path.of("/proc/self/fd"))) {
            for (Path p : all.toList()) {
                try {
                    if (Files.readSymbolicLink(p).toString().equals("/dev/net/tun")) {
                        found.add(p.getFileName().toString());
                    }
                } catch (NoSuchFileException e) {
                    // that of the listing itself, or of a process that has just ended
                    continue;
                }
            }
        }
        return found;
    }

    /** A factory configuration makes one object with both services and their properties. */
    @Test
    public void configurationMakesANetdev() throws Exception {
        assertNull("a netdev before there is a configuration", service(NetBackend.class, "(objectClass=*)"));
        ServiceReference<NetBackend> backend = make(Map.of("ifname", "vireo-it0"));
        ServiceReference<BackendStateTransfer> transfer = awaitService(BackendStateTransfer.class, NET0);
        assertEquals("net0", backend.getProperty(NetBackend.NETDEV_ID));
        assertEquals("tap", backend.getProperty(NetBackend.NETDEV_TYPE));
        assertEquals("tap", transfer.getProperty(NetBackend.NETDEV_TYPE));
        assertEquals(House.TAP, backend.getBundle().getSymbolicName());
        Object one = context.getService(backend);
        Object other = context.getService(transfer);
        assertNotNull(one);
        assertTrue("one object has both services", one == other);
        context.ungetService(backend);
        context.ungetService(transfer);
    }

    /** Activating a netdev opens nothing and makes no interface. */
    @Test
    public void activationTouchesNothingOutside() throws Exception {
        ServiceReference<NetBackend> reference = make(Map.of("ifname", "vireo-it1"));
        NetBackend backend = context.getService(reference);
        assertNotNull(backend);
        backend.validate();
        assertEquals(List.of(), openTunDescriptors());
        assertFalse(Files.exists(Path.of("/sys/class/net/vireo-it1")));
        context.ungetService(reference);
    }

    /** A configuration that cannot work still makes a netdev, which says why: so that who asked gets the reason. */
    @Test
    public void badConfigurationIsReportedByTheNetdev() throws Exception {
        ServiceReference<NetBackend> reference = make(Map.of("ifname", "vireo-it2", "vhost", "on"));
        NetBackend backend = context.getService(reference);
        assertNotNull(backend);
        NetdevException e = assertThrows(NetdevException.class, backend::validate);
        assertTrue(e.getMessage(), e.getMessage().contains("net0") && e.getMessage().contains("vhost"));
        context.ungetService(reference);
    }

    /** The services go with the bundle and come back with it, the configuration stays. */
    @Test
    public void bundleLeavesAndReturns() throws Exception {
        make(Map.of("ifname", "vireo-it3"));
        Bundle tap = find(House.TAP);
        tap.stop();
        awaitGone(NetBackend.class, NET0);
        assertNull(service(BackendStateTransfer.class, NET0));
        tap.start();
        assertNotNull(awaitService(NetBackend.class, NET0));
        assertNotNull(awaitService(BackendStateTransfer.class, NET0));
    }

    /** The bundle says which netdev type it brings, so that it can be found before anything is configured. */
    @Test
    public void bundleProvidesItsTypeAsACapability() {
        List<BundleCapability> capabilities = find(House.TAP).adapt(BundleRevision.class).getDeclaredCapabilities(NetBackend.CAPABILITY);
        assertEquals(1, capabilities.size());
        assertEquals("tap", capabilities.getFirst().getAttributes().get(NetBackend.CAPABILITY));
    }
}
