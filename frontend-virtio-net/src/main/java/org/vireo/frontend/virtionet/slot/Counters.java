// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.net.api.StatisticsSink;

/** Takes a port's counters during one call: not for ever, not without end, and none without a proper name. */
final class Counters implements StatisticsSink {
    private static final int MOST = 256;
    private static final int LONGEST = 64;

    private final Map<String, Long> all = new LinkedHashMap<>();
    private boolean ended;

    @Override
    public synchronized void counter(String name, long value) {
        boolean proper = name != null && !name.isEmpty() && name.length() <= LONGEST
                && name.chars().allMatch(c -> c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-');
        if (ended) {
            return;
        }
        if (!proper) {
            throw new IllegalArgumentException("counter " + (name == null ? "null" : "\"" + name + "\"")
                    + ": a name is 1 to " + LONGEST + " lower case letters, digits and hyphens");
        }
        if (all.size() == MOST && !all.containsKey(name)) {
            throw new IllegalStateException("more than " + MOST + " counters");
        }
        all.put(name, value);
    }

    /** What was told; nothing is taken any more. */
    synchronized Map<String, Long> end() {
        ended = true;
        return all;
    }
}
