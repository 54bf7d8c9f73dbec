// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.Map;
import java.util.TreeMap;
import org.vireo.net.api.nic.NicException;

/**
 * Defaults of options by machine version: a NIC that was made for an older version keeps behaving as it did. An explicit option beats
 * the machine version.
 */
final class MachineDefaults {
    /** The newest version, for NICs that name none. */
    static final String NEWEST = "vireo-1";

    /** vireo-0: before backends could be transferred, and without packed rings. */
    private static final Map<String, Map<String, String>> TABLE = new TreeMap<>(Map.of(
            "vireo-0", Map.of("backend-transfer", "off", "packed", "off"),
            NEWEST, Map.of("backend-transfer", "on")));

    private MachineDefaults() {
    }

    static Map<String, String> of(String machine) throws NicException {
        Map<String, String> d = TABLE.get(machine);
        if (d == null) {
            throw new NicException("machine=" + machine + ": no such machine version; there are " + TABLE.keySet());
        }
        return d;
    }
}
