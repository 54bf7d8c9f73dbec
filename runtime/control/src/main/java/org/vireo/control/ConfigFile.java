// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vireo.net.api.nic.NicException;

/**
 * What a file of the configuration folder asks for: {@code netdev.TYPE-ID.cfg} a netdev, {@code nic-ID.cfg} a NIC. The content is one of
 * {@link Properties}, in UTF-8.
 *
 * @param type the netdev's type, without hyphens; empty for a NIC
 * @param id the netdev's or the NIC's
 * @param options as of the command line, without id and type
 */
record ConfigFile(String type, String id, Map<String, String> options) {
    /** How a file has to be called, for messages. */
    static final String NAMES = "netdev.TYPE-ID.cfg (the type without hyphens) or nic-ID.cfg";

    private static final Pattern NETDEV = Pattern.compile("netdev\\.([^.-]+)-(.+)\\.cfg");
    private static final Pattern NIC = Pattern.compile("nic-(.+)\\.cfg");

    /** Whether a file of this name is one; the id may still be wrong. */
    static boolean isName(String name) {
        return NETDEV.matcher(name).matches() || NIC.matcher(name).matches();
    }

    /** What the name says. */
    static ConfigFile named(String name) {
        Matcher netdev = NETDEV.matcher(name);
        Matcher nic = NIC.matcher(name);
        if (netdev.matches()) {
            return new ConfigFile(netdev.group(1), netdev.group(2), Map.of());
        }
        if (nic.matches()) {
            return new ConfigFile("", nic.group(1), Map.of());
        }
        throw new IllegalArgumentException(name);
    }

    /**
     * Reads one.
     *
     * @param name its name
     * @param content what is in it
     * @throws NicException what is wrong
     */
    static ConfigFile parse(String name, byte[] content) throws NicException {
        ConfigFile named = named(name);
        NetdevStore.requireId(named.what(), named.id());
        Map<String, String> options = options(text(content));
        for (String inName : named.isNic() ? new String[] {"id", "driver"} : new String[] {"id", "type"}) {
            if (options.containsKey(inName)) {
                throw new NicException(inName + "=" + options.get(inName) + ": " + (inName.equals("driver") ? "there is only virtio-net"
                        : "the file's name tells it") + "; leave the line out");
            }
        }
        return new ConfigFile(named.type(), named.id(), options);
    }

    private static String text(byte[] content) throws NicException {
        String text;
        try {
            text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(content)).toString();
        } catch (CharacterCodingException e) {
            throw new NicException("is no text in UTF-8", e);
        }
        int strange = text.chars().filter(c -> c < ' ' && "\t\n\r\f".indexOf(c) < 0).findFirst().orElse(-1);
        if (strange >= 0) {
            throw new NicException(String.format("is no text: it has a byte %02x in it", strange));
        }
        // some editors begin with a mark of the byte order
        return text.startsWith("\ufeff") ? text.substring(1) : text;
    }

    private static Map<String, String> options(String text) throws NicException {
        Map<String, String> options = new LinkedHashMap<>();
        Map<String, String> twice = new LinkedHashMap<>();
        Properties reader = new Properties() {
            private static final long serialVersionUID = 1L;

            @Override
            public synchronized Object put(Object key, Object value) {
                // blanks at the end of a line are seen by nobody
                String now = value.toString().stripTrailing();
                String before = options.putIfAbsent(key.toString(), now);
                if (before != null) {
                    twice.put(key.toString(), before + " and " + now);
                }
                return before;
            }
        };
        try {
            reader.load(new StringReader(text));
        } catch (IllegalArgumentException e) {
            throw new NicException("a backslash begins an escape, and this is none: " + e.getMessage() + "; write \\\\ for a backslash", e);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        for (Map.Entry<String, String> e : twice.entrySet()) {
            throw new NicException("'" + e.getKey() + "' is given twice: " + e.getValue());
        }
        return options;
    }

    boolean isNic() {
        return type.isEmpty();
    }

    /** What it is about, for messages. */
    String what() {
        return isNic() ? "NIC" : "netdev";
    }

    /** A NIC's options with its id, as {@code device_add} takes them. */
    Map<String, String> withId() {
        Map<String, String> all = new LinkedHashMap<>();
        all.put("id", id);
        all.putAll(options);
        return all;
    }

    @Override
    public String toString() {
        return what() + " " + id;
    }
}
