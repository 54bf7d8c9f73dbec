// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** Services whose objects are not there yet, since their activation goes on, and why others will never be there. Guarded by the slot. */
final class Arrivals {
    private final Map<Long, Arrival> underWay = new LinkedHashMap<>();
    private final Map<Long, Failure> failed = new LinkedHashMap<>();

    /** Type and revision of the netdev's configuration, and who made a service of it, for messages. */
    record Arrival(String type, int revision, String who) { }

    private record Failure(Arrival of, String why) { }

    void begin(long serviceId, Arrival a) {
        underWay.put(serviceId, a);
    }

    /** It is there, or has left. */
    void end(long serviceId) {
        underWay.remove(serviceId);
        failed.remove(serviceId);
    }

    void fail(long serviceId, String why) {
        Arrival a = underWay.remove(serviceId);
        if (a != null) {
            failed.put(serviceId, new Failure(a, why));
        }
    }

    /** Why a configuration has no service. */
    Optional<String> failure(String type, int revision) {
        return failed.values().stream().filter(f -> f.of.type().equals(type) && f.of.revision() >= revision).map(Failure::why).findFirst();
    }

    boolean isEmpty() {
        return underWay.isEmpty() && failed.isEmpty();
    }

    boolean isUnderWay() {
        return !underWay.isEmpty();
    }

    boolean isFailed() {
        return !failed.isEmpty();
    }

    /** What keeps the netdev from having a backend; empty: nothing that is known. */
    String why() {
        return !underWay.isEmpty() ? "backend " + underWay.values().iterator().next().who() + " has not returned from its activation"
                : failed.isEmpty() ? "" : failed.values().iterator().next().why();
    }
}
