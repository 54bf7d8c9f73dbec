// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.figures;

import java.util.Collections;
import java.util.List;
import java.util.Map;

/** Ratios of what was measured next to each other, and what they come to. */
public final class Ratios {
    private Ratios() {
    }

    /** A number of a result, NaN if there is none of that name. */
    public static double real(Map<?, ?> of, String name) {
        return of.get(name) instanceof Number n ? n.doubleValue() : Double.NaN;
    }

    /** What ratios of pairs come to, for people to compare with a goal. */
    public static void add(List<Double> ratios, String goal, Map<String, Object> to) {
        to.put("ratioMedian", median(ratios));
        to.put("ratioLeast", Collections.min(ratios));
        to.put("ratioMost", Collections.max(ratios));
        to.put("goal", goal);
    }

    /** The middle, or the mean of the two in the middle. */
    public static double median(List<Double> v) {
        List<Double> s = v.stream().sorted().toList();
        return (s.get((s.size() - 1) / 2) + s.get(s.size() / 2)) / 2;
    }
}
