// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.osgi.framework.Constants;
import org.vireo.net.api.NetBackend;

/**
 * The bundle to be tested, looked at before the framework gets it.
 *
 * @param path the jar
 * @param name its symbolic name
 * @param version its version
 * @param type the netdev's type
 */
record BundleFile(Path path, String name, String version, String type) {
    private static final int FIRST_CLASS_VERSION = 44;
    /** A clause of Provide-Capability: {@code net.backend;net.backend=tap}. */
    private static final Pattern PROVIDED = Pattern.compile("(?:^|,)\\s*" + Pattern.quote(NetBackend.CAPABILITY) + "\\s*;([^,]*)");
    private static final Pattern TYPE = Pattern.compile(Pattern.quote(NetBackend.CAPABILITY) + "(?::String)?\\s*=\\s*\"?([^\";]+)\"?");

    static BundleFile of(Path path, String wantedType) throws RunException {
        if (!Files.isRegularFile(path)) {
            throw new RunException(path + ": is no file");
        }
        Attributes a = attributes(path);
        String name = a.getValue(Constants.BUNDLE_SYMBOLICNAME);
        if (name == null || !"2".equals(a.getValue(Constants.BUNDLE_MANIFESTVERSION))) {
            throw new RunException(path + ": is no OSGi bundle (no Bundle-SymbolicName with Bundle-ManifestVersion 2); build it with bnd");
        }
        Set<String> types = types(a.getValue(Constants.PROVIDE_CAPABILITY));
        if (types.isEmpty()) {
            throw new RunException(path + ": provides no " + NetBackend.CAPABILITY + " with a type, so it is no backend; write"
                    + " @Capability(namespace = \"net.backend\", attribute = \"net.backend=TYPE\") in its package-info.java");
        }
        if (wantedType != null && !types.contains(wantedType)) {
            throw new RunException(path + ": provides no netdev type " + wantedType + ", but " + String.join(", ", types));
        }
        if (wantedType == null && types.size() > 1) {
            throw new RunException(path + ": provides several netdev types: choose with --type one of " + String.join(", ", types));
        }
        String version = a.getValue(Constants.BUNDLE_VERSION);
        return new BundleFile(path, name.split(";")[0].strip(), version == null ? "0.0.0" : version,
                wantedType == null ? types.iterator().next() : wantedType);
    }

    /** The pid of the netdev's factory configuration. */
    String pid() {
        return NetBackend.PID_PREFIX + type.replace("-", "");
    }

    private static Set<String> types(String provided) {
        Set<String> types = new TreeSet<>();
        Matcher m = PROVIDED.matcher(provided == null ? "" : provided);
        while (m.find()) {
            Matcher t = TYPE.matcher(m.group(1));
            if (t.find()) {
                types.add(t.group(1).strip());
            }
        }
        return types;
    }

    private static Attributes attributes(Path path) throws RunException {
        try (JarFile jar = new JarFile(path.toFile())) {
            for (Enumeration<JarEntry> all = jar.entries(); all.hasMoreElements();) {
                JarEntry e = all.nextElement();
                try (InputStream in = jar.getInputStream(e)) {
                    if (e.getName().endsWith(".class") && !e.getName().startsWith("META-INF/")) {
                        checkVersion(path, e.getName(), in);
                    }
                    in.transferTo(OutputStream.nullOutputStream());
                }
            }
            return jar.getManifest() == null ? new Attributes() : jar.getManifest().getMainAttributes();
        } catch (IOException | SecurityException | IllegalArgumentException e) {
            throw new RunException(path + ": is no whole jar file: " + e.getMessage(), e);
        }
    }

    private static void checkVersion(Path path, String name, InputStream in) throws IOException, RunException {
        DataInputStream d = new DataInputStream(in);
        if (d.readInt() != 0xcafebabe) {
            throw new RunException(path + ": " + name + " is no class file");
        }
        d.readUnsignedShort();
        int java = d.readUnsignedShort() - FIRST_CLASS_VERSION;
        if (java > Runtime.version().feature()) {
            throw new RunException(path + ": is compiled for Java " + java + ", this is Java " + Runtime.version().feature()
                    + "; set maven.compiler.release, or JAVA_HOME");
        }
    }
}
