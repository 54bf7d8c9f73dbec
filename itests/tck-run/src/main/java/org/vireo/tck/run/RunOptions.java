// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What {@code vireo tck} is asked for.
 *
 * @param bundle the bundle, or null with {@code list} only
 * @param type the netdev's type, or null: the only one
 * @param config the netdev's options
 * @param pairs the largest number of queue pairs to test with
 * @param network the interface where frames come out, or null
 * @param refuse options that have to be refused
 * @param fixture a jar or folder with a fixture, or null
 * @param rules ids of the rules to run; empty: all
 * @param xml where the results go as XML, or null
 * @param list whether to list the rules only
 * @param requireAll whether a rule that is not run counts as a failure
 */
record RunOptions(Path bundle, String type, Map<String, String> config, int pairs, String network, Map<String, String> refuse, Path fixture,
        Set<String> rules, Path xml, boolean list, boolean requireAll) {
    private static final Set<String> VALUED = Set.of("--type", "--config", "--pairs", "--network", "--refuse", "--fixture", "--rule",
            "--xml");
    private static final Set<String> FLAGS = Set.of("--list", "--require-all");
    private static final int MOST_PAIRS = 256;

    static RunOptions parse(List<String> arguments) throws UsageException {
        Map<String, List<String>> given = new LinkedHashMap<>();
        List<String> plain = new ArrayList<>();
        for (int i = 0; i < arguments.size(); i++) {
            String a = arguments.get(i);
            int equals = a.startsWith("--") ? a.indexOf('=') : -1;
            String name = equals > 0 ? a.substring(0, equals) : a;
            if (!a.startsWith("-")) {
                plain.add(a);
            } else if (FLAGS.contains(a)) {
                given.put(a, List.of());
            } else if (!VALUED.contains(name)) {
                Set<String> known = new TreeSet<>(VALUED);
                known.addAll(FLAGS);
                throw new UsageException("unknown option " + a + "; known are " + String.join(", ", known));
            } else if (equals < 0 && ++i == arguments.size()) {
                throw new UsageException(name + " needs a value");
            } else {
                given.computeIfAbsent(name, k -> new ArrayList<>()).add(equals > 0 ? a.substring(equals + 1) : arguments.get(i));
            }
        }
        boolean list = given.containsKey("--list");
        if (plain.size() > 1 || plain.isEmpty() && !list) {
            throw new UsageException(plain.isEmpty() ? "which bundle? vireo tck BUNDLE.jar" : "one bundle at a time, not " + plain);
        }
        String network = once(given, "--network");
        if (network != null && (network.isEmpty() || network.contains("/"))) {
            throw new UsageException("--network " + network + ": not the name of a network interface");
        }
        return new RunOptions(plain.isEmpty() ? null : Path.of(plain.getFirst()), once(given, "--type"), pairs(given, "--config"),
                number(once(given, "--pairs")), network, pairs(given, "--refuse"), path(given, "--fixture"),
                new TreeSet<>(given.getOrDefault("--rule", List.of())), path(given, "--xml"), list, given.containsKey("--require-all"));
    }

    private static Map<String, String> pairs(Map<String, List<String>> given, String name) throws UsageException {
        Map<String, String> all = new LinkedHashMap<>();
        for (String value : given.getOrDefault(name, List.of())) {
            int equals = value.indexOf('=');
            if (equals < 1) {
                throw new UsageException(name + " " + value + ": write NAME=VALUE");
            }
            if (all.put(value.substring(0, equals), value.substring(equals + 1)) != null) {
                throw new UsageException(name + " " + value + ": " + value.substring(0, equals) + " is given twice");
            }
        }
        return all;
    }

    private static int number(String pairs) throws UsageException {
        if (pairs == null) {
            return 1;
        }
        if (!pairs.matches("[1-9][0-9]{0,2}") || Integer.parseInt(pairs) > MOST_PAIRS) {
            throw new UsageException("--pairs " + pairs + ": not a number from 1 to " + MOST_PAIRS);
        }
        return Integer.parseInt(pairs);
    }

    private static Path path(Map<String, List<String>> given, String name) throws UsageException {
        String value = once(given, name);
        return value == null ? null : Path.of(value);
    }

    private static String once(Map<String, List<String>> given, String name) throws UsageException {
        List<String> values = given.getOrDefault(name, List.of());
        if (values.size() > 1) {
            throw new UsageException(name + " is given " + values.size() + " times");
        }
        return values.isEmpty() ? null : values.getFirst();
    }

    /** The netdev's options for a network of so many pairs. */
    Map<String, String> config(int forPairs) {
        Map<String, String> c = new LinkedHashMap<>(config);
        c.replaceAll((name, value) -> withPairs(value, forPairs));
        return c;
    }

    /** The interface of a network of so many pairs, or null. */
    String network(int forPairs) {
        return network == null ? null : withPairs(network, forPairs);
    }

    private static String withPairs(String value, int pairs) {
        return value.replace("{pairs}", Integer.toString(pairs));
    }
}
