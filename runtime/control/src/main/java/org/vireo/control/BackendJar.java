// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import org.osgi.framework.Constants;
import org.osgi.framework.Version;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.nic.NicException;

/**
 * A jar that is said to be a backend's bundle, looked at before the framework gets it.
 *
 * @param path where it is
 * @param said what people call it
 * @param name its symbolic name
 * @param version its version
 */
record BackendJar(Path path, Path said, String name, Version version) {
    /**
     * Looks at one.
     *
     * @param path where it is
     * @param said what people call it
     * @throws NicException it is no whole jar, no bundle, or no backend
     */
    static BackendJar of(Path path, Path said) throws NicException {
        if (!Files.isRegularFile(path)) {
            throw new NicException(said + ": is no file");
        }
        Attributes a = manifest(path, said);
        String name = a.getValue(Constants.BUNDLE_SYMBOLICNAME);
        if (name == null || !"2".equals(a.getValue(Constants.BUNDLE_MANIFESTVERSION))) {
            throw new NicException(said + ": is no OSGi bundle (no Bundle-SymbolicName with Bundle-ManifestVersion 2)");
        }
        String provides = a.getValue(Constants.PROVIDE_CAPABILITY);
        if (provides == null || Stream.of(provides.split(",")).noneMatch(c -> first(c).equals(NetBackend.CAPABILITY))) {
            throw new NicException(said + ": provides no " + NetBackend.CAPABILITY
                    + ", so it is no backend; other bundles are replaced with 'vireo upgrade'");
        }
        try {
            return new BackendJar(path, said, first(name), Version.parseVersion(a.getValue(Constants.BUNDLE_VERSION)));
        } catch (IllegalArgumentException e) {
            throw new NicException(said + ": Bundle-Version: " + e.getMessage(), e);
        }
    }

    /** What stands before the parameters of a header's clause. */
    private static String first(String clause) {
        int end = clause.indexOf(';');
        return (end < 0 ? clause : clause.substring(0, end)).strip();
    }

    private static Attributes manifest(Path path, Path said) throws NicException {
        try (JarFile jar = new JarFile(path.toFile())) {
            // a copy that is not complete has no directory, or an entry that is cut off; or the directory of what was there before
            for (Enumeration<JarEntry> all = jar.entries(); all.hasMoreElements();) {
                JarEntry e = all.nextElement();
                try (CheckedInputStream in = new CheckedInputStream(jar.getInputStream(e), new CRC32())) {
                    in.transferTo(OutputStream.nullOutputStream());
                    // a JarFile itself does not compare it
                    if (in.getChecksum().getValue() != e.getCrc()) {
                        throw new IOException(e.getName() + " has another checksum than the jar's directory says");
                    }
                }
            }
            Manifest m = jar.getManifest();
            return m == null ? new Attributes() : m.getMainAttributes();
        } catch (IOException | SecurityException | IllegalArgumentException e) {
            throw new NicException(said + ": is no whole jar file: " + e.getMessage(), e);
        }
    }
}
