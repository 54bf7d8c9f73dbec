// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.io.IOException;
import java.nio.file.Files;
import java.util.Comparator;
import java.util.List;
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Stream;
import org.junit.platform.engine.FilterResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.PostDiscoveryFilter;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.opentest4j.TestAbortedException;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetdevException;
import org.vireo.tck.BackendFixture;
import org.vireo.tck.Rule;

/**
 * {@code vireo tck}. Exit codes: 0 no rule is broken, 1 one is, or the bundle cannot be tested, 2 the command line is wrong.
 */
public final class Main {
    // java.util.logging keeps loggers weakly: this keeps the level
    private static final Logger ROOT = Logger.getLogger("");

    private Main() {
    }

    /**
     * Runs the rules.
     *
     * @param arguments of {@code tck}
     */
    public static void main(String[] arguments) {
        ROOT.setLevel(Level.SEVERE);
        int code;
        try {
            code = run(List.of(arguments));
        } catch (UsageException e) {
            System.err.println("vireo tck: " + e.getMessage() + " (vireo tck --help)");
            code = 2;
        } catch (RunException e) {
            System.err.println("vireo tck: " + e.getMessage());
            code = 1;
        } catch (IOException e) {
            System.err.println("vireo tck: " + e);
            code = 1;
        }
        // a backend may have left threads
        System.exit(code);
    }

    private static int run(List<String> arguments) throws UsageException, RunException, IOException {
        RunOptions options = RunOptions.parse(arguments);
        List<Rule> rules = rules();
        for (String wanted : options.rules()) {
            if (rules.stream().noneMatch(r -> r.id().equals(wanted))) {
                throw new UsageException("--rule " + wanted + ": there is no such rule; --list tells all");
            }
        }
        if (options.list()) {
            int width = rules.stream().mapToInt(r -> r.id().length()).max().orElse(0);
            rules.forEach(r -> System.out.println(("%-" + width + "s  %s: %s").formatted(r.id(), r.contract(), r.says())));
            return 0;
        }
        if (options.xml() != null && (Files.isDirectory(options.xml())
                || !Files.isDirectory(options.xml().toAbsolutePath().getParent()))) {
            throw new UsageException("--xml " + options.xml() + ": no file can be written there");
        }
        BundleFile bundle = BundleFile.of(options.bundle(), options.type());
        System.setProperty(BundleFixture.ARGUMENTS, String.join("\n", arguments));
        tryConfiguration();
        System.out.println("Netdev type " + bundle.type() + " of " + bundle.name() + " " + bundle.version());
        RuleTable table = new RuleTable(System.out);
        LauncherFactory.create().execute(LauncherDiscoveryRequestBuilder.request().selectors(selectClass(BundleTck.class))
                .filters((PostDiscoveryFilter) d -> FilterResult.includedIf(options.rules().isEmpty()
                        || !(d.getSource().orElse(null) instanceof MethodSource m)
                        || options.rules().contains(m.getJavaMethod().getAnnotation(Rule.class).id()))).build(), table);
        if (table.broken() != null) {
            throw new RunException("the rules do not run: " + table.broken(), table.broken());
        }
        return conclude(options, bundle, table);
    }

    private static int conclude(RunOptions options, BundleFile bundle, RuleTable table) throws IOException {
        if (options.xml() != null) {
            XmlReport.write(options.xml(), "vireo tck " + bundle.name(), table.results());
        }
        long failed = table.count(RuleTable.Outcome.FAILED);
        long notRun = table.count(RuleTable.Outcome.NOT_RUN);
        System.out.println(table.results().size() + " rules: " + table.count(RuleTable.Outcome.PASSED) + " passed, " + failed + " failed, "
                + notRun + " not run");
        return failed > 0 || notRun > 0 && options.requireAll() ? 1 : 0;
    }

    /** One clear message instead of a broken rule after the other. */
    private static void tryConfiguration() throws RunException {
        BundleFixture f;
        try {
            f = new BundleFixture();
        } catch (RunException e) {
            throw e;
        } catch (Exception e) {
            throw new RunException("the kit does not start: " + e, e);
        }
        try (f; BackendFixture.Network n = f.network(1)) {
            NetBackend b = f.backend("tcktry", n.options());
            b.validate();
        } catch (NetdevException e) {
            throw new RunException("the bundle refuses this configuration (--config): " + e.getMessage(), e);
        } catch (TestAbortedException e) {
            // something is missing: each rule that needs it says so
            return;
        } catch (AssertionError e) {
            throw new RunException(e.getMessage(), e);
        } catch (Exception e) {
            throw new RunException("the netdev cannot be configured: " + e, e);
        }
    }

    private static List<Rule> rules() {
        return Stream.of(BundleTck.class.getMethods()).filter(m -> m.isAnnotationPresent(Rule.class))
                .map(m -> m.getAnnotation(Rule.class)).sorted(Comparator.comparing(Rule::contract).thenComparing(Rule::id)).toList();
    }
}
