// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.stream.Stream;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestNamespace;

/** Two daemons, of which one has the NIC and the other one waits for it. One thread. */
final class ToAndFro implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    /** Why a NIC stays where it is and may be asked again: a busy machine; a back-end of which the new owner has just heard something. */
    private static final List<String> PASSING = List.of("in time", "its backend's state has changed");

    private final Path folder;
    private final Vireo[] daemons = new Vireo[2];
    private final Monitor[] monitors = new Monitor[2];
    private int owner;
    private int refused;

    /**
     * Starts both.
     *
     * @param options of both, with NIC and netdev
     */
    ToAndFro(TestNamespace namespace, Path folder, String... options) throws IOException {
        this.folder = folder;
        boolean done = false;
        try {
            for (int i = 0; i < 2; i++) {
                List<String> more = i == 0 ? List.of() : List.of("--incoming", uri(i));
                daemons[i] = Vireo.run(namespace, folder.resolve("qmp" + i), Stream.concat(Stream.of(options), more.stream())
                        .toArray(String[]::new));
                monitors[i] = new Monitor(folder.resolve("qmp" + i));
            }
            monitors[0].does("migrate-incoming", "uri", uri(0));
            done = true;
        } finally {
            if (!done) {
                close();
            }
        }
    }

    private String uri(int i) {
        return "unix:" + folder.resolve("in" + i);
    }

    /** Hands the NIC over to the other one; where that is refused for a reason that passes, once more. */
    void handOver() throws IOException {
        String said = "";
        for (int tries = 0; tries < 3; tries++) {
            monitors[owner].does("migrate", "uri", uri(1 - owner));
            said = Await.value(LIMIT, "the end of a handover", () -> {
                String s = monitors[owner].does("query-migrate");
                return s.contains("\"completed\"") || s.contains("\"failed\"") ? s : null;
            });
            if (said.contains("\"completed\"")) {
                owner = 1 - owner;
                return;
            }
            String why = said;
            assertTrue(PASSING.stream().anyMatch(why::contains), why);
            refused++;
        }
        throw new AssertionError("three times: " + said);
    }

    /** How often it was asked once more. */
    int refused() {
        return refused;
    }

    /** One of them, whatever it has. */
    long pid(int i) {
        return daemons[i].process().pid();
    }

    @Override
    public void close() {
        for (int i = 0; i < 2; i++) {
            try {
                if (monitors[i] != null) {
                    monitors[i].close();
                }
            } catch (IOException e) {
                // it has ended
            }
            if (daemons[i] != null) {
                daemons[i].close();
            }
        }
    }
}
