// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.util.List;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestPlan;
import org.vireo.testsupport.TestProcess;

/** {@code vireo prepare}, before all tests: the more than a hundred daemons that they start take half the time. */
public final class Preparation implements TestExecutionListener {
    @Override
    public void testPlanExecutionStarted(TestPlan plan) {
        try (TestProcess p = TestProcess.start(List.of(Vireo.ROOT.resolve("vireo").toString(), "prepare"), Vireo.environment(), null)) {
            if (p.exitCode(Vireo.LIMIT) != 0) {
                throw new IllegalStateException(String.join("\n", p.lines()));
            }
        }
    }
}
