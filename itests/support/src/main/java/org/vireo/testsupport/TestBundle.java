// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;

/** Bundles that are made of others. */
public final class TestBundle {
    private TestBundle() {
    }

    /**
     * The same with other headers in its manifest.
     *
     * @param bundle the bundle
     * @param to the new one
     * @param headers names and values
     * @return {@code to}
     * @throws IOException one cannot be read, or the other written
     */
    public static Path variant(Path bundle, Path to, Map<String, String> headers) throws IOException {
        try (JarFile jar = new JarFile(bundle.toFile())) {
            Manifest m = new Manifest(jar.getManifest());
            headers.forEach(m.getMainAttributes()::putValue);
            try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(to), m)) {
                for (JarEntry e : jar.stream().filter(e -> !e.getName().equals(JarFile.MANIFEST_NAME)).toList()) {
                    out.putNextEntry(new JarEntry(e.getName()));
                    try (InputStream in = jar.getInputStream(e)) {
                        in.transferTo(out);
                    }
                    out.closeEntry();
                }
            }
        }
        return to;
    }
}
