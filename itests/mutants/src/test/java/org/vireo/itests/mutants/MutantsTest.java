// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vireo.itests.mutants.rings.RingFault;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.Rule;

/** The kit finds each fault, by the rule that it breaks and by no other; what is right passes. */
class MutantsTest {
    /** Rules that take their time: only for who breaks them, or none. */
    private static final Set<String> SLOW = Set.of("load-inert", "move-to-another-process", "transmit-allocates-nothing",
            "receive-allocates-nothing", "quiesce-stills", "quiesce-then-move");
    private static final Set<String> NOT_HERE = Set.of("pairs-in-use");
    /** Rules that are about ports which take rings. */
    private static final Set<String> FOR_RINGS = KitRun.declaredBy("org.vireo.tck.Vring");

    @AfterEach
    void forget() {
        System.clearProperty(MutantFixture.FAULT);
    }

    @ParameterizedTest
    @EnumSource
    void breaksTheseRulesAndNoOther(Fault fault) {
        System.setProperty(MutantFixture.FAULT, fault.option());
        boolean right = fault == Fault.NONE;
        // of the rules that it keeps a sixth is tried on each, another one on the next
        KitRun run = KitRun.of(MutantTck.class, fault.rules(), id -> !FOR_RINGS.contains(id) && (right
                || !SLOW.contains(id) && Math.floorMod(fault.ordinal() + id.hashCode(), 6) == 0));
        assertEquals(new TreeSet<>(fault.rules()), run.failed(), run::toString);
        assertTrue(NOT_HERE.containsAll(run.aborted()), run::toString);
    }

    @Test
    void eachRuleIsBrokenBySomebody() {
        Set<String> broken = new TreeSet<>(NOT_HERE);
        for (Fault f : Fault.values()) {
            broken.addAll(f.rules());
        }
        for (RingFault f : RingFault.values()) {
            broken.addAll(f.rules());
        }
        Set<String> all = new TreeSet<>();
        for (Method m : MutantTck.class.getMethods()) {
            if (m.isAnnotationPresent(Rule.class)) {
                assertTrue(all.add(m.getAnnotation(Rule.class).id()), m + " has the id of another one");
            }
        }
        all.removeAll(broken);
        assertEquals(Set.of(), all, "rules that no mutant breaks");
    }

    @Test
    void eachRuleNamesAPlaceThatIsThere() {
        for (Method m : MutantTck.class.getMethods()) {
            Rule r = m.getAnnotation(Rule.class);
            if (r != null && !r.contract().equals("package-info")) {
                assertTrue(isThere(r.contract()), r.id() + ": there is no " + r.contract() + " in the contract");
            }
        }
    }

    /** A type, or a type and a method or a type within it. */
    private static boolean isThere(String place) {
        String[] parts = place.split("\\.");
        try {
            Class<?> type = Class.forName(NetBackend.class.getPackageName() + "." + parts[0]);
            return parts.length == 1 || Stream.of(type.getMethods()).anyMatch(m -> m.getName().equals(parts[1]))
                    || Stream.of(type.getClasses()).anyMatch(c -> c.getSimpleName().equals(parts[1]));
        } catch (ClassNotFoundException e) {
            return false;
        }
    }
}
