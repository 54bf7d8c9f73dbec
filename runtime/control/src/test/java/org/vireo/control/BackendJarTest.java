// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.osgi.framework.Version;
import org.vireo.net.api.nic.NicException;

/** What is dropped or named as a backend's bundle is looked at as a whole: a copy that is cut off anywhere is none. */
class BackendJarTest {
    @TempDir
    Path folder;

    private static byte[] whole() throws IOException {
        Manifest m = new Manifest();
        Attributes a = m.getMainAttributes();
        a.put(Attributes.Name.MANIFEST_VERSION, "1.0");
        a.putValue("Bundle-ManifestVersion", "2");
        a.putValue("Bundle-SymbolicName", "org.example.backend;singleton:=false");
        a.putValue("Bundle-Version", "1.2.3");
        a.putValue("Provide-Capability", "osgi.service;objectClass=x,net.backend;net.backend=example");
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JarOutputStream out = new JarOutputStream(bytes, m)) {
            byte[] content = new byte[10_000];
            // random, so that it is as long in the jar
            new Random(1).nextBytes(content);
            for (int i = 0; i < 5; i++) {
                out.putNextEntry(new JarEntry("part" + i));
                out.write(content);
                out.closeEntry();
            }
        }
        return bytes.toByteArray();
    }

    private void refused(Path file, byte[] content, String why) throws IOException {
        Files.write(file, content);
        NicException e = assertThrows(NicException.class, () -> BackendJar.of(file, file), file.toString());
        assertTrue(e.getMessage().startsWith(file + ": ") && e.getMessage().contains(why), e.getMessage());
    }

    @Test
    void aWholeOneIsRead() throws Exception {
        Path file = Files.write(folder.resolve("a name with spaces and " + "x".repeat(200) + ".jar"), whole());
        BackendJar jar = BackendJar.of(file, file);
        assertEquals("org.example.backend", jar.name());
        assertEquals(new Version(1, 2, 3), jar.version());
    }

    @Test
    void whatIsCutOffAnywhereIsRefused() throws Exception {
        byte[] whole = whole();
        for (int percent = 0; percent < 100; percent += 10) {
            refused(folder.resolve("cut.jar"), Arrays.copyOf(whole, whole.length * percent / 100), "is no whole jar file");
        }
        refused(folder.resolve("cut.jar"), Arrays.copyOf(whole, whole.length - 1), "is no whole jar file");
    }

    @Test
    void whatIsChangedInsideIsRefused() throws Exception {
        byte[] changed = whole();
        for (int at = changed.length / 2; at < changed.length / 2 + 100; at++) {
            changed[at] ^= 0x55;
        }
        refused(folder.resolve("changed.jar"), changed, "is no whole jar file");
    }
}
