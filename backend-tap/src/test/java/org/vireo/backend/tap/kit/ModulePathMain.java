// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import java.io.PrintWriter;
import org.junit.platform.launcher.Launcher;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;
import org.junit.platform.launcher.listeners.TestExecutionSummary;
import org.vireo.backend.tap.TapBackend;
import org.vireo.net.api.NetBackend;
import org.vireo.posix.Posix;
import org.vireo.tck.BackendTck;

/** Runs the backend test kit in a JVM whose module path has the jars; tells the modules, then the number of tests. */
public final class ModulePathMain {
    private ModulePathMain() {
    }

    /**
     * Runs it.
     *
     * @param args none
     */
    public static void main(String[] args) {
        for (Class<?> c : new Class<?>[] {TapBackend.class, NetBackend.class, Posix.class, BackendTck.class}) {
            System.out.println(c.getSimpleName() + " is in module " + c.getModule().getName());
        }
        SummaryGeneratingListener listener = new SummaryGeneratingListener();
        Launcher launcher = LauncherFactory.create();
        launcher.execute(LauncherDiscoveryRequestBuilder.request().selectors(selectClass(TapTckTest.class)).build(), listener);
        TestExecutionSummary s = listener.getSummary();
        s.printFailuresTo(new PrintWriter(System.err, true), 30);
        System.out.println("succeeded " + s.getTestsSucceededCount() + ", failed " + s.getTotalFailureCount() + ", skipped "
                + (s.getTestsAbortedCount() + s.getTestsSkippedCount()));
        System.exit(s.getTotalFailureCount() == 0 ? 0 : 1);
    }
}
