// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.lang.reflect.Method;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.Rule;

/** The kit finds each fault, by the rule that it breaks and by no other; what is right passes. */
class MutantsTest {
    /** Rules that take their time: only for who breaks them, or none. */
    private static final Set<String> SLOW = Set.of("load-inert", "move-to-another-process", "transmit-allocates-nothing",
            "receive-allocates-nothing", "quiesce-stills", "quiesce-then-move");
    private static final Set<String> NOT_HERE = Set.of("pairs-in-use");

    @AfterEach
    void forget() {
        System.clearProperty(MutantFixture.FAULT);
    }

    @ParameterizedTest
    @EnumSource
    void breaksTheseRulesAndNoOther(Fault fault) {
        System.setProperty(MutantFixture.FAULT, fault.option());
        boolean right = fault == Fault.NONE;
        // of the rules that it keeps a third is tried on each, another one on the next
        Map<String, String> results = run(id -> right || fault.rules().contains(id)
                || !SLOW.contains(id) && Math.floorMod(fault.ordinal() + id.hashCode(), 3) == 0);
        Set<String> failed = new TreeSet<>();
        Set<String> aborted = new TreeSet<>();
        results.forEach((id, result) -> {
            if (result.startsWith("FAILED")) {
                failed.add(id);
            } else if (!result.equals("passed")) {
                aborted.add(id);
            }
        });
        String all = results.entrySet().stream().map(Object::toString).collect(Collectors.joining("\n"));
        assertEquals(new TreeSet<>(fault.rules()), failed, all);
        assertTrue(NOT_HERE.containsAll(aborted), all);
    }

    @Test
    void eachRuleIsBrokenBySomebody() {
        Set<String> broken = new TreeSet<>(NOT_HERE);
        for (Fault f : Fault.values()) {
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

    private interface Wanted {
        boolean wants(String id);
    }

    private static Map<String, String> run(Wanted wanted) {
        Map<String, String> results = new TreeMap<>();
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request().selectors(selectClass(MutantTck.class))
                .filters((PostDiscoveryFilter) d -> FilterResult.includedIf(
                        rule(d.getSource().orElse(null)).map(wanted::wants).orElse(true))).build();
        LauncherFactory.create().execute(request, new TestExecutionListener() {
            @Override
            public void executionFinished(TestIdentifier test, TestExecutionResult r) {
                String what = switch (r.getStatus()) {
                    case SUCCESSFUL -> "passed";
                    case ABORTED -> "not run: " + r.getThrowable().map(Throwable::getMessage).orElse("");
                    default -> "FAILED: " + r.getThrowable().orElse(null);
                };
                rule(test.getSource().orElse(null)).ifPresent(id -> results.put(id, what));
            }
        });
        return results;
    }

    private static Optional<String> rule(Object source) {
        return source instanceof MethodSource m ? Optional.ofNullable(m.getJavaMethod().getAnnotation(Rule.class)).map(Rule::id)
                : Optional.empty();
    }
}
