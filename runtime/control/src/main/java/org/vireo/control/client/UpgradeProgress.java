// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.client;

import java.io.IOException;
import java.io.PrintStream;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.control.json.Json;

/** Shows how an upgrade goes, until it has ended. One thread. */
final class UpgradeProgress {
    private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private final QmpClient daemon;
    private final PrintStream out;
    private final boolean json;
    private int told;
    private String last = "checking";

    /**
     * Of an upgrade that has begun.
     *
     * @param daemon the one that is replaced
     * @param out takes lines for people, or the last status
     * @param json whether only the last status is shown, as JSON
     */
    UpgradeProgress(QmpClient daemon, PrintStream out, boolean json) {
        this.daemon = daemon;
        this.out = out;
        this.json = json;
    }

    /**
     * Shows it.
     *
     * @return the exit code
     */
    int follow() throws IOException, QmpClient.RefusedException {
        while (true) {
            Map<?, ?> status = (Map<?, ?>) daemon.execute("query-upgrade", Map.of());
            String now = String.valueOf(status.get("status"));
            boolean ended = List.of("completed", "failed").contains(now);
            if (!json) {
                show(status, now, ended);
            }
            if (ended) {
                out.println(json ? Json.text(status) : result(status));
                return now.equals("completed") ? 0 : 1;
            }
            LockSupport.parkNanos(POLL_NANOS);
        }
    }

    private void show(Map<?, ?> status, String now, boolean ended) {
        List<?> checks = (List<?>) status.get("checks");
        for (; told < checks.size(); told++) {
            Map<?, ?> one = (Map<?, ?>) checks.get(told);
            out.println((Boolean.TRUE.equals(one.get("ok")) ? "ok      " : "FAILED  ") + one.get("check") + ": " + one.get("detail"));
        }
        if (!now.equals(last) && !ended) {
            out.println(now + (status.get("pid") == null ? "" : " (process " + status.get("pid") + ")"));
        }
        last = now;
    }

    private static String result(Map<?, ?> status) {
        if (!"completed".equals(status.get("status"))) {
            return "failed: " + status.get("error-desc") + "; the daemon goes on as before";
        }
        return Boolean.TRUE.equals(status.get("dry-run")) ? "it would work" : "completed: process " + status.get("pid") + " goes on";
    }
}
