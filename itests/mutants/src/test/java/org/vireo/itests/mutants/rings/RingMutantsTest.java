// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vireo.itests.mutants.KitRun;

/** As for ports with frames: the kit finds each fault, by the rule that it breaks and by no other; what is right passes. */
class RingMutantsTest {
    private static final Set<String> FOR_FRAMES = KitRun.declaredBy("org.vireo.tck.DataTck");
    private static final Set<String> FOR_RINGS = KitRun.declaredBy("org.vireo.tck.Vring");
    /** Rules about settings that do not concern rings. */
    private static final Set<String> NOT_HERE = Set.of("apply-what-the-profile-allows", "apply-fails-unchanged", "quiesce-stills");
    /** Of the rules that a fault keeps one in so many is tried. */
    private static final int OF_OTHERS = 20;
    /** They start processes: the fixture's way there is tried with frames, these rules' way with a vhost-user back-end. */
    private static final Set<String> SLOW = Set.of("load-inert", "move-to-another-process");

    @AfterEach
    void forget() {
        System.clearProperty(RingFixture.FAULT);
    }

    @ParameterizedTest
    @EnumSource
    void breaksTheseRulesAndNoOther(RingFault fault) {
        System.setProperty(RingFixture.FAULT, fault.option());
        KitRun run = KitRun.of(RingTck.class, fault.rules(), id -> switch (fault) {
            case NONE -> !FOR_FRAMES.contains(id) && !SLOW.contains(id);
            case REPLACES_SLOWLY -> false;
            default -> FOR_RINGS.contains(id) && Math.floorMod(fault.ordinal() + id.hashCode(), OF_OTHERS) == 0;
        });
        assertEquals(new TreeSet<>(fault.rules()), run.failed(), run::toString);
        assertTrue(NOT_HERE.containsAll(run.aborted()), run::toString);
    }
}
