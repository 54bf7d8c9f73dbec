// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.osgi.framework.Version;

/** Who is the best, whatever the order in which they come, fail and go. */
class CandidatesTest {
    private static Candidate candidate(String type, int ranking, String version, long id) {
        return candidate(type, 0, ranking, version, id);
    }

    private static Candidate candidate(String type, int revision, int ranking, String version, long id) {
        return new Candidate(null, type, "bundle " + version, id, revision, Version.parseVersion(version), ranking, id, Map.of());
    }

    @Test
    void theConfiguredTypeComesFirstThenRevisionThenRankingThenVersionThenAge() {
        Candidates c = new Candidates();
        c.add(candidate("tap", 0, "1.0.0", 1));
        c.add(candidate("other", 100, "9.0.0", 2));
        assertEquals(1, c.best().orElseThrow().serviceId());
        c.add(candidate("tap", 0, "1.0.1", 3));
        assertEquals(3, c.best().orElseThrow().serviceId());
        c.add(candidate("tap", 0, "1.0.1", 4));
        assertEquals(4, c.best().orElseThrow().serviceId());
        c.add(candidate("tap", 1, "0.1.0", 5));
        assertEquals(5, c.best().orElseThrow().serviceId());
        c.add(candidate("tap", 1, 0, "1.0.0", 6));
        assertEquals(6, c.best().orElseThrow().serviceId(), "a newer configuration comes before whatever a bundle says of itself");
        c.remove(6);
        c.choose("other");
        assertEquals(2, c.best().orElseThrow().serviceId());
        c.choose("none of these");
        assertEquals(2, c.best().orElseThrow().serviceId(), "a type that is not there: the best of all");
    }

    /** Who registers a service for somebody else's netdev before that is configured gets nothing of it, whatever its ranking. */
    @Test
    void theConfiguredTypeIsTheConfigurationsWhoeverCameFirst() {
        Candidates c = new Candidates();
        c.add(candidate("thief", 1_000, "9.0.0", 1), false);
        assertEquals(1, c.best().orElseThrow().serviceId(), "nobody else is there");
        c.add(candidate("tap", 0, "1.0.0", 2), true);
        assertEquals("tap", c.type());
        assertEquals(2, c.best().orElseThrow().serviceId());
        assertEquals(2, c.bestToReplace().orElseThrow().serviceId());
        c.add(candidate("other", 5, "9.0.0", 3), true);
        assertEquals(2, c.best().orElseThrow().serviceId(), "the first one that was configured");
        c.choose("other");
        c.add(candidate("tap", 0, "1.0.1", 4), true);
        assertEquals(3, c.best().orElseThrow().serviceId(), "what was chosen since");
    }

    @Test
    void whoDeclinedToReplaceMayStillServe() {
        Candidates c = new Candidates();
        Candidate serves = candidate("tap", 0, "1.0.0", 1);
        Candidate newer = candidate("tap", 0, "1.1.0", 2);
        c.add(serves);
        c.add(newer);
        assertEquals(newer, c.bestToReplace().orElseThrow());
        c.decline(newer);
        assertEquals(serves, c.bestToReplace().orElseThrow());
        assertEquals(newer, c.best().orElseThrow());
        c.servingChanged();
        assertEquals(newer, c.bestToReplace().orElseThrow());
    }

    @Test
    void aThousandRandomRounds() {
        Random random = new Random(4711);
        Candidates c = new Candidates();
        List<Candidate> there = new ArrayList<>();
        List<Candidate> failed = new ArrayList<>();
        Comparator<Candidate> better = Comparator.<Candidate, Boolean>comparing(x -> x.type().equals("a"))
                .thenComparing(Candidate::ranking).thenComparing(Candidate::version).thenComparing(Candidate::serviceId);
        c.choose("a");
        for (int round = 0; round < 1_000; round++) {
            int what = random.nextInt(8);
            if (what < 4 || there.isEmpty()) {
                Candidate n = candidate(random.nextBoolean() ? "a" : "b", random.nextInt(3), "1." + random.nextInt(3), round);
                there.add(n);
                c.add(n);
            } else if (what < 7) {
                Candidate gone = there.remove(random.nextInt(there.size()));
                failed.remove(gone);
                assertEquals(gone, c.remove(gone.serviceId()));
            } else {
                Candidate bad = there.get(random.nextInt(there.size()));
                failed.add(bad);
                c.fail(bad);
            }
            List<Candidate> left = there.stream().filter(x -> !failed.contains(x)).toList();
            assertEquals(left.stream().max(better), c.best(), "round " + round);
            assertEquals(!left.isEmpty(), c.isServable());
            assertEquals(there.isEmpty(), c.isEmpty());
        }
        c.forgive();
        assertEquals(there.stream().max(better), c.best());
        assertFalse(c.any().isEmpty() && !there.isEmpty());
    }
}
