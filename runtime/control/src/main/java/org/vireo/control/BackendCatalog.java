// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.osgi.framework.Bundle;
import org.osgi.framework.BundleContext;
import org.osgi.framework.wiring.BundleCapability;
import org.osgi.framework.wiring.BundleRevision;
import org.vireo.net.api.NetBackend;

/** The backends that are installed: what bundles say that they provide, whether or not a netdev of theirs is configured. Any thread. */
final class BackendCatalog {
    /** Optional attribute of the capability: what the backend's state is called and which versions it reads and writes. */
    static final String STATE_FORMAT = "state-format";

    private final BundleContext context;

    BackendCatalog(BundleContext context) {
        this.context = context;
    }

    /**
     * A backend.
     *
     * @param type the netdev type
     * @param id the bundle's
     * @param bundle the bundle's symbolic name
     * @param version its version
     * @param active whether it is started
     * @param stateFormat as its capability tells it, or an empty text
     */
    record Backend(String type, long id, String bundle, String version, boolean active, String stateFormat) { }

    private static List<BundleCapability> capabilities(Bundle b) {
        BundleRevision revision = b.adapt(BundleRevision.class);
        return revision == null ? List.of() : revision.getDeclaredCapabilities(NetBackend.CAPABILITY);
    }

    static boolean isBackend(Bundle b) {
        return !capabilities(b).isEmpty();
    }

    List<Backend> list() {
        List<Backend> found = new ArrayList<>();
        for (Bundle b : context.getBundles()) {
            for (BundleCapability c : capabilities(b)) {
                Map<String, Object> attributes = c.getAttributes();
                boolean active = b.getState() == Bundle.ACTIVE || b.getState() == Bundle.STARTING;
                found.add(new Backend(String.valueOf(attributes.get(NetBackend.CAPABILITY)), b.getBundleId(), b.getSymbolicName(),
                        b.getVersion().toString(), active, attributes.getOrDefault(STATE_FORMAT, "").toString()));
            }
        }
        return found;
    }

    Set<String> types() {
        Set<String> types = new TreeSet<>();
        list().forEach(b -> types.add(b.type()));
        return types;
    }

    /** That a type is none of those that there are, for messages. */
    static String lacking(String type, Set<String> types) {
        return "no bundle provides the type '" + type + "'; "
                + (types.isEmpty() ? "none is installed" : "there are " + String.join(", ", types));
    }

    static Map<String, Object> describe(Backend b) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("type", b.type());
        map.put("id", b.id());
        map.put("bundle", b.bundle());
        map.put("version", b.version());
        map.put("active", b.active());
        if (!b.stateFormat().isEmpty()) {
            map.put("state-format", b.stateFormat());
        }
        return map;
    }
}
