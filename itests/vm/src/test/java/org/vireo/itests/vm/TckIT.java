// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.testsupport.TestProcess;

/** {@code vireo tck}, as somebody runs it who has nothing but the command and a bundle. */
final class TckIT {
    private static final Duration LIMIT = Duration.ofSeconds(180);
    private static final Path MUTANTS = Vireo.ROOT.resolve("itests/mutants/target");
    private static final Path VHOST_USER = Vireo.ROOT.resolve("backend-vhost-user");

    @TempDir
    private Path work;
    @RegisterExtension
    final OnTap on = new OnTap();

    private List<String> tck(int expected, String... arguments) {
        List<String> c = new ArrayList<>(List.of(Vireo.ROOT.resolve("vireo").toString(), "tck"));
        c.addAll(List.of(arguments));
        try (TestProcess p = TestProcess.start(on.namespace().command(c), Vireo.environment(), null)) {
            int code = p.exitCode(LIMIT);
            assertEquals(expected, code, String.join("\n", p.lines()));
            return p.lines();
        }
    }

    private static void says(List<String> lines, String pattern) {
        assertTrue(lines.stream().anyMatch(l -> l.matches(".*" + pattern + ".*")), pattern + " is not in:\n" + String.join("\n", lines));
    }

    private static Path mutants() throws IOException {
        return jar(MUTANTS, "vireo-mutants");
    }

    private static Path jar(Path folder, String artifact) throws IOException {
        try (Stream<Path> jars = Files.list(folder)) {
            return jars.filter(p -> p.getFileName().toString().matches(artifact + "-[^-]*(-SNAPSHOT)?\\.jar")).findFirst().orElseThrow();
        }
    }

    @Test
    void theTapBundlePasses() {
        List<String> lines = tck(0, TapBundle.JAR.toString(), "--config", "ifname=" + on.tap(), "--network", on.tap());
        says(lines, "Netdev type tap of org.vireo.backend.tap .*");
        says(lines, "transmit-allocates-nothing +passed +FrameQueue +[0-9]+ bytes for 10000 frames");
        says(lines, "load-inert +passed +BackendStateTransfer.load");
        // what nobody told the kit it does not claim
        says(lines, "transmit-short-when-full +not run +FrameQueue.transmit +only a fixture .*");
        says(lines, "validate-names-the-option +not run .*--refuse.*");
        says(lines, "pairs-in-use +not run +PortSettings.enabled +one pair only");
        says(lines, "stop-untouched +not run +VringPort.stop +this backend does not take the guest's rings .*");
        assertEquals(3, lines.stream().filter(l -> l.contains(" not run ") && !l.contains("(VringPort)")).count(), lines.toString());
        says(lines, "[0-9]+ rules: [0-9]+ passed, 0 failed, [0-9]+ not run");
    }

    @Test
    void aBundleThatTakesTheRingsPassesWithAFixture() throws IOException {
        List<String> lines = tck(0, jar(VHOST_USER.resolve("target"), "vireo-backend-vhost-user").toString(), "--fixture",
                VHOST_USER.resolve("target/test-classes").toString(), "--require-all", "--rule", "rings-move-frames", "--rule",
                "rings-inherited", "--rule", "other-side-returns", "--rule", "close-with-running-rings", "--rule", "service-names");
        says(lines, "rings-inherited +passed +VringSpec.mayRun");
        says(lines, "5 rules: 5 passed, 0 failed, 0 not run");
    }

    @Test
    void severalPairsOfAnInterfaceThatTheNetdevMakes() {
        List<String> lines = tck(0, TapBundle.JAR.toString(), "--config", "ifname=tck{pairs}", "--config", "queues={pairs}", "--network",
                "tck{pairs}", "--pairs", "2", "--refuse", "vhost=on", "--rule", "pairs-in-use", "--rule", "validate-names-the-option",
                "--rule", "close-twice", "--require-all");
        says(lines, "3 rules: 3 passed, 0 failed, 0 not run");
    }

    @Test
    void withoutANetworkNothingIsClaimedThatWasNotSeen() {
        List<String> lines = tck(1, TapBundle.JAR.toString(), "--config", "ifname=" + on.tap(), "--rule", "transmit-in-order", "--rule",
                "save-strangers-port", "--require-all");
        says(lines, "transmit-in-order +not run +FrameQueue.transmit +not known where frames come out.*");
        says(lines, "2 rules: 1 passed, 0 failed, 1 not run");
    }

    @Test
    void aMutantFailsByTheNameOfItsRule() throws IOException {
        Path xml = work.resolve("kit.xml");
        List<String> lines = tck(1, mutants().toString(), "--fixture", MUTANTS.resolve("test-classes").toString(), "--config",
                "fault=keeps-receive-address", "--xml", xml.toString(), "--rule", "addresses-of-the-call", "--rule",
                "move-to-another-process", "--rule", "transmit-short-when-full", "--rule", "service-names");
        says(lines, "addresses-of-the-call +FAILED +FrameQueue +something was written at an address of a call that had ended");
        says(lines, "move-to-another-process +passed .*");
        says(lines, "4 rules: 3 passed, 1 failed, 0 not run");
        String report = Files.readString(xml);
        assertTrue(report.contains("failures=\"1\"") && report.contains("<testcase name=\"addresses-of-the-call\" classname=\"FrameQueue\"")
                && report.contains("<failure message=\"something was written at an address"), report);
    }

    @Test
    void whatIsNoBackendIsRefusedWithTheReason() throws IOException {
        Path text = Files.writeString(work.resolve("text.jar"), "no jar");
        says(tck(1, text.toString()), "text.jar: is no whole jar file.*");
        Path noBundle = TapBundle.variant(work.resolve("old.jar"), Map.of("Bundle-ManifestVersion", "1"));
        says(tck(1, noBundle.toString()), "old.jar: is no OSGi bundle.*");
        Path plain = TapBundle.variant(work.resolve("plain.jar"), Map.of("Provide-Capability", "some.thing"));
        says(tck(1, plain.toString()), "plain.jar: provides no net.backend with a type.*");
        Path unresolved = TapBundle.variant(work.resolve("unresolved.jar"), Map.of("Import-Package", "org.nowhere"));
        says(tck(1, unresolved.toString()), "unresolved.jar: does not start: .*org.nowhere.*");
        says(tck(1, TapBundle.JAR.toString(), "--config", "nonsense=1"), "the bundle refuses this configuration .*nonsense.*");
        says(tck(2, noBundle.toString(), "--rule", "nonsense"), "--rule nonsense: there is no such rule.*");
        says(tck(2), "which bundle.*");
    }
}
