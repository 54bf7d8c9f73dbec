// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.wiring.FrameworkWiring;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NicException;

/**
 * Installs, updates and removes backends' bundles while NICs run. A bundle is looked at before the framework gets it, and one that does
 * not resolve or start leaves everything as it was. One call at a time.
 */
final class BackendInstaller {
    private static final Logger LOG = LoggerFactory.getLogger(BackendInstaller.class);
    private static final String LOCATION = "vireo-backend:";

    private final BundleContext context;
    private final AtomicLong installed = new AtomicLong();

    BackendInstaller(BundleContext context) {
        this.context = context;
    }

    /** Installs a bundle and starts it. */
    synchronized Map<String, Object> install(Path path) throws NicException {
        BackendJar jar = BackendJar.of(path, path);
        for (Bundle b : context.getBundles()) {
            if (jar.name().equals(b.getSymbolicName()) && jar.version().equals(b.getVersion())) {
                throw new NicException(path + ": " + jar.name() + " " + jar.version() + " is installed already, as bundle "
                        + b.getBundleId() + "; update that, or give this one another version");
            }
        }
        return describe(installBeside(jar));
    }

    /** Installs a bundle and starts it, whatever else is installed. */
    synchronized Bundle installBeside(BackendJar jar) throws NicException {
        Bundle b = add(jar, jar.name() + ":" + jar.version());
        try {
            LongCalls.make("start", b, b::start);
            return b;
        } catch (NicException e) {
            // when its start returns
            Thread.ofPlatform().daemon().name("vireo-bundle").start(() -> {
                try {
                    b.uninstall();
                } catch (BundleException x) {
                    LOG.warn("bundle {} cannot be removed: {}", b.getBundleId(), LongCalls.reason(x));
                }
            });
            throw e;
        } catch (BundleException e) {
            uninstall(b);
            throw new NicException(jar.said() + ": " + jar.name() + " " + jar.version() + " does not start, so it was not installed: "
                    + LongCalls.reason(e), e);
        }
    }

    private Bundle add(BackendJar jar, String what) throws NicException {
        try (InputStream in = Files.newInputStream(jar.path())) {
            return context.installBundle(LOCATION + what + ":" + installed.incrementAndGet(), in);
        } catch (IOException | BundleException e) {
            throw new NicException(jar.said() + ": cannot be installed: " + LongCalls.reason(e), e);
        }
    }

    /** Replaces a bundle's content in place. What would not resolve is not put there. */
    synchronized Map<String, Object> update(String which, Path path) throws NicException {
        Bundle b = find(which);
        BackendJar jar = BackendJar.of(path, path);
        if (!jar.name().equals(b.getSymbolicName())) {
            throw new NicException(path + ": is " + jar.name() + ", not " + b.getSymbolicName());
        }
        Bundle trial = add(jar, "trial");
        try {
            resolve(trial);
        } catch (BundleException e) {
            throw new NicException(path + ": does not resolve, so bundle " + b.getBundleId() + " stays as it is: "
                    + LongCalls.reason(e), e);
        } finally {
            uninstall(trial);
        }
        try {
            LongCalls.make("update", b, () -> {
                try (InputStream in = Files.newInputStream(path)) {
                    b.update(in);
                }
                // an update starts it anew, and does not tell if that does not work
                b.start();
            });
            return describe(b);
        } catch (BundleException e) {
            throw new NicException(path + ": bundle " + b.getBundleId() + " does not start: " + LongCalls.reason(e), e);
        }
    }

    /** Whether it could run here; nothing of its own runs. */
    private void resolve(Bundle b) throws BundleException, NicException {
        if (!context.getBundle(0).adapt(FrameworkWiring.class).resolveBundles(List.of(b))) {
            // only this says why
            LongCalls.make("start", b, () -> b.start(Bundle.START_TRANSIENT));
        }
    }

    /** Removes a bundle; a netdev of its type goes on with another one, or waits for one. */
    synchronized void remove(String which) throws NicException {
        take(find(which));
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

    /** Removes a bundle, if nobody has. */
    synchronized void uninstall(Bundle b) {
        try {
            take(b);
        } catch (NicException e) {
            LOG.warn("{}", e.getMessage());
        }
    }

    private static void take(Bundle b) throws NicException {
        try {
            if (b.getState() != Bundle.UNINSTALLED) {
                LongCalls.make("stop", b, b::uninstall);
            }
        } catch (BundleException e) {
            throw new IllegalStateException("bundle " + b.getBundleId() + " cannot be removed: " + LongCalls.reason(e), e);
        }
    }

    private static Map<String, Object> describe(Bundle b) {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("id", b.getBundleId());
        m.put("bundle", b.getSymbolicName());
        m.put("version", b.getVersion().toString());
        return m;
    }
}
