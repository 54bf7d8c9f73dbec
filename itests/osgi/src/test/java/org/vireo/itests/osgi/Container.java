// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.Assert.fail;
import static org.ops4j.pax.exam.CoreOptions.bootClasspathLibrary;
import static org.ops4j.pax.exam.CoreOptions.bundle;
import static org.ops4j.pax.exam.CoreOptions.junitBundles;
import static org.ops4j.pax.exam.CoreOptions.systemPackages;
import static org.ops4j.pax.exam.CoreOptions.systemProperty;
import static org.ops4j.pax.exam.CoreOptions.vmOption;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Dictionary;
import java.util.Hashtable;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.locks.LockSupport;
import javax.inject.Inject;
import org.junit.runner.RunWith;
import org.ops4j.pax.exam.Option;
import org.ops4j.pax.exam.junit.PaxExam;
import org.ops4j.pax.exam.spi.reactors.ExamReactorStrategy;
import org.ops4j.pax.exam.spi.reactors.PerClass;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.framework.ServiceReference;
import org.osgi.service.cm.ConfigurationAdmin;

/** A Felix in a process of its own, with the house in it. The tests run inside, as a bundle; one container for each class. */
@RunWith(PaxExam.class)
@ExamReactorStrategy(PerClass.class)
public abstract class Container {
    private static final Duration PATIENCE = Duration.ofSeconds(20);

    /** The test bundle's context. */
    @Inject
    protected BundleContext context;

    /** Where netdevs are configured. */
    @Inject
    protected ConfigurationAdmin configurations;

    /** Artifacts of the house to start, in this order. */
    static final List<String> HOUSE = List.of("vireo-api", "vireo-jnr-unixsocket", "vireo-posix", "vireo-vhost-user", "vireo-handover",
            "vireo-frontend-virtio-net");

    /** The options of a container that starts these artifacts beside the platform. */
    static Option[] container(List<String> artifacts) {
        List<Option> options = new ArrayList<>();
        for (String name : List.of("bundles.dir", "sources.dir")) {
            options.add(systemProperty(name).value(House.property(name)));
        }
        options.add(vmOption("--enable-native-access=ALL-UNNAMED"));
        options.add(vmOption("--sun-misc-unsafe-memory-access=allow"));
        options.add(vmOption("-XX:+UseSerialGC"));
        options.add(vmOption("-Xmx256m"));
        options.add(systemProperty("org.ops4j.pax.logging.DefaultServiceLog.level").value("WARN"));
        Platform.CLASS_PATH.forEach(a -> options.add(bootClasspathLibrary(House.jar(a).toUri().toString())));
        options.add(systemPackages(Platform.SLF4J_PACKAGES.split(",")));
        Platform.BUNDLES.forEach(a -> options.add(bundle(House.jar(a).toUri().toString())));
        artifacts.forEach(a -> options.add(bundle(House.jar(a).toUri().toString())));
        options.add(junitBundles());
        return options.toArray(Option[]::new);
    }

    /** Installs and starts a bundle of the house. */
    final Bundle start(String artifact) throws BundleException {
        Bundle bundle = context.installBundle(House.jar(artifact).toUri().toString());
        bundle.start();
        return bundle;
    }

    /** The installed bundle with a symbolic name, or null. */
    final Bundle find(String symbolicName) {
        for (Bundle b : context.getBundles()) {
            if (symbolicName.equals(b.getSymbolicName())) {
                return b;
            }
        }
        return null;
    }

    /** Configures a netdev as {@code netdev_add} does. */
    final org.osgi.service.cm.Configuration netdev(String pid, String id, Map<String, String> options) throws IOException {
        org.osgi.service.cm.Configuration c = configurations.getFactoryConfiguration(pid, id, "?");
        Dictionary<String, Object> properties = new Hashtable<>(options);
        properties.put("netdev.id", id);
        c.update(properties);
        return c;
    }

    /** Waits until a service with these properties is there. */
    final <S> ServiceReference<S> awaitService(Class<S> type, String filter) {
        return await("service " + type.getName() + " " + filter, () -> service(type, filter));
    }

    /** Waits until no such service is there any more. */
    final <S> void awaitGone(Class<S> type, String filter) {
        await("the end of service " + type.getName() + " " + filter, () -> service(type, filter) == null ? Boolean.TRUE : null);
    }

    /** The service, or null. */
    final <S> ServiceReference<S> service(Class<S> type, String filter) throws InvalidSyntaxException {
        return context.getServiceReferences(type, filter).stream().findFirst().orElse(null);
    }

    /** Waits until a source gives something. */
    static <T> T await(String what, Callable<T> source) {
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            boolean late = System.nanoTime() > end;
            try {
                T found = source.call();
                if (found != null) {
                    return found;
                }
            } catch (RuntimeException | Error e) {
                throw e;
            } catch (Exception e) {
                throw new AssertionError("while waiting for " + what, e);
            }
            if (late) {
                fail("not within " + PATIENCE.toSeconds() + " s: " + what);
            }
            LockSupport.parkNanos(5_000_000);
        }
    }
}
