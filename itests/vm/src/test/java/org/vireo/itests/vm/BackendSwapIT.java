// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestBundle;

/** An operator installs, updates and removes backends under a guest, good ones and bad ones. */
final class BackendSwapIT {
    private static final Duration LIMIT = Duration.ofSeconds(30);
    private static final String NAME = TapBundle.NAME;

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private long sent;

    private Vireo daemon() {
        return Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev", "tap,id=net0,ifname=" + on.tap(), "--nic",
                "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
    }

    private Path variant(String file, Map<String, String> headers) throws IOException {
        return TapBundle.variant(folder.resolve(file), headers);
    }

    private Path version(String version) throws IOException {
        return variant("tap-" + version + ".jar", Map.of("Bundle-Version", version));
    }

    private void send(GuestNic g, int count) {
        Guests.send(g, count, LIMIT);
        sent += count;
        Await.until(LIMIT, "all frames of the guest on the TAP", () -> on.arrived() == sent);
    }

    private static void awaitServing(Vireo v, String bundle) {
        Await.until(LIMIT, bundle + " to serve net0", () -> String.join("\n", v.client("netdev", "list")).contains(bundle));
    }

    @Test
    void anotherVersionTakesOverAndTheFirstComesBackWhenThatIsRemoved() throws Exception {
        try (Vireo v = daemon(); GuestNic guest = Guests.connect(fds, folder.resolve("nic0"))) {
            send(guest, 500);
            v.client("backend", "install", version("0.2.0").toString());
            awaitServing(v, NAME + " 0.2.0");
            send(guest, 500);
            v.process().awaitLine("rings stood still for", LIMIT);
            // the one that does not serve is updated beside it, and is the better one then
            String old = v.client("backend", "list").stream().filter(l -> l.contains(NAME) && !l.contains("0.2.0")).findFirst()
                    .orElseThrow().split(" +")[1];
            v.client("backend", "update", old, version("0.3.0").toString());
            awaitServing(v, NAME + " 0.3.0");
            send(guest, 500);
            v.client("backend", "remove", old);
            awaitServing(v, NAME + " 0.2.0");
            send(guest, 500);
            // another configuration is a swap too
            v.client("netdev", "change", "net0", "sndbuf=100000,mtu=1400");
            assertTrue(String.join("\n", v.client("netdev", "list")).contains("mtu=1400"), v.client("netdev", "list").toString());
            assertTrue(on.namespace().run("ip", "-o", "link", "show", on.tap()).contains(" mtu 1400 "));
            send(guest, 500);
            String said = String.join("\n", v.failingClient("netdev", "change", "net0", "ifname=other"));
            assertTrue(said.contains("ifname") && said.contains(on.tap()), said);
            said = String.join("\n", v.failingClient("netdev", "change", "net0", "nonsense=1"));
            assertTrue(said.contains("option nonsense=1 is unknown"), said);
            send(guest, 500);
            // in place, with nobody else there
            v.client("backend", "update", NAME, version("0.4.0").toString());
            awaitServing(v, NAME + " 0.4.0");
            send(guest, 500);
            assertTrue(v.client("nic", "list").stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running")));
        }
    }

    /** The daemon ends: a backend that came later stops after the frontend, and does the duties of the end. */
    @Test
    void aBackendThatCameLaterDoesTheDutiesOfTheEnd() throws Exception {
        Path backends = Files.createDirectory(folder.resolve("backends"));
        TestBundle.variant(TapBundle.JAR, backends.resolve("other.jar"), Map.of("Bundle-SymbolicName", "org.example.other",
                "Provide-Capability", "net.backend;net.backend=other"), Map.of("OSGI-INF/org.vireo.backend.tap.TapBackend.xml",
                    xml -> xml.replace("value=\"tap\"", "value=\"other\"").replace("\"netdev.tap\"", "\"netdev.other\"")));
        Path said = folder.resolve("down");
        Path script = Files.writeString(folder.resolve("down.sh"), "#!/bin/sh\necho $1 >> " + said + "\n");
        assertTrue(script.toFile().setExecutable(true));
        try (Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--backends", backends.toString(), "--netdev",
                "other,id=net0,ifname=" + on.tap() + ",downscript=" + script, "--nic", "id=nic0,netdev=net0,socket="
                + folder.resolve("nic0")); GuestNic guest = Guests.connect(fds, folder.resolve("nic0"))) {
            send(guest, 100);
            v.client("qmp", "quit");
            assertEquals(0, v.process().exitCode(LIMIT));
        }
        assertEquals(on.tap(), Files.readString(said).strip());
    }

    @Test
    void whatIsNoGoodBackendIsRefusedAndChangesNothing() throws Exception {
        byte[] whole = Files.readAllBytes(TapBundle.JAR);
        Map<Path, String> bad = new LinkedHashMap<>();
        bad.put(folder.resolve("not-there.jar"), "is no file");
        bad.put(Files.write(folder.resolve("half.jar"), Arrays.copyOf(whole, whole.length / 2)), "is no whole jar file");
        bad.put(Files.writeString(folder.resolve("text.jar"), "not a jar"), "is no whole jar file");
        bad.put(variant("plain.jar", Map.of("Bundle-ManifestVersion", "1")), "is no OSGi bundle");
        bad.put(variant("other.jar", Map.of("Provide-Capability", "some.thing", "Bundle-Version", "0.2.0")), "provides no net.backend");
        bad.put(variant("unresolved.jar", Map.of("Bundle-Version", "0.2.1", "Import-Package", "org.nowhere")), "org.nowhere");
        bad.put(variant("future.jar", Map.of("Bundle-Version", "0.2.2", "Require-Capability",
                "osgi.ee;filter:=\"(&(osgi.ee=JavaSE)(version=99))\"")), "version=99");
        bad.put(variant("same.jar", Map.of()), "is installed already");
        try (Vireo v = daemon(); GuestNic guest = Guests.connect(fds, folder.resolve("nic0"))) {
            send(guest, 100);
            var before = v.client("backend", "list");
            for (Map.Entry<Path, String> b : bad.entrySet()) {
                String said = String.join("\n", v.failingClient("backend", "install", b.getKey().toString()));
                assertTrue(said.contains(b.getKey().toString()) && said.contains(b.getValue()), said);
                send(guest, 100);
            }
            String said = String.join("\n", v.failingClient("backend", "update", NAME, folder.resolve("unresolved.jar").toString()));
            assertTrue(said.contains("does not resolve") && said.contains("stays as it is"), said);
            said = String.join("\n", v.failingClient("backend", "remove", "org.nobody"));
            assertTrue(said.contains("'org.nobody' is neither id nor symbolic name of a backend's bundle"), said);
            said = String.join("\n", v.failingClient("backend", "swap", "net0", "--to", "nothing"));
            assertTrue(said.contains("no bundle provides the type 'nothing'"), said);
            said = String.join("\n", v.failingClient("backend", "swap", "net0", "--to", "vhost-user", "path=/nowhere"));
            assertTrue(said.contains("net0"), said);
            send(guest, 100);
            assertEquals(before, v.client("backend", "list"));
            awaitServing(v, NAME);
        }
    }
}
