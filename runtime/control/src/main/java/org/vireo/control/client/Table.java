// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.client;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Objects as a table for people: the same for the command line and for a shell in the framework. One thread. */
public final class Table {
    private final List<String> keys;
    private final List<List<String>> rows = new ArrayList<>();

    /**
     * A table.
     *
     * @param keys which members of the objects become columns, in order; also their headings
     */
    Table(String... keys) {
        this.keys = List.of(keys);
    }

    /**
     * Of what query-nics answers.
     *
     * @return without rows
     */
    public static Table nics() {
        return new Table("id", "state", "netdev", "vmm-pid", "epoch", "why", "options");
    }

    /**
     * Of what query-netdevs answers.
     *
     * @return without rows
     */
    public static Table netdevs() {
        return new Table("id", "type", "state", "nic", "bundle", "state-format", "options");
    }

    /**
     * Of what query-backends answers.
     *
     * @return without rows
     */
    public static Table backends() {
        return new Table("type", "id", "bundle", "version", "active");
    }

    /**
     * Adds objects.
     *
     * @param objects a collection of maps, as JSON gives it
     * @return this
     */
    public Table add(Object objects) {
        for (Object o : (Iterable<?>) objects) {
            Map<?, ?> map = (Map<?, ?>) o;
            rows.add(keys.stream().map(k -> cell(map.get(k))).toList());
        }
        return this;
    }

    private static String cell(Object value) {
        return switch (value) {
            case null -> "-";
            case Map<?, ?> map ->
                    map.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).sorted().collect(Collectors.joining(","));
            default -> value.toString().isEmpty() ? "-" : value.toString();
        };
    }

    @Override
    public String toString() {
        List<List<String>> all = new ArrayList<>();
        all.add(keys.stream().map(k -> k.toUpperCase(java.util.Locale.ROOT)).toList());
        all.addAll(rows);
        StringBuilder b = new StringBuilder();
        for (List<String> row : all) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < keys.size(); i++) {
                int column = i;
                int width = all.stream().mapToInt(r -> r.get(column).length()).max().orElse(0);
                line.append(row.get(i)).append(" ".repeat(width - row.get(i).length() + 2));
            }
            b.append(line.toString().stripTrailing()).append(System.lineSeparator());
        }
        return b.toString();
    }
}
