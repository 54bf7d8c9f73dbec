// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.ops4j.pax.exam.CoreOptions.bootClasspathLibrary;
import static org.ops4j.pax.exam.CoreOptions.frameworkStartLevel;
import static org.ops4j.pax.exam.CoreOptions.junitBundles;
import static org.ops4j.pax.exam.CoreOptions.mavenBundle;
import static org.ops4j.pax.exam.CoreOptions.options;
import static org.ops4j.pax.exam.CoreOptions.systemPackages;
import static org.ops4j.pax.exam.CoreOptions.vmOptions;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import javax.inject.Inject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.ops4j.pax.exam.Configuration;
import org.ops4j.pax.exam.Option;
import org.ops4j.pax.exam.junit.PaxExam;
import org.ops4j.pax.exam.options.MavenArtifactProvisionOption;
import org.ops4j.pax.exam.spi.reactors.ExamReactorStrategy;
import org.ops4j.pax.exam.spi.reactors.PerClass;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.Nics;

/** One to copy: Vireo in a platform of one's own, from Maven coordinates alone (docs/integrate.md), and a guest that it serves. */
@RunWith(PaxExam.class)
@ExamReactorStrategy(PerClass.class)
public class IntegratorIT {
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    @Inject
    private Nics nics;

    @Inject
    private Fds fds;

    // begin: docs/integrate.md
    /**
     * The platform.
     *
     * @return its options
     */
    @Configuration
    public Option[] platform() {
        return options(
                vmOptions("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"),
                // SLF4J 2 with a provider of your choice on the class path, exported by the framework
                bootClasspathLibrary(mavenBundle("org.slf4j", "slf4j-api").versionAsInProject()),
                bootClasspathLibrary(mavenBundle("org.slf4j", "slf4j-jdk14").versionAsInProject()),
                systemPackages("org.slf4j;version=2.0.17", "org.slf4j.event;version=2.0.17", "org.slf4j.helpers;version=2.0.17",
                        "org.slf4j.spi;version=2.0.17"),
                frameworkStartLevel(8),
                bundle("org.osgi", "org.osgi.util.function", 1),
                bundle("org.osgi", "org.osgi.util.promise", 1),
                bundle("org.osgi", "org.osgi.service.component", 1),
                bundle("org.apache.felix", "org.apache.felix.log", 1),
                bundle("org.apache.felix", "org.apache.felix.metatype", 1),
                bundle("org.apache.felix", "org.apache.felix.configadmin", 2),
                bundle("org.apache.felix", "org.apache.felix.scr", 3),
                bundle("com.fasterxml.jackson.core", "jackson-core", 4),
                bundle("org.vireo", "vireo-jnr-unixsocket", 4),
                bundle("org.vireo", "vireo-api", 4),
                bundle("org.vireo", "vireo-posix", 5),
                bundle("org.vireo", "vireo-vhost-user", 5),
                bundle("org.vireo", "vireo-backend-tap", 6),
                bundle("org.vireo", "vireo-frontend-virtio-net", 7),
                bundle("org.vireo", "vireo-handover", 7),
                bundle("org.vireo", "vireo-control", 8),
                // the guest of the test
                bundle("org.vireo", "vireo-guest", 6),
                junitBundles());
    }

    private static MavenArtifactProvisionOption bundle(String group, String artifact, int level) {
        return mavenBundle(group, artifact).versionAsInProject().startLevel(level);
    }
    // end: docs/integrate.md

    /** A NIC without a netdev takes what its guest sends. */
    @Test
    public void aGuestIsServed() throws Exception {
        Path folder = Files.createTempDirectory("vireo-it");
        Path socket = folder.resolve("nic0");
        nics.add(Map.of("id", "nic0", "socket", socket.toString()), false);
        try (GuestNic guest = GuestNic.options().start(fds, FrontEnd.connect(fds, socket, PATIENCE))) {
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            assertTrue("a frame is taken", guest.transmit(0).send(new byte[60], deadline));
            assertTrue("and its buffer given back", guest.transmit(0).awaitAll(deadline));
            assertEquals(NicState.RUNNING, nics.list().getFirst().state());
        } finally {
            nics.remove("nic0");
            Files.deleteIfExists(socket);
            Files.delete(folder);
        }
    }
}
