// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.HashMap;
import java.util.Map;

/** Backends of which a port is being closed, or is about to be: they leave when that is done. Guarded by the slot. */
final class Closing {
    private final Map<Candidate, Integer> ports = new HashMap<>();

    void begin(Candidate c) {
        ports.merge(c, 1, Integer::sum);
    }

    void end(Candidate c) {
        ports.computeIfPresent(c, (k, n) -> n == 1 ? null : n - 1);
    }

    boolean of(Candidate c) {
        return ports.containsKey(c);
    }
}
