// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Dictionary;
import java.util.HashMap;
import java.util.Hashtable;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.felix.framework.FrameworkFactory;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleException;
import org.osgi.framework.Constants;
import org.osgi.framework.FrameworkEvent;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.launch.Framework;
import org.osgi.framework.startlevel.BundleStartLevel;
import org.osgi.framework.startlevel.FrameworkStartLevel;
import org.osgi.framework.wiring.FrameworkWiring;
import org.vireo.testsupport.Await;

/**
 * Felix in the test's JVM with the house in it, at the start levels of the distribution. The test stands outside, as an integrator's
 * launcher does: it shares no class with the bundles but the JDK's and the framework's, and calls services by reflection.
 */
final class EmbeddedVireo implements AutoCloseable {
    static final Duration LIMIT = Duration.ofSeconds(40);
    static final int FULL = 8;
    static final String NICS = "org.vireo.net.api.nic.Nics";
    static final String BACKEND = "org.vireo.net.api.NetBackend";
    static final String CONFIGURATIONS = "org.osgi.service.cm.ConfigurationAdmin";

    /** Artifacts by start level: docs/integrate.md. */
    static final Map<Integer, List<String>> LEVELS = new TreeMap<>(Map.of(
            1, List.of("org.osgi.util.function", "org.osgi.util.promise", "org.osgi.service.component", "org.apache.felix.log",
                    "org.apache.felix.metatype"),
            2, List.of("org.apache.felix.configadmin"),
            3, List.of("org.apache.felix.scr"),
            4, List.of("jackson-core", "vireo-jnr-unixsocket", "vireo-api"),
            5, List.of("vireo-posix", "vireo-vhost-user"),
            // backends; the frontend stops before them
            6, List.of(),
            7, List.of("vireo-frontend-virtio-net", "vireo-handover"),
            FULL, List.of("vireo-control")));

    private final Framework framework;

    private EmbeddedVireo(Framework framework) {
        this.framework = framework;
    }

    /** Starts a framework; a storage that was used before has its bundles and configurations. */
    static EmbeddedVireo start(Path storage) throws BundleException {
        Map<String, String> properties = new HashMap<>();
        properties.put(Constants.FRAMEWORK_STORAGE, storage.toString());
        properties.put(Constants.FRAMEWORK_SYSTEMPACKAGES_EXTRA, Platform.SLF4J_PACKAGES);
        properties.put(Constants.FRAMEWORK_BOOTDELEGATION, "sun.misc");
        properties.put(Constants.FRAMEWORK_BSNVERSION, Constants.FRAMEWORK_BSNVERSION_MULTIPLE);
        properties.put(Constants.FRAMEWORK_BEGINNING_STARTLEVEL, String.valueOf(FULL));
        properties.put("org.osgi.service.http.port", "0");
        Framework f = new FrameworkFactory().newFramework(properties);
        f.init();
        EmbeddedVireo v = new EmbeddedVireo(f);
        if (f.getBundleContext().getBundles().length == 1) {
            for (Map.Entry<Integer, List<String>> level : LEVELS.entrySet()) {
                for (String artifact : level.getValue()) {
                    v.install(artifact, level.getKey());
                }
            }
        }
        f.start();
        return v;
    }

    Framework framework() {
        return framework;
    }

    /** Installs and marks it for its start level. */
    Bundle install(String artifact, int level) throws BundleException {
        return atLevel(framework.getBundleContext().installBundle("reference:" + House.jar(artifact).toUri()), level);
    }

    Bundle install(String location, InputStream content, int level) throws BundleException {
        return atLevel(framework.getBundleContext().installBundle(location, content), level);
    }

    private static Bundle atLevel(Bundle b, int level) throws BundleException {
        b.adapt(BundleStartLevel.class).setStartLevel(level);
        if (b.getHeaders("").get(Constants.FRAGMENT_HOST) == null) {
            b.start();
        }
        return b;
    }

    /** The bundle of a symbolic name. */
    Bundle bundle(String name) {
        for (Bundle b : framework.getBundleContext().getBundles()) {
            if (name.equals(b.getSymbolicName())) {
                return b;
            }
        }
        throw new AssertionError("there is no bundle " + name);
    }

    ServiceReference<?> reference(String type, String filter) {
        try {
            ServiceReference<?>[] found = framework.getBundleContext().getAllServiceReferences(type, filter);
            return found == null ? null : found[0];
        } catch (InvalidSyntaxException e) {
            throw new IllegalArgumentException(filter, e);
        }
    }

    /** Waits for a service, and gives its object. */
    Object service(String type) {
        return service(type, null);
    }

