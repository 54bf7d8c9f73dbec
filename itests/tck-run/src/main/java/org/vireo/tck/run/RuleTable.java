// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.reporting.ReportEntry;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.vireo.tck.Rule;

/** Prints a line for each rule as it ends: its name, the result, where the contract says so, what was seen. */
final class RuleTable implements TestExecutionListener {
    private final PrintStream out;
    private final List<Result> results = new ArrayList<>();
    private final Map<String, String> seen = new HashMap<>();
    private final Map<String, Long> began = new HashMap<>();
    private String format;
    private Throwable broken;

    RuleTable(PrintStream out) {
        this.out = out;
    }

    /** How a rule ended. */
    enum Outcome {
        PASSED("passed"), FAILED("FAILED"), NOT_RUN("not run");

        private final String text;

        Outcome(String text) {
            this.text = text;
        }
    }

    /**
     * A rule's result.
     *
     * @param rule the rule
     * @param outcome how it ended
     * @param seen what was seen, one line; perhaps empty
     * @param nanos how long it took
     * @param why of a failure, or null
     */
    record Result(Rule rule, Outcome outcome, String seen, long nanos, Throwable why) {
    }

    static Optional<Rule> rule(TestIdentifier test) {
        return test.getSource().filter(MethodSource.class::isInstance)
                .map(s -> ((MethodSource) s).getJavaMethod().getAnnotation(Rule.class));
    }

    @Override
    public void testPlanExecutionStarted(TestPlan plan) {
        List<Rule> rules = new ArrayList<>();
        plan.accept(new TestPlan.Visitor() {
            @Override
            public void visit(TestIdentifier test) {
                rule(test).ifPresent(rules::add);
            }
        });
        int id = rules.stream().mapToInt(r -> r.id().length()).max().orElse(0);
        int contract = rules.stream().mapToInt(r -> r.contract().length()).max().orElse(0);
        format = "%-" + Math.max(id, 4) + "s  %-7s  %-" + Math.max(contract, 8) + "s  %s";
        print("RULE", "RESULT", "CONTRACT", "SEEN");
    }

    private void print(Object... columns) {
        out.println(format.formatted(columns).stripTrailing());
    }

    @Override
    public void executionStarted(TestIdentifier test) {
        began.put(test.getUniqueId(), System.nanoTime());
    }

    @Override
    public void reportingEntryPublished(TestIdentifier test, ReportEntry entry) {
        String value = entry.getKeyValuePairs().get("seen");
        if (value != null) {
            seen.put(test.getUniqueId(), value);
        }
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult r) {
        Throwable why = r.getThrowable().orElse(null);
        if (rule(test).isEmpty()) {
            broken = why == null ? broken : why;
            return;
        }
        Outcome outcome = switch (r.getStatus()) {
            case SUCCESSFUL -> Outcome.PASSED;
            case ABORTED -> Outcome.NOT_RUN;
            default -> Outcome.FAILED;
        };
        String text = why == null ? seen.getOrDefault(test.getUniqueId(), "") : oneLine(why);
        Result result = new Result(rule(test).get(), outcome, text, System.nanoTime() - began.get(test.getUniqueId()),
                outcome == Outcome.FAILED ? why : null);
        results.add(result);
        print(result.rule().id(), outcome.text, result.rule().contract(), text);
    }

    /** What a person wants to read of it: not what JUnit's comparisons add when they compare with true. */
    private static String oneLine(Throwable why) {
        String message = why.getMessage();
        String text = message == null ? why.toString()
                : why instanceof AssertionError || why instanceof org.opentest4j.TestAbortedException ? message
                : why.getClass().getSimpleName() + ": " + message;
        return text.replaceAll(" ==> expected: <(true|false)> but was: <(true|false)>", "").replace("Assumption failed: ", "")
                .replaceAll("\\s+", " ").strip();
    }

    List<Result> results() {
        return results;
    }

    /** What kept rules from being run at all, or null. */
    Throwable broken() {
        return broken;
    }

    long count(Outcome outcome) {
        return results.stream().filter(r -> r.outcome() == outcome).count();
    }
}
