// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.util.Dictionary;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.FrameworkUtil;
import org.osgi.framework.Version;
import org.osgi.framework.wiring.BundleCapability;
import org.osgi.framework.wiring.BundleRevision;
import org.osgi.service.cm.Configuration;
import org.osgi.service.cm.ConfigurationAdmin;

/** As much of a framework and of Configuration Admin as the control plane uses; any other call fails the test. */
final class FakeFramework {
    final Map<String, String> properties = new HashMap<>();
    final Map<String, Dictionary<String, Object>> configurations = new LinkedHashMap<>();
    final CountDownLatch stopped = new CountDownLatch(1);
    /** Whether there is a backend of another type than tap. */
    boolean hasOther;
    /** Of which type that is. */
    String otherType = "other";

    BundleContext context() {
        Bundle system = fake(Bundle.class, Map.of("stop", a -> {
            stopped.countDown();
            return null;
        }, "adapt", a -> null));
        Bundle tap = backend("tap");
        Bundle self = fake(Bundle.class, Map.of("getVersion", a -> new Version(1, 2, 3)));
        return fake(BundleContext.class, Map.of("getServiceReferences", a -> List.of(), "getProperty", a -> properties.get(a[0]),
                "getBundle", a -> a == null ? self : system,
                "getBundles", a -> hasOther ? new Bundle[] {system, tap, backend(otherType)} : new Bundle[] {system, tap}));
    }

    private static Bundle backend(String type) {
        BundleCapability capability = fake(BundleCapability.class, Map.of("getAttributes", a -> Map.of("net.backend", type)));
        BundleRevision revision = fake(BundleRevision.class, Map.of("getDeclaredCapabilities", a -> List.of(capability)));
        return fake(Bundle.class, Map.of("adapt", a -> revision, "getState", a -> Bundle.ACTIVE, "getBundleId", a -> 7L, "getSymbolicName",
                a -> "org.example." + type, "getVersion", a -> new Version(4, 5, 6)));
    }

    ConfigurationAdmin configurationAdmin() {
        return fake(ConfigurationAdmin.class, Map.of("getFactoryConfiguration", a -> {
            if (!"?".equals(a[2])) {
                throw new AssertionError("bound to one bundle: " + a[2]);
            }
            return configuration(a[0] + "~" + a[1]);
        }, "listConfigurations", a -> {
            org.osgi.framework.Filter filter = FrameworkUtil.createFilter((String) a[0]);
            Configuration[] found = configurations.entrySet().stream().filter(e -> filter.match(e.getValue()))
                    .map(e -> configuration(e.getKey())).toArray(Configuration[]::new);
            return found.length == 0 ? null : found;
        }));
    }

    private Configuration configuration(String pid) {
        return fake(Configuration.class, Map.of("update", a -> {
            @SuppressWarnings("unchecked")
            Dictionary<String, Object> d = (Dictionary<String, Object>) a[0];
            configurations.put(pid, d);
            return null;
        }, "getProperties", a -> configurations.get(pid), "delete", a -> configurations.remove(pid)));
    }

    private interface Body {
        Object call(Object[] arguments) throws Throwable;
    }

    private static <T> T fake(Class<T> type, Map<String, Body> methods) {
        InvocationHandler h = (self, method, arguments) -> {
            Body body = methods.get(method.getName());
            if (body == null) {
                throw new AssertionError("unexpected call of " + method);
            }
            return body.call(arguments);
        };
        return type.cast(Proxy.newProxyInstance(FakeFramework.class.getClassLoader(), new Class<?>[] {type}, h));
    }
}
