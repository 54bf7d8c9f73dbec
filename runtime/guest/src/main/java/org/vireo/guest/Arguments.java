// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.net.InetSocketAddress;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Command line of this bundle's programs: {@code --name value} pairs and {@code --switch}es. */
final class Arguments {
    private final Map<String, String> values = new LinkedHashMap<>();

    Arguments(List<String> arguments, Set<String> names, Set<String> switches) {
        for (int i = 0; i < arguments.size(); i++) {
            String a = arguments.get(i);
            String name = a.startsWith("--") ? a.substring(2) : a;
            if (a.startsWith("--") && switches.contains(name)) {
                values.put(name, "on");
            } else if (a.startsWith("--") && names.contains(name) && i + 1 < arguments.size()) {
                values.put(name, arguments.get(++i));
            } else if (a.startsWith("--") && names.contains(name)) {
                throw new IllegalArgumentException(a + " needs a value");
            } else {
                throw new IllegalArgumentException("unknown argument " + a + "; there are --" + String.join(", --", names)
                        + (switches.isEmpty() ? "" : ", --" + String.join(", --", switches)));
            }
        }
    }

    boolean has(String name) {
        return values.containsKey(name);
    }

    String text(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    String required(String name) {
        String v = values.get(name);
        if (v == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return v;
    }

    int number(String name, int otherwise, int min, int max) {
        String v = values.get(name);
        try {
            int n = v == null ? otherwise : Integer.parseInt(v);
            if (n >= min && n <= max) {
                return n;
            }
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("--" + name + ": '" + v + "' is not a number", e);
        }
        throw new IllegalArgumentException("--" + name + ": " + v + " is not between " + min + " and " + max);
    }

    /** "on" or "off". */
    boolean on(String name, boolean otherwise) {
        String v = values.get(name);
        if (v != null && !v.equals("on") && !v.equals("off")) {
            throw new IllegalArgumentException("--" + name + ": '" + v + "' is neither on nor off");
        }
        return v == null ? otherwise : v.equals("on");
    }

    double seconds(String name, double otherwise) {
        String v = values.get(name);
        try {
            return v == null ? otherwise : Double.parseDouble(v);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("--" + name + ": '" + v + "' is not a number of seconds", e);
        }
    }

    /** ADDRESS:PORT, numeric. */
    InetSocketAddress address(String name) {
        String v = required(name);
        int colon = v.lastIndexOf(':');
        if (colon < 1 || !v.substring(0, colon).matches("[0-9.]+") || !v.substring(colon + 1).matches("[0-9]{1,5}")) {
            throw new IllegalArgumentException("--" + name + ": '" + v + "' is not like 192.0.2.1:9000");
        }
        return new InetSocketAddress(v.substring(0, colon), Integer.parseInt(v.substring(colon + 1)));
    }
}
