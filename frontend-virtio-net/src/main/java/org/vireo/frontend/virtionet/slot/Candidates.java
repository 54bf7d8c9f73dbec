// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** The services that could serve one netdev, and which of them is the best. Guarded by the slot. */
final class Candidates {
    private final List<Candidate> all = new ArrayList<>();
    private final List<Candidate> failed = new ArrayList<>();
    private final List<Candidate> declined = new ArrayList<>();
    private String type = "";
    /** Whether the type is one that somebody asked for. */
    private boolean decided;

    /** The first one decides the type, unless it was chosen. */
    void add(Candidate c) {
        add(c, false);
    }

    /**
     * The first one that was configured for this netdev decides the type, unless it was chosen; while there is none, the first one does.
     *
     * @param configured whether it was
     */
    void add(Candidate c, boolean configured) {
        all.add(c);
        if (type.isEmpty() || configured && !decided) {
            type = c.type();
            decided = configured;
        }
    }

    /**
     * A service has left.
     *
     * @return which, or null
     */
    Candidate remove(long serviceId) {
        Candidate leaving = all.stream().filter(c -> c.serviceId() == serviceId).findFirst().orElse(null);
        all.remove(leaving);
        failed.remove(leaving);
        declined.remove(leaving);
        return leaving;
    }

    /** The newest of those. */
    Optional<Candidate> find(Predicate<Candidate> wanted) {
        return all.stream().filter(wanted).max(Candidate.BETTER);
    }

    boolean contains(Candidate c) {
        return all.contains(c);
    }

    boolean isEmpty() {
        return all.isEmpty();
    }

    /** The type that is asked for: the configured one. */
    String type() {
        return type;
    }

    void choose(String asked) {
        type = asked;
        decided = true;
    }

    /** Left out until it registers anew. */
    void fail(Candidate c) {
        if (all.contains(c) && !failed.contains(c)) {
            failed.add(c);
        }
    }

    /** It cannot go on with what the one that serves has open; when that has gone it may still serve. */
    void decline(Candidate c) {
        if (all.contains(c)) {
            declined.add(c);
        }
    }

    /** It is not declined any more. */
    void reconsider(Candidate c) {
        declined.remove(c);
    }

    /** Another one serves, or none. */
    void servingChanged() {
        declined.clear();
    }

    /** All are asked again. */
    void forgive() {
        failed.clear();
        declined.clear();
    }

    boolean isServable() {
        return all.stream().anyMatch(c -> !failed.contains(c));
    }

    boolean hasOtherThan(Candidate c) {
        return left().anyMatch(o -> o != c);
    }

    /** The type that is asked for first, then ranking, version, age. */
    Optional<Candidate> best() {
        return bestOfType().or(() -> left().max(Candidate.BETTER));
    }

    /** The best one of the type that is asked for. */
    private Optional<Candidate> bestOfType() {
        return left().filter(c -> c.type().equals(type)).max(Candidate.BETTER);
    }

    /** The best one of the type that is asked for, and of those that may replace the one that serves, which is one of them. */
    Optional<Candidate> bestToReplace() {
        return left().filter(c -> c.type().equals(type) && !declined.contains(c)).max(Candidate.BETTER);
    }

    private Stream<Candidate> left() {
        return all.stream().filter(c -> !failed.contains(c));
    }

    /** For a status, where none serves. */
    Optional<Candidate> any() {
        return best().or(() -> all.stream().max(Candidate.BETTER));
    }
}
