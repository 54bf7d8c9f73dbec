## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.vireo.net.api.NetdevException;

/**
 * The checked options of a netdev. Immutable.
 *
 * @param id the netdev's id, for messages
 * @param path our socket, which is made
 * @param peer the other one's socket, which may come later
 */
record DatagramOptions(String id, String path, String peer) {
    private static final Set<String> KNOWN = new TreeSet<>(Set.of("path", "peer"));

    static DatagramOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        for (String name : new TreeSet<>(raw.keySet())) {
            // what a framework adds has a dot in its name, options have none
            if (!KNOWN.contains(name) && name.indexOf('.') < 0 && !name.equals("objectClass")) {
                throw new NetdevException("netdev " + id + ": option " + name + "=" + raw.get(name) + " is unknown: type ${type} has "
                        + KNOWN);
            }
        }
        return new DatagramOptions(id, socket(id, raw, "path"), socket(id, raw, "peer"));
    }

    private static String socket(String id, Map<String, ?> raw, String name) throws NetdevException {
        String s = raw.containsKey(name) ? raw.get(name).toString().strip() : "";
        if (!s.startsWith("/") || s.getBytes(StandardCharsets.UTF_8).length >= UnixSocket.MOST_PATH) {
            throw new NetdevException("netdev " + id + ": option " + name + "=" + s + " has to be an absolute path of less than "
                    + UnixSocket.MOST_PATH + " bytes");
        }
        return s;
    }

    void requirePairs(int wanted) throws NetdevException {
        if (wanted > 1) {
            throw new NetdevException("netdev " + id + ": type ${type} has one queue pair, the NIC " + wanted + ": give the NIC queues=1");
        }
    }
}