    Object service(String type, String filter) {
        return Await.value(LIMIT, "service " + type + " " + filter, () -> now(type, filter));
    }

    /** The service, or null. The use ends with the service or the framework. */
    private Object now(String type, String filter) {
        ServiceReference<?> r = reference(type, filter);
        return r == null ? null : framework.getBundleContext().getService(r);
    }

    /** Calls a method of a service by its name and its arguments' number. */
    static Object call(Object target, String method, Object... arguments) throws Exception {
        for (Method m : target.getClass().getMethods()) {
            if (m.getName().equals(method) && m.getParameterCount() == arguments.length && fits(m, arguments)) {
                try {
                    m.setAccessible(true);
                    return m.invoke(target, arguments);
                } catch (InvocationTargetException e) {
                    throw e.getCause() instanceof Exception x ? x : e;
                }
            }
        }
        throw new AssertionError(target.getClass() + " has no method " + method + " of " + arguments.length);
    }

    private static boolean fits(Method m, Object... arguments) {
        for (int i = 0; i < arguments.length; i++) {
            Class<?> type = m.getParameterTypes()[i];
            if (!type.isPrimitive() && arguments[i] != null && !type.isInstance(arguments[i])) {
                return false;
            }
        }
        return true;
    }

    // ---- NICs and netdevs

    /** Configures a netdev of the probe's type as {@code netdev_add} does. */
    Object netdev(String id) throws Exception {
        Object c = call(service(CONFIGURATIONS), "getFactoryConfiguration", "netdev." + ProbeBundle.TYPE, id, "?");
        Dictionary<String, Object> properties = new Hashtable<>();
        properties.put("netdev.id", id);
        properties.put("netdev.type", ProbeBundle.TYPE);
        call(c, "update", properties);
        return c;
    }

    void addNic(String id, String netdev, Path socket) throws Exception {
        call(service(NICS), "add", Map.of("id", id, "netdev", netdev, "socket", socket.toString()), false);
    }

    /** The NICs with their states, as {@code nic0 RUNNING}; none without a frontend. */
    List<String> nics() throws Exception {
        return told(NICS, "list", "id", "state");
    }

    /** The netdevs with state and version of who serves, as {@code net0 open org.example 1.0.0}. */
    List<String> netdevs() throws Exception {
        return told(NICS, "netdevs", "id", "state", "bundle");
    }

    private List<String> told(String service, String list, String... of) throws Exception {
        Object o = now(service, null);
        List<String> all = new ArrayList<>();
        for (Object one : o == null ? List.of() : (List<?>) call(o, list)) {
            StringBuilder b = new StringBuilder();
            for (String what : of) {
                b.append(call(one, what)).append(' ');
            }
            all.add(b.toString().strip());
        }
        return all;
    }

    void awaitNic(String idAndState) {
        await(idAndState, this::nics);
    }

    void awaitNetdev(String idAndState) {
        await(idAndState, this::netdevs);
    }

    private static void await(String begin, java.util.concurrent.Callable<List<String>> list) {
        List<String> last = new ArrayList<>();
        try {
            Await.until(LIMIT, begin, () -> {
                last.clear();
                last.addAll(list.call());
                return last.stream().anyMatch(s -> s.startsWith(begin));
            });
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + "; there is " + last, e);
        }
    }

    // ---- the framework

    /** Refreshes, and waits until that is done. None: what has been updated or removed. */
    void refresh(Bundle... bundles) throws InterruptedException {
        CountDownLatch done = new CountDownLatch(1);
        framework.adapt(FrameworkWiring.class).refreshBundles(bundles.length == 0 ? null : List.of(bundles), e -> done.countDown());
        if (!done.await(LIMIT.toSeconds(), TimeUnit.SECONDS)) {
            throw new AssertionError("the refresh of " + List.of(bundles) + " does not end");
        }
    }

    /** Goes to a start level, and waits until it is reached. */
    void level(int level) throws InterruptedException {
        CountDownLatch done = new CountDownLatch(1);
        framework.adapt(FrameworkStartLevel.class).setStartLevel(level, e -> {
            if (e.getType() == FrameworkEvent.STARTLEVEL_CHANGED) {
                done.countDown();
            }
        });
        if (!done.await(LIMIT.toSeconds(), TimeUnit.SECONDS)) {
            throw new AssertionError("start level " + level + " is not reached");
        }
    }

    @Override
    public void close() throws BundleException {
        framework.stop();
        try {
            if (framework.waitForStop(LIMIT.toMillis()).getType() == FrameworkEvent.WAIT_TIMEDOUT) {
                throw new AssertionError("the framework does not stop");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while the framework stops", e);
        }
    }
}
