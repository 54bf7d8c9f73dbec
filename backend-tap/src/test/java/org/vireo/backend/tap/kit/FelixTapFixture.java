// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Hashtable;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Stream;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.launch.FrameworkFactory;
import org.osgi.service.cm.ConfigurationAdmin;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;
import org.vireo.testsupport.Await;

/** Gives the kit backends that Declarative Services made of configurations, in a Felix framework of its own. */
public final class FelixTapFixture extends TapFixture {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private final Path storage;
    private final Framework framework;
    private int instances;

    /** Starts the framework, with the backend's bundle as it is shipped. */
    public FelixTapFixture() {
        try {
            storage = Files.createTempDirectory("vireo-felix");
            framework = ServiceLoader.load(FrameworkFactory.class).findFirst().orElseThrow().newFramework(Map.of(
                    Constants.FRAMEWORK_STORAGE, storage.toString(),
                    Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, "org.vireo.net.api;version=1.0.0,org.slf4j;version=2.0.17,"
                            + "org.osgi.service.cm;version=1.6.1"));
            framework.init();
            start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (BundleException e) {
            throw new IllegalStateException("the framework does not start", e);
        }
    }

    private void start() throws BundleException {
        BundleContext context = framework.getBundleContext();
        List<Bundle> bundles = new ArrayList<>();
        boolean done = false;
        try {
            for (Path jar : Jars.named("org.osgi.util.function", "org.osgi.util.promise", "org.osgi.service.component-",
                    "org.apache.felix.log", "org.apache.felix.metatype", "org.apache.felix.configadmin", "org.apache.felix.scr",
                    "vireo-jnr-unixsocket", "vireo-posix")) {
                bundles.add(context.installBundle(jar.toUri().toString()));
            }
            bundles.add(context.installBundle(Jars.backend().toUri().toString()));
            framework.start();
            for (Bundle b : bundles) {
                b.start();
            }
            done = true;
        } finally {
            if (!done) {
                close();
            }
        }
    }

    /**
     * The framework.
     *
     * @return its context
     */
    public BundleContext context() {
        return framework.getBundleContext();
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) throws Exception {
        BundleContext context = framework.getBundleContext();
        ConfigurationAdmin admin = Await.value(LIMIT, "Configuration Admin", () -> {
            ServiceReference<ConfigurationAdmin> r = context.getServiceReference(ConfigurationAdmin.class);
            return r == null ? null : context.getService(r);
        });
        String name = id + "-" + ++instances;
        admin.getFactoryConfiguration("netdev.tap", name, "?").update(new Hashtable<>(options));
        return Await.value(LIMIT, "the service of netdev " + name, () -> {
            ServiceReference<?>[] found = context.getServiceReferences(NetBackend.class.getName(),
                    "(&(netdev.type=tap)(service.pid=netdev.tap~" + name + ")(objectClass=" + BackendStateTransfer.class.getName() + "))");
            return found == null ? null : (NetBackend) context.getService(found[0]);
        });
    }

    @Override
    public Map<String, String> systemProperties() {
        return Map.of(Jars.BACKEND, Jars.backend().toString());
    }

    @Override
    public void close() {
        try {
            framework.stop();
            framework.waitForStop(LIMIT.toMillis());
            try (Stream<Path> files = Files.walk(storage)) {
                for (Path p : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(p);
                }
            }
        } catch (BundleException e) {
            throw new IllegalStateException("the framework does not stop", e);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
