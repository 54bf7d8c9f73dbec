// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;

import java.util.Set;
import java.util.TreeSet;
import org.junit.Test;
import org.ops4j.pax.exam.Configuration;
import org.ops4j.pax.exam.Option;
import org.osgi.framework.Bundle;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.wiring.BundleRevision;
import org.osgi.service.component.runtime.ServiceComponentRuntime;
import org.osgi.service.component.runtime.dto.ComponentConfigurationDTO;
import org.osgi.service.component.runtime.dto.ComponentDescriptionDTO;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;

/** The house without any backend: everything is active, and the services that others rely on work. */
public class ContainerIT extends Container {
    /**
     * The container.
     *
     * @return its options
     */
    @Configuration
    public Option[] house() {
        return container(HOUSE);
    }

    /** All bundles are active, and of one contract. */
    @Test
    public void allBundlesAreActive() {
        Set<String> notActive = new TreeSet<>();
        for (Bundle b : context.getBundles()) {
            boolean fragment = (b.adapt(BundleRevision.class).getTypes() & BundleRevision.TYPE_FRAGMENT) != 0;
            if (!fragment && b.getState() != Bundle.ACTIVE) {
                notActive.add(b.getSymbolicName());
            }
        }
        assertEquals(Set.of(), notActive);
        assertNotNull(find(House.API));
        assertNotNull(find(House.FRONTEND));
    }

    /** Descriptors can be made through the service, across bundles. */
    @Test
    public void descriptorsAreMadeByTheService() throws Exception {
        ServiceReference<Fds> reference = awaitService(Fds.class, "(objectClass=*)");
        assertEquals(House.POSIX, reference.getBundle().getSymbolicName());
        Fds fds = context.getService(reference);
        try (Fd fd = fds.adopt(org.vireo.posix.Posix.open("/dev/null", org.vireo.posix.Posix.O_RDWR), "null")) {
            assertTrue(fd.isOpen());
        } finally {
            context.ungetService(reference);
        }
    }

    /** No component of the house has failed. */
    @Test
    public void noComponentFailed() {
        ServiceReference<ServiceComponentRuntime> reference = awaitService(ServiceComponentRuntime.class, "(objectClass=*)");
        ServiceComponentRuntime runtime = context.getService(reference);
        Set<String> failed = new TreeSet<>();
        int seen = 0;
        for (ComponentDescriptionDTO d : runtime.getComponentDescriptionDTOs()) {
            for (ComponentConfigurationDTO c : runtime.getComponentConfigurationDTOs(d)) {
                seen++;
                if (c.state == ComponentConfigurationDTO.FAILED_ACTIVATION) {
                    failed.add(d.name + ": " + c.failure);
                }
            }
        }
        context.ungetService(reference);
        assertTrue("no component at all", seen > 0);
        assertEquals(Set.of(), failed);
    }
}
