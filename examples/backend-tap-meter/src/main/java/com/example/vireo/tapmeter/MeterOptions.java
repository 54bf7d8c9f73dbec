// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.vireo.net.api.NetdevException;

/**
 * The options of netdev type {@code tap}, as {@code vireo backend swap} hands them over. What the meter does not act on stays in the
 * configuration for the way back; an option that it has never heard of is refused, since it could be a duty. Immutable.
 *
 * @param id the netdev's id, for messages
 * @param ifname the interface's name, or null: it was not named
 * @param queues queue pairs, or 0: as many as were passed
 * @param sndbuf bytes on their way from the guest, or 0: no limit
 * @param mtu for the interface, or 0: as it is
 * @param bridge that the interface is in, or null
 * @param downscript program for the end, or null
 * @param onlyTap an option with which only {@code tap} can open an interface, or null
 */
record MeterOptions(String id, String ifname, int queues, int sndbuf, int mtu, String bridge, String downscript, String onlyTap) {
    private static final Set<String> KNOWN = new TreeSet<>(Set.of("ifname", "fd", "fds", "queues", "script", "downscript", "sndbuf",
            "vnet_hdr", "br", "mtu"));

    static MeterOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        for (String name : new TreeSet<>(raw.keySet())) {
            // what a framework adds has a dot in its name, options have none
            if (!KNOWN.contains(name) && name.indexOf('.') < 0 && !name.equals("objectClass")) {
                throw wrong(id, raw, name, "is unknown: type tap-meter takes those of type tap, " + KNOWN);
            }
        }
        String only = List.of("fd", "fds", "script", "vnet_hdr", "br", "mtu").stream()
                .filter(n -> raw.containsKey(n) && !"no".equals(text(raw, n))).findFirst().orElse(null);
        boolean passed = raw.containsKey("fd") || raw.containsKey("fds");
        return new MeterOptions(id, name(id, raw), passed ? 0 : number(id, raw, "queues", 1, 256, 1),
                number(id, raw, "sndbuf", 0, Integer.MAX_VALUE, 0), number(id, raw, "mtu", 68, 65535, 0),
                raw.containsKey("br") ? text(raw, "br") : null, downscript(id, raw), only);
    }

    /** How messages about this netdev begin. */
    String prefix() {
        return "netdev " + id + ": ";
    }

    private static String text(Map<String, ?> raw, String name) {
        Object v = raw.get(name);
        return v == null ? "" : v.toString().strip();
    }

    private static String name(String id, Map<String, ?> raw) throws NetdevException {
        String s = text(raw, "ifname");
        if (s.isEmpty() || s.contains("%d")) {
            return null;
        }
        if (s.length() > 15 || s.chars().anyMatch(c -> c == '/' || c == ':' || c == '%' || c <= ' ' || c > '~')) {
            throw wrong(id, raw, "ifname", "has to be the name of an interface: 1 to 15 printable characters without '/', ':' and spaces");
        }
        return s;
    }

    private static int number(String id, Map<String, ?> raw, String name, int least, int most, int missing) throws NetdevException {
        if (!raw.containsKey(name)) {
            return missing;
        }
        String wrong = "has to be a number of " + least + " to " + most;
        try {
            int n = Integer.parseInt(text(raw, name));
            if (n >= least && n <= most) {
                return n;
            }
        } catch (NumberFormatException e) {
            throw new NetdevException(wrong(id, raw, name, wrong).getMessage(), e);
        }
        throw wrong(id, raw, name, wrong);
    }

    private static String downscript(String id, Map<String, ?> raw) throws NetdevException {
        String s = text(raw, "downscript");
        if (s.isEmpty() || s.equals("no")) {
            return null;
        }
        if (!s.startsWith("/")) {
            throw wrong(id, raw, "downscript", "has to be an absolute path, or no");
        }
        return s;
    }

    private static NetdevException wrong(String id, Map<String, ?> raw, String name, String why) {
        return new NetdevException("netdev " + id + ": option " + name + "=" + raw.get(name) + " " + why);
    }
}
