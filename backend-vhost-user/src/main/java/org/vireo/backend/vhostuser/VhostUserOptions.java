// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vireo.net.api.NetdevException;

/**
 * The checked options of a netdev: those of QEMU's {@code -netdev vhost-user} and of the socket chardev that it names. Immutable.
 *
 * @param id the netdev's id
 * @param path of the UNIX socket
 * @param server whether Vireo listens
 * @param reconnectMillis pause before it connects again, 0: never
 * @param queues queue pairs
 * @param force whether vhostforce was given, which changes nothing
 */
record VhostUserOptions(String id, String path, boolean server, int reconnectMillis, int queues, boolean force) {
    private static final Set<String> KNOWN = new TreeSet<>(Set.of("path", "server", "reconnect-ms", "queues", "vhostforce"));
    private static final Map<String, String> INSTEAD = Map.of(
            "chardev", "Vireo has no chardevs: give the socket with path=, server= and reconnect-ms=",
            "reconnect", "give the pause in milliseconds with reconnect-ms=",
            "wait", "a NIC never waits for its back-end: leave it out");
    /** sun_path of sockaddr_un, without its end. */
    private static final int LONGEST_PATH = 107;

    /** How messages about this netdev begin. */
    String prefix() {
        return "netdev " + id + ": ";
    }

    static VhostUserOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        Map<String, String> own = new TreeMap<>();
        raw.forEach((k, v) -> {
            // names with a dot, and this one, are the framework's
            if (v != null && k.indexOf('.') < 0 && !k.equals("objectClass")) {
                own.put(k, v.toString().strip());
            }
        });
        return new Parser(id, own).parse();
    }

    /** Reads the options of one netdev. */
    private record Parser(String id, Map<String, String> options) {
        VhostUserOptions parse() throws NetdevException {
            for (String name : options.keySet()) {
                if (INSTEAD.containsKey(name)) {
                    throw wrong(name, "is not supported: " + INSTEAD.get(name));
                }
                if (!KNOWN.contains(name)) {
                    throw wrong(name, "is unknown: type vhost-user has " + KNOWN);
                }
            }
            String path = options.get("path");
            if (path == null) {
                throw new NetdevException("netdev " + id + ": option path is missing: give the path of the back-end's UNIX socket");
            }
            if (!path.startsWith("/") || path.getBytes(StandardCharsets.UTF_8).length > LONGEST_PATH) {
                throw wrong("path", "has to be an absolute path of at most " + LONGEST_PATH + " bytes");
            }
            boolean server = on("server");
            int reconnect = number("reconnect-ms", 0, Integer.MAX_VALUE, 0);
            if (server && reconnect != 0) {
                throw wrong("reconnect-ms", "is for server=off: a server waits for the back-end to connect again; leave it out");
            }
            return new VhostUserOptions(id, path, server, reconnect, number("queues", 1, 256, 1), on("vhostforce"));
        }

        private int number(String name, int least, int most, int missing) throws NetdevException {
            String s = options.get(name);
            if (s == null) {
                return missing;
            }
            try {
                int n = Integer.parseInt(s);
                if (n >= least && n <= most) {
                    return n;
                }
            } catch (NumberFormatException e) {
                throw wrong(name, "has to be a number of " + least + " to " + most);
            }
            throw wrong(name, "has to be a number of " + least + " to " + most);
        }

        private boolean on(String name) throws NetdevException {
            return switch (options.getOrDefault(name, "off")) {
                case "on", "true", "yes" -> true;
                case "off", "false", "no" -> false;
                default -> throw wrong(name, "has to be on or off");
            };
        }

        private NetdevException wrong(String name, String why) {
            return new NetdevException("netdev " + id + ": option " + name + "=" + options.get(name) + " " + why);
        }
    }
}
