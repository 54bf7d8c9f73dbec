// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.jar.Manifest;
import java.util.stream.Stream;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.Version;
import org.osgi.framework.wiring.FrameworkWiring;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.nic.NicException;

/**
 * Installs, updates and removes backends' bundles while NICs run. A bundle is looked at before the framework gets it, and one that does
 * not resolve leaves everything as it was. One call at a time.
 */
final class BackendInstaller {
    private static final String LOCATION = "vireo-backend:";

    private final BundleContext context;
    private final AtomicLong installed = new AtomicLong();

    BackendInstaller(BundleContext context) {
        this.context = context;
    }

    /** What a jar says about itself. */
    private record Jar(Path path, String name, Version version) {
        static Jar of(Path path) throws NicException {
            if (!Files.isRegularFile(path)) {
                throw new NicException(path + ": is no file");
            }
            Manifest m;
            try (JarFile jar = new JarFile(path.toFile())) {
                // a copy that is not complete has no directory, or an entry that is cut off
                for (var e : jar.stream().toList()) {
                    try (InputStream in = jar.getInputStream(e)) {
                        in.transferTo(OutputStream.nullOutputStream());
                    }
                }
                m = jar.getManifest();
            } catch (IOException | SecurityException e) {
                throw new NicException(path + ": is no whole jar file: " + e.getMessage(), e);
            }
            Attributes a = m == null ? new Attributes() : m.getMainAttributes();
            String name = a.getValue(Constants.BUNDLE_SYMBOLICNAME);
            if (name == null || !"2".equals(a.getValue(Constants.BUNDLE_MANIFESTVERSION))) {
                throw new NicException(path + ": is no OSGi bundle (no Bundle-SymbolicName with Bundle-ManifestVersion 2)");
            }
            String provides = a.getValue(Constants.PROVIDE_CAPABILITY);
            if (provides == null || Stream.of(provides.split(",")).noneMatch(c -> c.strip().split(";")[0].equals(NetBackend.CAPABILITY))) {
                throw new NicException(path + ": provides no " + NetBackend.CAPABILITY
                        + ", so it is no backend; other bundles are replaced with 'vireo upgrade'");
            }
            try {
                return new Jar(path, name.split(";")[0].strip(), Version.parseVersion(a.getValue(Constants.BUNDLE_VERSION)));
            } catch (IllegalArgumentException e) {
                throw new NicException(path + ": Bundle-Version: " + e.getMessage(), e);
            }
        }
    }

    /** Installs a bundle and starts it. */
    synchronized Map<String, Object> install(Path path) throws NicException {
        Jar jar = Jar.of(path);
        for (Bundle b : context.getBundles()) {
            if (jar.name.equals(b.getSymbolicName()) && jar.version.equals(b.getVersion())) {
                throw new NicException(path + ": " + jar.name + " " + jar.version + " is installed already, as bundle " + b.getBundleId()
                        + "; update that, or give this one another version");
            }
        }
        Bundle b;
        try (InputStream in = Files.newInputStream(path)) {
            b = context.installBundle(LOCATION + jar.name + ":" + jar.version + ":" + installed.incrementAndGet(), in);
        } catch (IOException | BundleException e) {
            throw new NicException(path + ": cannot be installed: " + reason(e), e);
        }
        try {
            b.start();
            return describe(b);
        } catch (BundleException e) {
            uninstall(b);
            throw new NicException(path + ": " + jar.name + " " + jar.version + " does not start, so it was not installed: " + reason(e),
                    e);
        }
    }

    /** Replaces a bundle's content; if the new one does not start the old one is put back. */
    synchronized Map<String, Object> update(String which, Path path) throws NicException {
        Bundle b = find(which);
        Jar jar = Jar.of(path);
        if (!jar.name.equals(b.getSymbolicName())) {
            throw new NicException(path + ": is " + jar.name + ", not " + b.getSymbolicName());
        }
        // tried beside first: in place nothing could be put back
        Bundle trial;
        try (InputStream in = Files.newInputStream(path)) {
            trial = jar.version.equals(b.getVersion()) ? null
                    : context.installBundle(LOCATION + "trial:" + installed.incrementAndGet(), in);
        } catch (IOException | BundleException e) {
            throw new NicException(path + ": cannot be installed: " + reason(e), e);
        }
        if (trial != null) {
            try {
                resolve(trial);
            } catch (BundleException e) {
                throw new NicException(path + ": does not resolve, so bundle " + b.getBundleId() + " stays as it is: " + reason(e), e);
            } finally {
                uninstall(trial);
            }
        }
        try (InputStream in = Files.newInputStream(path)) {
            b.update(in);
            // starts it anew, and is not told if that does not work
            b.start();
            return describe(b);
        } catch (IOException | BundleException e) {
            throw new NicException(path + ": bundle " + b.getBundleId() + " does not start: " + reason(e), e);
        }
    }

    /** Whether it could run here; nothing of its own runs. */
    private void resolve(Bundle b) throws BundleException {
        if (!context.getBundle(0).adapt(FrameworkWiring.class).resolveBundles(List.of(b))) {
            // only this says why
            b.start(Bundle.START_TRANSIENT);
        }
    }

    /** Removes a bundle; a netdev of its type goes on with another one, or waits for one. */
    synchronized void remove(String which) throws NicException {
        Bundle b = find(which);
        try {
            b.uninstall();
        } catch (BundleException e) {
            throw new NicException("bundle " + b.getBundleId() + " cannot be removed: " + reason(e), e);
        }
    }

    private Bundle find(String which) throws NicException {
        List<Bundle> found = Stream.of(context.getBundles()).filter(BackendCatalog::isBackend)
                .filter(b -> which.equals(String.valueOf(b.getBundleId())) || which.equals(b.getSymbolicName())).toList();
        if (found.isEmpty()) {
            throw new NicException("'" + which + "' is neither id nor symbolic name of a backend's bundle (vireo backend list)");
        }
        if (found.size() > 1) {
            throw new NicException("'" + which + "' is the name of several bundles: "
                    + String.join(", ", found.stream().map(b -> b.getBundleId() + " (" + b.getVersion() + ")").toList()) + "; give the id");
        }
        return found.getFirst();
    }

    private static void uninstall(Bundle b) {
        try {
            b.uninstall();
        } catch (BundleException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String reason(Exception e) {
        Throwable t = e;
        while (t.getCause() != null && t.getCause().getMessage() != null) {
            t = t.getCause();
        }
        return t.getMessage() == null ? t.toString() : t.getMessage();
    }

    private static Map<String, Object> describe(Bundle b) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("id", b.getBundleId());
        m.put("bundle", b.getSymbolicName());
        m.put("version", b.getVersion().toString());
        return m;
    }
}
