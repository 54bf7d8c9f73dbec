// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vireo.net.api.NetdevException;

/**
 * The checked options of a netdev: names and meaning as QEMU's {@code -netdev tap}. Immutable.
 *
 * @param id the netdev's id, for messages
 * @param ifname the interface's name, a pattern with %d, or null if descriptors were passed
 * @param fds numbers of passed descriptors; empty: opened by name
 * @param queues queue pairs
 * @param script program for the start, or null
 * @param downscript program for the end, or null
 * @param sndbuf bytes, or -1: not given
 * @param vnetHdr whether it was asked for, null: not given
 * @param bridge its name, or null
 * @param mtu bytes, or 0: not given
 */
record TapOptions(String id, String ifname, List<Integer> fds, int queues, String script, String downscript, int sndbuf, Boolean vnetHdr,
        String bridge, int mtu) {
    static final int MAX_QUEUES = 256;
    static final String ANY_NAME = "tap%d";

    private static final Set<String> KNOWN = new TreeSet<>(Set.of("ifname", "fd", "fds", "queues", "script", "downscript", "sndbuf",
            "vnet_hdr", "br", "mtu"));
    private static final String VHOST = "Vireo moves the frames itself: leave it out";
    private static final Map<String, String> INSTEAD = Map.of(
            "vhost", VHOST, "vhostfd", VHOST, "vhostfds", VHOST, "vhostforce", VHOST,
            "helper", "use br=BRIDGE, for which Vireo needs CAP_NET_ADMIN, or pass an open TAP with fd=",
            "poll-us", "the workers poll by themselves when it pays: leave it out");

    static TapOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        return new Parser(id, Parser.own(raw)).parse();
    }

    /** Whether the interface's name is not known before it is open. */
    boolean anyName() {
        return ifname == null || ifname.contains("%d");
    }

    /** What TUNSETSNDBUF is given: without a limit unless one is given. */
    int sendBuffer() {
        return sndbuf <= 0 ? Integer.MAX_VALUE : sndbuf;
    }

    /** How messages about this netdev begin. */
    String prefix() {
        return "netdev " + id + ": ";
    }

    /** Reads the options of one netdev. */
    private record Parser(String id, Map<String, Object> options) {
        private static TreeMap<String, Object> own(Map<String, ?> raw) {
            TreeMap<String, Object> own = new TreeMap<>();
            raw.forEach((k, v) -> {
                // what a framework adds has a dot in its name, options have none
                if (v != null && k.indexOf('.') < 0 && !k.equals("objectClass")) {
                    own.put(k, v);
                }
            });
            return own;
        }

        TapOptions parse() throws NetdevException {
            for (String name : options.keySet()) {
                if (INSTEAD.containsKey(name)) {
                    throw wrong(name, "is not supported: " + INSTEAD.get(name));
                }
                if (!KNOWN.contains(name)) {
                    throw wrong(name, "is unknown: type tap has " + KNOWN);
                }
            }
            List<Integer> fds = descriptors();
            if (!fds.isEmpty()) {
                String by = options.containsKey("fd") ? "fd" : "fds";
                for (String name : List.of("ifname", "queues", "script", "downscript", "vnet_hdr", "br", "mtu")) {
                    if (options.containsKey(name)) {
                        throw wrong(name, "cannot be given together with " + by
                                + ": the interface is what was passed; leave one of them out");
                    }
                }
            }
            int queues = fds.isEmpty() ? (int) number("queues", 1, MAX_QUEUES, 1) : fds.size();
            return new TapOptions(id, fds.isEmpty() ? interfaceName("ifname", ANY_NAME) : null, fds, queues, script("script"),
                    script("downscript"), (int) number("sndbuf", 0, Integer.MAX_VALUE, -1), onOff("vnet_hdr"), interfaceName("br", null),
                    (int) number("mtu", 68, 65521, 0));
        }

        private List<Integer> descriptors() throws NetdevException {
            if (options.containsKey("fd") && options.containsKey("fds")) {
                throw wrong("fd", "cannot be given together with fds: give all numbers in fds, joined by colons");
            }
            if (options.containsKey("fd")) {
                return List.of((int) number("fd", 0, Integer.MAX_VALUE, 0));
            }
            List<Integer> numbers = new ArrayList<>();
            if (options.containsKey("fds")) {
                for (String s : text("fds").split(":", -1)) {
                    try {
                        numbers.add(Integer.parseUnsignedInt(s.strip()));
                    } catch (NumberFormatException e) {
                        throw wrong("fds", "has to be descriptor numbers joined by colons, as in 7:8", e);
                    }
                }
                if (numbers.stream().anyMatch(n -> n < 0) || new HashSet<>(numbers).size() != numbers.size()
                        || numbers.size() > MAX_QUEUES) {
                    throw wrong("fds", "has to be at most " + MAX_QUEUES + " descriptor numbers, each once");
                }
            }
            return List.copyOf(numbers);
        }

        private String text(String name) {
            return String.valueOf(options.get(name)).strip();
        }

        private long number(String name, long least, long most, long missing) throws NetdevException {
            if (!options.containsKey(name)) {
                return missing;
            }
            try {
                long n = Long.parseLong(text(name));
                if (n >= least && n <= most) {
                    return n;
                }
            } catch (NumberFormatException e) {
                throw wrong(name, "has to be a number of " + least + " to " + most, e);
            }
            throw wrong(name, "has to be a number of " + least + " to " + most);
        }

        private Boolean onOff(String name) throws NetdevException {
            if (!options.containsKey(name)) {
                return null;
            }
            return switch (text(name)) {
                case "on", "true", "yes" -> true;
                case "off", "false", "no" -> false;
                default -> throw wrong(name, "has to be on or off");
            };
        }

        private String interfaceName(String name, String missing) throws NetdevException {
            if (!options.containsKey(name)) {
                return missing;
            }
            String s = text(name);
            // dev_valid_name() of the kernel
            boolean valid = !s.isEmpty() && s.length() <= 15 && !s.equals(".") && !s.equals("..")
                    && s.chars().noneMatch(c -> c == '/' || c == ':' || c <= ' ' || c > '~');
            if (!valid || s.replaceFirst("%d", "").contains("%")) {
                throw wrong(name, "has to be an interface name: 1 to 15 printable characters without '/', ':' and spaces"
                        + (name.equals("ifname") ? "; one %d stands for a free number" : ""));
            }
            if (name.equals("br") && s.contains("%")) {
                throw wrong(name, "has to be the name of a bridge");
            }
            return s;
        }

        private String script(String name) throws NetdevException {
            if (!options.containsKey(name)) {
                return null;
            }
            String s = text(name);
            if (s.equals("no") || s.isEmpty()) {
                return null;
            }
            if (!s.startsWith("/")) {
                throw wrong(name, "has to be an absolute path, or no");
            }
            return s;
        }

        private NetdevException wrong(String name, String why) {
            return wrong(name, why, null);
        }

        private NetdevException wrong(String name, String why, Exception cause) {
            return new NetdevException("netdev " + id + ": option " + name + "=" + options.get(name) + " " + why, cause);
        }
    }
}
