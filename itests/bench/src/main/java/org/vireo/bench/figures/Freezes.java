// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.figures;

import java.util.List;
import java.util.Map;

/**
 * Times of the same thing.
 *
 * @param micros sorted, at least one
 */
public record Freezes(List<Long> micros) {
    public Freezes {
        if (micros.isEmpty()) {
            throw new IllegalArgumentException("no freeze");
        }
        micros = micros.stream().sorted().toList();
    }

    /** The middle, or the mean of the two in the middle. */
    public long median() {
        int n = micros.size();
        return n % 2 == 1 ? micros.get(n / 2) : (micros.get(n / 2 - 1) + micros.get(n / 2)) / 2;
    }

    /** The nearest rank: the smallest that at least 99 of 100 do not exceed. */
    public long p99() {
        return micros.get((99 * micros.size() + 99) / 100 - 1);
    }

    /** The longest. */
    public long max() {
        return micros.getLast();
    }

    /** As a benchmark's result tells them. */
    public void addTo(Map<String, Object> result) {
        result.put("freezeMicrosMedian", median());
        result.put("freezeMicrosP99", p99());
        result.put("freezeMicrosMax", max());
    }
}
