// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Hashtable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.launch.FrameworkFactory;
import org.osgi.service.cm.Configuration;
import org.osgi.service.cm.ConfigurationAdmin;
import org.vireo.net.api.NetBackend;
import org.vireo.testsupport.Await;

/** A framework with the bundles of the distribution that backends stand on, and the one to be tested. */
final class Platform implements AutoCloseable {
    private static final java.time.Duration LIMIT = java.time.Duration.ofSeconds(10);
    /** What stands above level 5 are frontend, backends, handover and control. */
    private static final String LEVELS = "[0-5]";
    /** The kit's own: the backend gets these classes, as the kit calls it through them. */
    private static final String API = "vireo-api.jar";
    private static final String SHARED = "org.slf4j;version=2.0.17,org.slf4j.event;version=2.0.17,org.slf4j.helpers;version=2.0.17,"
            + "org.slf4j.spi;version=2.0.17,org.slf4j;version=1.7.36,org.slf4j.helpers;version=1.7.36,org.slf4j.spi;version=1.7.36,"
            + "org.osgi.service.cm;version=1.6.1";

    private final BundleFile file;
    private final Path storage;
    private final Framework framework;
    private final List<Configuration> configurations = new ArrayList<>();
    private Bundle bundle;

    private Platform(BundleFile file, Path home, Path storage) throws IOException {
        this.file = file;
        this.storage = storage;
        framework = ServiceLoader.load(FrameworkFactory.class).findFirst().orElseThrow().newFramework(Map.of(
                Constants.FRAMEWORK_STORAGE, storage.toString(), "felix.cache.locking", "false",
                Constants.FRAMEWORK_BOOTDELEGATION, "sun.misc", "felix.log.level", "0",
                Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, SHARED + "," + exportsOf(home.resolve("bundles/4").resolve(API))));
    }

    /** Starts one. */
    static Platform start(BundleFile file, Path home) throws RunException {
        Platform p;
        try {
            p = new Platform(file, home, Files.createTempDirectory("vireo-tck"));
        } catch (IOException e) {
            throw new RunException("the framework does not start: " + e, e);
        }
        boolean done = false;
        try {
            p.start(home);
            done = true;
            return p;
        } catch (IOException | BundleException e) {
            throw new RunException("the framework does not start: " + e.getMessage(), e);
        } finally {
            if (!done) {
                p.close();
            }
        }
    }

    private void start(Path home) throws IOException, BundleException, RunException {
        framework.init();
        BundleContext context = framework.getBundleContext();
        List<Bundle> bundles = new ArrayList<>();
        for (Path jar : jars(home.resolve("bundles"))) {
            bundles.add(context.installBundle("reference:" + jar.toUri()));
        }
        framework.start();
        for (Bundle b : bundles) {
            b.start();
        }
        try {
            bundle = context.installBundle(file.path().toUri().toString());
            bundle.start();
        } catch (BundleException e) {
            throw new RunException(file.path() + ": does not start: " + e.getMessage(), e);
        }
    }

    private static List<Path> jars(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new IOException("there is no folder " + folder + ": the installation is not complete");
        }
        try (Stream<Path> all = Files.walk(folder, 2)) {
            return all.filter(p -> p.getParent().getFileName().toString().matches(LEVELS) && p.toString().endsWith(".jar")
                    && !p.endsWith(API)).sorted().toList();
        }
    }

    private static String exportsOf(Path jar) throws IOException {
        try (JarFile f = new JarFile(jar.toFile())) {
            return f.getManifest().getMainAttributes().getValue(Constants.EXPORT_PACKAGE);
        }
    }

    /** The tested bundle. */
    Bundle bundle() {
        return bundle;
    }

    /** Configures a netdev as the daemon does, and waits for its service. */
    ServiceReference<?> netdev(String id, Map<String, ?> options) throws IOException {
        BundleContext context = framework.getBundleContext();
        ConfigurationAdmin admin = Await.value(LIMIT, "Configuration Admin", () -> {
            ServiceReference<ConfigurationAdmin> r = context.getServiceReference(ConfigurationAdmin.class);
            return r == null ? null : context.getService(r);
        });
        Map<String, Object> all = new LinkedHashMap<>(options);
        all.put(NetBackend.NETDEV_ID, id);
        Configuration c = admin.getFactoryConfiguration(file.pid(), id, "?");
        configurations.add(c);
        c.update(new Hashtable<>(all));
        return Await.value(LIMIT, "a service " + NetBackend.class.getName() + " of the bundle with " + NetBackend.NETDEV_TYPE + "="
                + file.type() + " and " + NetBackend.NETDEV_ID + "=" + id + " for the configuration " + c.getPid()
                + " (is its component's configurationPid \"" + file.pid() + "\", and does its activation not throw?)",
                () -> find(context, "(&(" + NetBackend.NETDEV_TYPE + "=" + file.type() + ")(" + NetBackend.NETDEV_ID + "=" + id + "))"));
    }

    /** Ends all netdevs that were configured. */
    void forgetNetdevs() throws IOException {
        for (Configuration c : configurations) {
            c.delete();
        }
        configurations.clear();
        BundleContext context = framework.getBundleContext();
        Await.until(LIMIT, "the end of the services of netdevs whose configurations are deleted",
                () -> find(context, "(" + NetBackend.NETDEV_TYPE + "=" + file.type() + ")") == null);
    }

    private ServiceReference<?> find(BundleContext context, String filter) throws InvalidSyntaxException {
        ServiceReference<?>[] found = context.getServiceReferences(NetBackend.class.getName(), filter);
        return Stream.of(found == null ? new ServiceReference<?>[0] : found).filter(r -> r.getBundle() == bundle).findFirst().orElse(null);
    }

    /** The object behind a service. */
    NetBackend object(ServiceReference<?> r) {
        return (NetBackend) framework.getBundleContext().getService(r);
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
        } catch (BundleException | IOException e) {
            throw new IllegalStateException("the framework does not stop", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
