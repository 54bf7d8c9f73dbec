// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.vireo.tck.Rule;

/** Rules of the kit, run on a mutant, and what became of them. */
public final class KitRun {
    /** System property of the kit: how long it waits for a frame. */
    private static final String LIMIT = "vireo.tck.limit-millis";
    /** For what is to fail: it need not be waited for long. */
    private static final String SHORT = "300";

    private final Map<String, String> results = new TreeMap<>();

    private KitRun() {
    }

    /**
     * Runs rules.
     *
     * @param tck the kit on the mutant
     * @param broken ids of the rules that should fail
     * @param others which of the others are to be run
     * @return what became of them
     */
    public static KitRun of(Class<?> tck, Set<String> broken, Predicate<String> others) {
        KitRun r = new KitRun();
        r.run(tck, id -> !broken.contains(id) && others.test(id));
        if (!broken.isEmpty()) {
            String before = System.setProperty(LIMIT, SHORT);
            try {
                r.run(tck, broken::contains);
            } finally {
                System.setProperty(LIMIT, before);
            }
        }
        return r;
    }

    /**
     * The rules of a part of the kit.
     *
     * @param prefix how the names of its classes begin
     * @return their ids
     */
    public static Set<String> declaredBy(String prefix) {
        return Stream.of(MutantTck.class.getMethods())
                .filter(m -> m.isAnnotationPresent(Rule.class) && m.getDeclaringClass().getName().startsWith(prefix))
                .map(m -> m.getAnnotation(Rule.class).id()).collect(Collectors.toSet());
    }

    private void run(Class<?> tck, Predicate<String> wanted) {
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request().selectors(selectClass(tck))
                .filters((PostDiscoveryFilter) d -> FilterResult.includedIf(
                        rule(d.getSource().orElse(null)).map(wanted::test).orElse(true))).build();
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
    }

    private static Optional<String> rule(Object source) {
        return source instanceof MethodSource m ? Optional.ofNullable(m.getJavaMethod().getAnnotation(Rule.class)).map(Rule::id)
                : Optional.empty();
    }

    private Set<String> those(Predicate<String> result) {
        return results.entrySet().stream().filter(e -> result.test(e.getValue())).map(Map.Entry::getKey)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    /**
     * The rules that failed.
     *
     * @return their ids, sorted
     */
    public Set<String> failed() {
        return those(r -> r.startsWith("FAILED"));
    }

    /**
     * The rules that were not run to their end.
     *
     * @return their ids, sorted
     */
    public Set<String> aborted() {
        return those(r -> r.startsWith("not run"));
    }

    @Override
    public String toString() {
        return results.entrySet().stream().map(Object::toString).collect(Collectors.joining("\n"));
    }
}
