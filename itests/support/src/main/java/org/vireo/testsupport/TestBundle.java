// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.function.UnaryOperator;
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
        return variant(bundle, to, headers, Map.of());
    }

    /**
     * The same with other headers in its manifest, and other texts in some of its files.
     *
     * @param bundle the bundle
     * @param to the new one
     * @param headers names and values
     * @param edits what becomes of a file's text, by the file's name
     * @return {@code to}
     * @throws IOException one cannot be read, or the other written, or a file that is to be edited is not in it
     */
    public static Path variant(Path bundle, Path to, Map<String, String> headers, Map<String, UnaryOperator<String>> edits)
            throws IOException {
        try (JarFile jar = new JarFile(bundle.toFile())) {
            for (String name : edits.keySet()) {
                if (jar.getEntry(name) == null) {
                    throw new IOException("there is no " + name + " in " + bundle);
                }
            }
            Manifest m = new Manifest(jar.getManifest());
            headers.forEach(m.getMainAttributes()::putValue);
            try (JarOutputStream out = new JarOutputStream(Files.newOutputStream(to), m)) {
                for (JarEntry e : jar.stream().filter(e -> !e.getName().equals(JarFile.MANIFEST_NAME)).toList()) {
                    out.putNextEntry(new JarEntry(e.getName()));
                    try (InputStream in = jar.getInputStream(e)) {
                        UnaryOperator<String> edit = edits.get(e.getName());
                        out.write(edit == null ? in.readAllBytes()
                                : edit.apply(new String(in.readAllBytes(), StandardCharsets.UTF_8)).getBytes(StandardCharsets.UTF_8));
                    }
                    out.closeEntry();
                }
            }
        }
        return to;
    }
}
