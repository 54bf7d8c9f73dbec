// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import org.osgi.framework.Bundle;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.Version;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;

/**
 * A backend's service for a netdev id.
 *
 * @param backend the service
 * @param type its netdev type
 * @param bundle symbolic name and version, for messages
 * @param bundleId its number
 * @param revision of the netdev's configuration: one that is to take the place of another one has a higher number
 * @param version the bundle's version
 * @param ranking service.ranking
 * @param serviceId service.id: the higher, the newer
 * @param options the netdev's configuration
 */
record Candidate(NetBackend backend, String type, String bundle, long bundleId, int revision, Version version, int ranking,
        long serviceId, Map<String, String> options) {
    private static final String FACTORY_PID = "service.factoryPid";

    /** The newer configuration, then ranking, then version, then the newest. OSGi alone would prefer the older of two equals. */
    static final Comparator<Candidate> BETTER = Comparator.comparingInt(Candidate::revision).thenComparingInt(Candidate::ranking)
            .thenComparing(Candidate::version).thenComparingLong(Candidate::serviceId);

    static Candidate of(NetBackend backend, ServiceReference<?> reference) {
        Bundle b = reference.getBundle();
        return new Candidate(backend, String.valueOf(reference.getProperty(NetBackend.NETDEV_TYPE)),
                bundle(reference), b == null ? -1 : b.getBundleId(),
                number(reference, NetBackend.NETDEV_REVISION), b == null ? Version.emptyVersion : b.getVersion(),
                number(reference, Constants.SERVICE_RANKING), (Long) reference.getProperty(Constants.SERVICE_ID), options(reference));
    }

    static Arrivals.Arrival arrival(ServiceReference<?> reference, String who) {
        return new Arrivals.Arrival(String.valueOf(reference.getProperty(NetBackend.NETDEV_TYPE)),
                number(reference, NetBackend.NETDEV_REVISION), who);
    }

    private static int number(ServiceReference<?> reference, String property) {
        return reference.getProperty(property) instanceof Integer i ? i : 0;
    }

    /** The netdev's id: the property, or the name of the configuration's instance. */
    static String netdev(ServiceReference<?> reference) {
        if (reference.getProperty(NetBackend.NETDEV_ID) instanceof String id) {
            return id;
        }
        String s = reference.getProperty(Constants.SERVICE_PID) instanceof String pid ? pid : "";
        return s.substring(s.indexOf('~') + 1);
    }

    /**
     * Whether its properties say whom it serves.
     *
     * @return null, or what is wrong
     */
    static String wrong(ServiceReference<?> reference) {
        if (netdev(reference).isEmpty()) {
            return "has no property " + NetBackend.NETDEV_ID + " that is a text";
        }
        return reference.getProperty(NetBackend.NETDEV_TYPE) instanceof String type && !type.isEmpty() ? null
                : "has no property " + NetBackend.NETDEV_TYPE + " that is a text";
    }

    /** Whether it was made of a configuration for this netdev, and not registered by somebody by itself. */
    static boolean isConfigured(ServiceReference<?> reference) {
        return reference.getProperty(FACTORY_PID) instanceof String pid && pid.startsWith(NetBackend.PID_PREFIX);
    }

    /** Who provides a service, for messages. */
    static String bundle(ServiceReference<?> reference) {
        Bundle b = reference.getBundle();
        return b == null ? "a bundle that has left" : b.getSymbolicName() + " " + b.getVersion();
    }

    private static Map<String, String> options(ServiceReference<?> reference) {
        Map<String, String> sorted = new TreeMap<>();
        for (String key : reference.getPropertyKeys()) {
            // what a framework adds has a dot in its name, options have none
            if (key.indexOf('.') < 0 && !key.equals("objectClass")) {
                // other objects may be of the backend's own classes
                Object value = reference.getProperty(key);
                sorted.put(key, value instanceof String || value instanceof Number || value instanceof Boolean ? value.toString()
                        : value == null ? "" : value.getClass().getName());
            }
        }
        return new LinkedHashMap<>(sorted);
    }

    BackendStateTransfer transfer() {
        return backend instanceof BackendStateTransfer t ? t : null;
    }

    /** By identity: a record's own would ask the service, which is code of a bundle. */
    @Override
    public boolean equals(Object o) {
        return this == o;
    }

    @Override
    public int hashCode() {
        return Long.hashCode(serviceId);
    }

    @Override
    public String toString() {
        return type + " of " + bundle;
    }
}
