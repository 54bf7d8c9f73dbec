// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.vireo.net.api.NetdevException;

/**
 * The options.
 *
 * @param id the netdev's
 * @param fd number of a socket for packets, which stays its owner's
 * @param there a file that is there while the other side is
 * @param fault what is wrong
 */
record RingOptions(String id, int fd, Path there, RingFault fault) {
    private static final Set<String> KNOWN = new TreeSet<>(Set.of("fd", "there", "fault"));

    static RingOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        for (String name : new TreeSet<>(raw.keySet())) {
            if (!name.contains(".") && !KNOWN.contains(name)) {
                throw new NetdevException("netdev " + id + ": unknown option " + name + "; known are " + KNOWN);
            }
        }
        String fd = String.valueOf(raw.get("fd"));
        if (!fd.matches("[0-9]{1,9}")) {
            throw new NetdevException("netdev " + id + ": fd=" + fd + " is not the number of a socket");
        }
        Object fault = raw.get("fault");
        return new RingOptions(id, Integer.parseInt(fd), Path.of(String.valueOf(raw.get("there"))),
                Stream.of(RingFault.values()).filter(f -> f.option().equals(fault)).findFirst().orElse(RingFault.NONE));
    }
}
