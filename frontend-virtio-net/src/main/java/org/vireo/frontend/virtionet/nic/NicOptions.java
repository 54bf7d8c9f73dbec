// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.nio.file.Path;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;
import org.vireo.net.api.nic.NicException;
import org.vireo.vhostuser.VirtioNet;

/**
 * A NIC's options, checked.
 *
 * @param id the NIC's id
 * @param netdev the netdev's id, or an empty text for none
 * @param socket path of the vhost-user socket
 * @param listen true: Vireo listens (server=on); false: it connects
 * @param reconnectMillis pause between two tries to connect
 * @param mac six bytes
 * @param mtu 0: none
 * @param pairs queue pairs
 * @param socketMode permissions of the socket file
 * @param machine machine version
 * @param backendTransfer whether the backend's live state may travel
 * @param anyMemory whether guest memory may lie on any file system
 * @param disabled virtio features that are not offered
 * @param effective all options, explicit ones and defaults
 * @param explicit the options that were given
 */
record NicOptions(String id, String netdev, Path socket, boolean listen, int reconnectMillis, byte[] mac, int mtu, int pairs,
        int socketMode, String machine, boolean backendTransfer, boolean anyMemory, long disabled, Map<String, String> effective,
        Map<String, String> explicit) {
    static final int MAX_PAIRS = 64;

    private static final Map<String, Long> FEATURES = Map.ofEntries(
            Map.entry("csum", VirtioNet.CSUM), Map.entry("guest_csum", VirtioNet.GUEST_CSUM),
            Map.entry("host_tso4", VirtioNet.HOST_TSO4), Map.entry("host_tso6", VirtioNet.HOST_TSO6),
            Map.entry("host_ecn", VirtioNet.HOST_ECN), Map.entry("host_ufo", VirtioNet.HOST_UFO),
            Map.entry("host_uso", VirtioNet.HOST_USO), Map.entry("guest_tso4", VirtioNet.GUEST_TSO4),
            Map.entry("guest_tso6", VirtioNet.GUEST_TSO6), Map.entry("guest_ecn", VirtioNet.GUEST_ECN),
            Map.entry("guest_ufo", VirtioNet.GUEST_UFO), Map.entry("guest_uso4", VirtioNet.GUEST_USO4),
            Map.entry("guest_uso6", VirtioNet.GUEST_USO6), Map.entry("mrg_rxbuf", VirtioNet.MRG_RXBUF),
            Map.entry("event_idx", VirtioNet.EVENT_IDX), Map.entry("indirect_desc", VirtioNet.INDIRECT_DESC),
            Map.entry("packed", VirtioNet.RING_PACKED), Map.entry("mq", VirtioNet.MQ));

    /** Reads options as of the command line. */
    static NicOptions parse(Map<String, String> given) throws NicException {
        Map<String, String> all = new LinkedHashMap<>(given);
        String id = required(all, "id");
        if (!id.matches("[A-Za-z][A-Za-z0-9._-]{0,63}")) {
            throw new NicException("id=" + id + ": an id is a letter and up to 63 letters, digits, '.', '_' or '-'");
        }
        String machine = all.getOrDefault("machine", MachineDefaults.NEWEST);
        long disabled = 0;
        for (Map.Entry<String, String> e : MachineDefaults.of(machine).entrySet()) {
            Long bit = FEATURES.get(e.getKey());
            if (bit == null) {
                all.putIfAbsent(e.getKey(), e.getValue());
            } else if (!given.containsKey(e.getKey()) && e.getValue().equals("off")) {
                // the machine says it to a successor as well: features are options only where they were given
                disabled |= bit;
            }
        }
        all.putIfAbsent("machine", machine);
        for (String key : given.keySet()) {
            Long bit = FEATURES.get(key);
            if (bit != null) {
                disabled |= onOff(id, key, given.get(key)) ? 0 : bit;
            } else if (!KNOWN.contains(key)) {
                TreeSet<String> known = new TreeSet<>(KNOWN);
                known.addAll(FEATURES.keySet());
                throw new NicException("NIC " + id + ": unknown option " + key + "=" + given.get(key) + "; known are " + known);
            }
        }
        all.putIfAbsent("server", "on");
        all.putIfAbsent("queues", "1");
        all.putIfAbsent("mac", defaultMac(id));
        all.putIfAbsent("mtu", "0");
        all.putIfAbsent("reconnect-ms", "200");
        all.putIfAbsent("socket-mode", "0600");
        all.putIfAbsent("guest-memory", "shared");
        int mtu = number(id, all, "mtu", 0, 65535);
        if (mtu != 0 && mtu < 68) {
            throw new NicException("NIC " + id + ": mtu=" + mtu + ": 68 to 65535, or 0 for none");
        }
        return new NicOptions(id, all.getOrDefault("netdev", ""), Path.of(required(all, "socket")), onOff(id, "server", all.get("server")),
                number(id, all, "reconnect-ms", 1, 3_600_000), mac(id, all.get("mac")), mtu,
                number(id, all, "queues", 1, MAX_PAIRS), mode(id, all.get("socket-mode")), machine,
                onOff(id, "backend-transfer", all.get("backend-transfer")), memory(id, all.get("guest-memory")), disabled,
                Map.copyOf(all), Map.copyOf(given));
    }

    private static final TreeSet<String> KNOWN = new TreeSet<>(java.util.Set.of("id", "netdev", "socket", "server", "reconnect-ms", "mac",
            "mtu", "queues", "socket-mode", "machine", "backend-transfer", "guest-memory"));

    private static String required(Map<String, String> all, String key) throws NicException {
        String v = all.get(key);
        if (v == null || v.isEmpty()) {
            throw new NicException((all.containsKey("id") && !key.equals("id") ? "NIC " + all.get("id") + ": " : "") + "option " + key
                    + "= is missing");
        }
        return v;
    }

    private static boolean onOff(String id, String key, String value) throws NicException {
        return switch (value) {
            case "on", "yes", "true" -> true;
            case "off", "no", "false" -> false;
            default -> throw new NicException("NIC " + id + ": " + key + "=" + value + ": on or off");
        };
    }

    private static boolean memory(String id, String value) throws NicException {
        return switch (value) {
            case "shared" -> false;
            case "any" -> true;
            default -> throw new NicException("NIC " + id + ": guest-memory=" + value + ": shared (tmpfs, memfd, hugetlbfs) or any");
        };
    }

    private static int number(String id, Map<String, String> all, String key, int least, int most) throws NicException {
        try {
            int n = Integer.parseInt(all.get(key));
            if (n >= least && n <= most) {
                return n;
            }
        } catch (NumberFormatException e) {
            // told below, with the range
        }
        throw new NicException("NIC " + id + ": " + key + "=" + all.get(key) + ": a number of " + least + " to " + most);
    }

    private static int mode(String id, String value) throws NicException {
        if (!value.matches("0?[0-7]{3}")) {
            throw new NicException("NIC " + id + ": socket-mode=" + value + ": three octal digits, 0660 for instance");
        }
        return Integer.parseInt(value, 8);
    }

    private static byte[] mac(String id, String value) throws NicException {
        if (!value.matches("([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")) {
            throw new NicException("NIC " + id + ": mac=" + value + ": six bytes in hexadecimal, 52:54:00:12:34:56 for instance");
        }
        byte[] b = HexFormat.ofDelimiter(":").parseHex(value);
        if ((b[0] & 1) != 0) {
            throw new NicException("NIC " + id + ": mac=" + value + ": is a group address; the first byte has to be even");
        }
        return b;
    }

    /** The same id has the same address in each process. */
    private static String defaultMac(String id) {
        int h = id.hashCode() * 0x9e3779b1;
        return String.format("52:54:00:%02x:%02x:%02x", h >>> 24, h >>> 16 & 0xff, h >>> 8 & 0xff);
    }
}
