// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;

/** The bundle of backend-tap, and others that are made of it. */
final class TapBundle {
    static final Path JAR = Vireo.DIST.resolve("bundles/6/vireo-backend-tap.jar");
    static final String NAME = "org.vireo.backend.tap";

    private TapBundle() { }

    /** The same with other headers in its manifest. */
    static Path variant(Path file, Map<String, String> headers) throws IOException {
        try (JarFile jar = new JarFile(JAR.toFile())) {
            Manifest m = new Manifest(jar.getManifest());
            headers.forEach(m.getMainAttributes()::putValue);
            try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(file), m)) {
                for (JarEntry e : jar.stream().filter(e -> !e.getName().equals(JarFile.MANIFEST_NAME)).toList()) {
                    out.putNextEntry(new JarEntry(e.getName()));
                    try (InputStream in = jar.getInputStream(e)) {
                        in.transferTo(out);
                    }
                    out.closeEntry();
                }
            }
        }
        return file;
    }

    /** The same as another version. */
    static Path version(Path file, String version) throws IOException {
        return variant(file, Map.of("Bundle-Version", version));
    }
}
