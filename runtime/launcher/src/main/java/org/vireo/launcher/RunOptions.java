// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The options of {@code vireo run}. Small and strict: this runs in front of every start, where a library for command lines would cost
 * more than the parsing.
 *
 * @param properties framework properties that say what is asked for
 * @param logLevel the level to log from
 */
record RunOptions(Map<String, String> properties, String logLevel) {
    private static final Set<String> KNOWN = new java.util.TreeSet<>(
            List.of("--backends", "--config", "--netdev", "--nic", "--qmp", "--incoming", "--standby", "--descriptor-store", "--workers",
                    "--log-level"));
    private static final List<String> LEVELS = List.of("error", "warn", "info", "debug", "trace");
    private static final String SCHEME = "unix:";
    private static final int MAX_WORKERS = 256;

    /** The command line is wrong; the message says where. */
    static final class UsageException extends Exception {
        private static final long serialVersionUID = 1L;

        UsageException(String message) {
            super(message);
        }
    }

    /**
     * Reads them.
     *
     * @param arguments what follows {@code run}
     * @return the options
     * @throws UsageException what is wrong
     */
    static RunOptions parse(List<String> arguments) throws UsageException {
        Map<String, List<String>> given = new LinkedHashMap<>();
        for (int i = 0; i < arguments.size(); i++) {
            String argument = arguments.get(i);
            int equals = argument.indexOf('=');
            String name = argument.startsWith("--") && equals > 0 ? argument.substring(0, equals) : argument;
            if (!KNOWN.contains(name)) {
                throw new UsageException((name.startsWith("-") ? "unknown option " : "unexpected argument ") + argument
                        + "; known are " + String.join(", ", KNOWN));
            }
            String value;
            if (name.length() < argument.length()) {
                value = argument.substring(equals + 1);
            } else if (++i < arguments.size() && !KNOWN.contains(arguments.get(i))) {
                value = arguments.get(i);
            } else {
                throw new UsageException(name + " needs a value");
            }
            if (value.isEmpty()) {
                throw new UsageException(name + " has an empty value");
            }
            given.computeIfAbsent(name, k -> new ArrayList<>()).add(value);
        }
        return new RunOptions(properties(given), level(given));
    }

    private static Map<String, String> properties(Map<String, List<String>> given) throws UsageException {
        Map<String, String> properties = new LinkedHashMap<>();
        number(properties, "netdev", given);
        number(properties, "nic", given);
        String qmp = once(given, "--qmp");
        if (qmp != null) {
            properties.put("vireo.qmp", qmp);
        }
        String incoming = once(given, "--incoming");
        if (incoming != null) {
            if (!incoming.equals("defer") && !isSocket(incoming)) {
                throw new UsageException("--incoming " + incoming + ": write unix:PATH, since descriptors travel through UNIX sockets only"
                        + " (or defer, and migrate-incoming later)");
            }
            properties.put("vireo.incoming", incoming);
        }
        String standby = once(given, "--standby");
        if (standby != null) {
            if (!isSocket(standby)) {
                throw new UsageException("--standby " + standby + ": write unix:PATH, since descriptors travel through UNIX sockets only");
            }
            if (standby.contains(",fence=") && !standby.matches(".*,fence=(auto|off)")) {
                throw new UsageException("--standby " + standby + ": fence= is auto or off, at the end");
            }
            if (incoming != null) {
                throw new UsageException("--standby and --incoming at once: a standby waits for the active process, not for a handover");
            }
            properties.put("vireo.standby", standby);
        }
        String store = once(given, "--descriptor-store");
        if (store != null) {
            if (!store.equals("on") && !store.equals("off")) {
                throw new UsageException("--descriptor-store " + store + ": on or off");
            }
            properties.put("vireo.descriptor-store", store);
        }
        String backends = once(given, "--backends");
        if (backends != null) {
            properties.put("vireo.backends", backends);
        }
        String config = once(given, "--config");
        if (config != null) {
            properties.put("vireo.config", config);
        }
        String workers = once(given, "--workers");
        if (workers != null) {
            if (!workers.matches("[1-9][0-9]{0,2}") || Integer.parseInt(workers) > MAX_WORKERS) {
                throw new UsageException("--workers " + workers + ": not a number from 1 to " + MAX_WORKERS);
            }
            properties.put("vireo.workers", workers);
        }
        return properties;
    }

    private static boolean isSocket(String value) {
        return value.startsWith(SCHEME) && value.length() > SCHEME.length();
    }

    private static void number(Map<String, String> properties, String kind, Map<String, List<String>> given) {
        int i = 0;
        for (String value : given.getOrDefault("--" + kind, List.of())) {
            properties.put("vireo.run." + kind + "." + i++, value);
        }
    }

    private static String once(Map<String, List<String>> given, String name) throws UsageException {
        List<String> values = given.getOrDefault(name, List.of());
        if (values.size() > 1) {
            throw new UsageException(name + " is given " + values.size() + " times");
        }
        return values.isEmpty() ? null : values.getFirst();
    }

    private static String level(Map<String, List<String>> given) throws UsageException {
        String level = once(given, "--log-level");
        if (level != null && !LEVELS.contains(level)) {
            throw new UsageException("--log-level " + level + ": not one of " + String.join(", ", LEVELS));
        }
        return level == null ? "info" : level;
    }
}
