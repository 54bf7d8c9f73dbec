// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.vireo.net.api.NetdevException;

/**
 * The checked options of a netdev. Immutable.
 *
 * @param id the netdev's id, for messages
 * @param ifname an interface that exists
 * @param queues queue pairs, a socket each
 * @param promisc whether the interface takes frames for any address, as a guest with an address of its own needs
 * @param qdiscBypass whether frames pass by the interface's queueing discipline: then what a busy interface does not take is dropped
 * @param rcvbuf bytes that a socket may hold for a guest that does not read
 */
record PacketOptions(String id, String ifname, int queues, boolean promisc, boolean qdiscBypass, int rcvbuf) {
    private static final Set<String> KNOWN = new TreeSet<>(Set.of("ifname", "queues", "promisc", "qdisc_bypass", "rcvbuf"));
    /** PACKET_FANOUT_MAX of older kernels. */
    private static final int MAX_QUEUES = 256;

    static PacketOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        for (String name : new TreeSet<>(raw.keySet())) {
            // what a framework adds has a dot in its name, options have none
            if (!KNOWN.contains(name) && name.indexOf('.') < 0 && !name.equals("objectClass")) {
                throw wrong(id, raw, name, "is unknown: type packet has " + KNOWN);
            }
        }
        String ifname = text(raw, "ifname", "");
        if (ifname.isEmpty() || ifname.length() > 15 || ifname.chars().anyMatch(c -> c == '/' || c == ':' || c <= ' ' || c > '~')) {
            throw wrong(id, raw, "ifname", "has to be the name of an interface: 1 to 15 printable characters without '/', ':' and spaces");
        }
        return new PacketOptions(id, ifname, number(id, raw, "queues", 1, MAX_QUEUES, 1), onOff(id, raw, "promisc", true),
                onOff(id, raw, "qdisc_bypass", false), number(id, raw, "rcvbuf", 4096, 1 << 30, 4 << 20));
    }

    /** How messages about this netdev begin. */
    String prefix() {
        return "netdev " + id + ": ";
    }

    private static String text(Map<String, ?> raw, String name, String missing) {
        Object v = raw.get(name);
        return v == null ? missing : v.toString().strip();
    }

    private static int number(String id, Map<String, ?> raw, String name, int least, int most, int missing) throws NetdevException {
        try {
            int n = Integer.parseInt(text(raw, name, String.valueOf(missing)));
            if (n >= least && n <= most) {
                return n;
            }
        } catch (NumberFormatException e) {
            throw new NetdevException(wrong(id, raw, name, "has to be a number of " + least + " to " + most).getMessage(), e);
        }
        throw wrong(id, raw, name, "has to be a number of " + least + " to " + most);
    }

    private static boolean onOff(String id, Map<String, ?> raw, String name, boolean missing) throws NetdevException {
        return switch (text(raw, name, missing ? "on" : "off")) {
            case "on", "true", "yes" -> true;
            case "off", "false", "no" -> false;
            default -> throw wrong(id, raw, name, "has to be on or off");
        };
    }

    private static NetdevException wrong(String id, Map<String, ?> raw, String name, String why) {
        return new NetdevException("netdev " + id + ": option " + name + "=" + (raw.containsKey(name) ? raw.get(name) : "") + " " + why);
    }
}
