// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Bundle;

/** What the house gives to a platform that has Gogo or Felix health checks. Both come after it, and nothing of it waits for them. */
@Timeout(150)
class ShellAndHealthIT {
    private static final String HEALTH_API = "org.apache.felix.healthcheck.api";

    @TempDir
    private Path folder;
    private EmbeddedVireo vireo;
    private Bundle backend;

    @BeforeEach
    void start() throws Exception {
        ProbeBundle.forget();
        vireo = EmbeddedVireo.start(folder.resolve("felix"));
        backend = vireo.install("probe", ProbeBundle.of("1.0.0"), 6);
        vireo.netdev("net0");
        vireo.addNic("nic0", "net0", folder.resolve("nic0"));
    }

    @AfterEach
    void stop() throws Exception {
        vireo.close();
    }

    @Test
    void gogoHasTheCommandsOfQmp() throws Exception {
        for (String a : List.of("org.apache.felix.gogo.runtime", "org.apache.felix.gogo.command")) {
            vireo.install(a, 4);
        }
        ByteArrayOutputStream printed = new ByteArrayOutputStream();
        Object session = EmbeddedVireo.call(vireo.service("org.apache.felix.service.command.CommandProcessor"), "createSession",
                new ByteArrayInputStream(new byte[0]), printed, printed);
        vireo.service("org.vireo.control.GogoCommands", "(osgi.command.scope=vireo)");

        List<String> nics = lines(session, "vireo:nics");
        assertEquals(2, nics.size(), nics::toString);
        assertTrue(nics.getFirst().matches("ID +STATE +NETDEV .*"), nics::toString);
        assertTrue(nics.getLast().matches("nic0 +listening +net0 .*"), nics::toString);
        assertTrue(lines(session, "vireo:netdevs").getLast().matches("net0 +probe +open +nic0 +" + ProbeBundle.NAME + " 1.0.0 .*"));
        assertTrue(lines(session, "vireo:backends").getLast().matches("probe +\\d+ +" + ProbeBundle.NAME + " +1.0.0 +true"));
        assertTrue(lines(session, "vireo:standby").contains("role: none"));

        assertEquals("{}", execute(session, "vireo:qmp device_add id=nic1 socket=" + folder.resolve("nic1")));
        vireo.awaitNic("nic1 LISTENING");
        assertTrue(execute(session, "vireo:qmp query-nics").contains("\"id\":\"nic1\""));
        assertEquals("{}", execute(session, "vireo:qmp device_del id=nic1"));
        assertEquals(List.of("nic0 LISTENING"), vireo.nics());
    }

    private static String execute(Object session, String line) throws Exception {
        return String.valueOf(EmbeddedVireo.call(session, "execute", line));
    }

    private static List<String> lines(Object session, String line) throws Exception {
        return execute(session, line).lines().toList();
    }

    @Test
    void gogoRefusesWithTheReasonsOfQmp() throws Exception {
        vireo.install("org.apache.felix.gogo.runtime", 4);
        Object session = EmbeddedVireo.call(vireo.service("org.apache.felix.service.command.CommandProcessor"), "createSession",
                new ByteArrayInputStream(new byte[0]), new ByteArrayOutputStream(), new ByteArrayOutputStream());
        Map<String, String> refused = Map.of(
                "vireo:swap net0 probe", "netdev net0: is of type probe already",
                "vireo:swap net9 probe", "Device 'net9' not found",
                "vireo:swap net0 other 'a=1,a=2'", "'a' is given twice",
                "vireo:standby tcp:1", "only a UNIX socket",
                "vireo:qmp device_add", "Parameter 'id' is missing",
                "vireo:qmp device_add nic0", "'nic0' is not KEY=VALUE",
                "vireo:qmp query-nothing", "The command query-nothing has not been found");
        for (Map.Entry<String, String> e : refused.entrySet()) {
            Exception x = assertThrows(Exception.class, () -> execute(session, e.getKey()), e.getKey());
            assertTrue(String.valueOf(x.getMessage()).contains(e.getValue()), () -> e.getKey() + ": " + x);
        }
    }

    /** What the checks say, by their names. */
    private Map<String, String> health() throws Exception {
        Bundle api = vireo.bundle(HEALTH_API);
        Object selector = api.loadClass("org.apache.felix.hc.api.execution.HealthCheckSelector").getMethod("tags", String[].class)
                .invoke(null, (Object) new String[] {"vireo"});
        Object options = api.loadClass("org.apache.felix.hc.api.execution.HealthCheckExecutionOptions").getConstructor().newInstance();
        // not what it found two seconds ago
        EmbeddedVireo.call(options, "setForceInstantExecution", true);
        Map<String, String> found = new TreeMap<>();
        Object executor = vireo.service("org.apache.felix.hc.api.execution.HealthCheckExecutor");
        for (Object o : (List<?>) EmbeddedVireo.call(executor, "execute", selector, options)) {
            Object result = EmbeddedVireo.call(o, "getHealthCheckResult");
            found.put(String.valueOf(EmbeddedVireo.call(EmbeddedVireo.call(o, "getHealthCheckMetadata"), "getName")),
                    String.valueOf(EmbeddedVireo.call(result, "getStatus")));
        }
        return found;
    }

    private static Map<String, String> checks(String nics, String netdevs) {
        return Map.of("Vireo NICs", nics, "Vireo netdevs", netdevs);
    }

    @Test
    void healthChecksTellWhatServes() throws Exception {
        for (String a : List.of("org.apache.felix.eventadmin", "org.apache.felix.http.servlet-api", "org.osgi.service.servlet", HEALTH_API,
                "org.apache.felix.healthcheck.core", "vireo-health")) {
            vireo.install(a, EmbeddedVireo.FULL);
        }
        assertEquals(checks("OK", "OK"), health());
        try (EmbeddedGuest guest = EmbeddedGuest.connect(folder.resolve("nic0"))) {
            guest.sends(3);
            assertEquals(checks("OK", "OK"), health());
            backend.stop();
            vireo.awaitNic("nic0 NO_BACKEND");
            assertEquals(checks("WARN", "WARN"), health());
            backend.start();
            vireo.awaitNic("nic0 RUNNING");
            assertEquals(checks("OK", "OK"), health());
            backend.update(ProbeBundle.of("1.0.1", 0, "load"));
            vireo.awaitNic("nic0 FAILED");
            assertEquals("CRITICAL", health().get("Vireo NICs"));
        }
        vireo.bundle(House.FRONTEND).stop();
        assertEquals(checks("CRITICAL", "CRITICAL"), health());
        vireo.bundle(House.FRONTEND).start();
        vireo.awaitNetdev("net0 closed");
        assertEquals(checks("OK", "OK"), health());
    }
}
