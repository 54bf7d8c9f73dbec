// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.util.ArrayList;
import java.util.List;

/** The way to a network namespace of this process's own: this very command again, inside one. */
public final class OwnNetwork {
    private static final String INSIDE = "VIREO_BENCH_FAULTS";

    private OwnNetwork() {
    }

    /** Whether this process has a network namespace of its own. */
    public static boolean isInside() {
        return System.getenv(INSIDE) != null;
    }

    /**
     * The same command in a network namespace of its own: the host's end of the TAP is this process's.
     *
     * @param args of {@code bench}
     * @return its exit code
     */
    public static int again(String... args) throws BenchException {
        List<String> command = new ArrayList<>(List.of("bench"));
        command.addAll(List.of(args));
        return UserNamespace.again(List.of("unshare", "--net", "--"), INSIDE, command);
    }
}
