// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetdevException;

/**
 * The options.
 *
 * @param fd number of a socket for packets, which stays its owner's
 */
record MutantOptions(int fd) {
    private static final Set<String> KNOWN = Set.of("fd", "fault");
    private static final String FAULT = "fault";

    static Fault fault(Map<String, ?> raw) {
        Object given = raw.get(FAULT);
        return Stream.of(Fault.values()).filter(f -> f.option().equals(given)).findFirst().orElse(Fault.NONE);
    }

    static MutantOptions parse(String id, Map<String, ?> raw) throws NetdevException {
        Fault fault = fault(raw);
        for (String name : new TreeSet<>(raw.keySet())) {
            boolean framework = name.contains(".") && (fault != Fault.REFUSES_DOTS || name.equals(NetBackend.NETDEV_ID)
                    || name.startsWith("service.") || name.startsWith("component.") || name.startsWith("netdev."));
            if (!framework && !KNOWN.contains(name) && fault != Fault.TAKES_ANY_OPTION) {
                throw new NetdevException("netdev " + id + ": unknown option " + name + "; known are " + new TreeSet<>(KNOWN));
            }
        }
        Object given = raw.get(FAULT);
        if (given != null && fault == Fault.NONE && !given.equals(Fault.NONE.option())) {
            throw new NetdevException("netdev " + id + ": fault=" + given + " is no fault");
        }
        String fd = String.valueOf(raw.get("fd"));
        if (!fd.matches("[0-9]{1,9}")) {
            throw new NetdevException("netdev " + id + ": " + (fault == Fault.HIDES_THE_OPTION ? "something" : "fd=" + fd)
                    + " is not the number of a socket");
        }
        return new MutantOptions(Integer.parseInt(fd));
    }
}
