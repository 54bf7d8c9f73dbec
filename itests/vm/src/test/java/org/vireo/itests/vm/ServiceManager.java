// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestProcess;

/** A service manager with a descriptor store and one service, a daemon: servicemanager.c, as sd_notify(3) and sd_listen_fds(3) say. */
final class ServiceManager implements AutoCloseable {
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final Path SOURCE = Vireo.ROOT.resolve("itests/vm/src/test/native/servicemanager.c");

    private final TestProcess process;
    private final Vireo daemon;
    private int starts;
    private int ends;

    /**
     * Starts it, and not yet the daemon.
     *
     * @param folder for its socket and its program
     * @param most descriptors in the store
     * @param options of the daemon's {@code run}
     */
    ServiceManager(TestNamespace namespace, Path folder, int most, String... options) {
        Path program = folder.resolve("servicemanager");
        TestProcess.run("cc", "-O1", "-Wall", "-Werror", "-o", program.toString(), SOURCE.toString());
        Path qmp = folder.resolve("qmp");
        List<String> c = new ArrayList<>(List.of(program.toString(), folder.resolve("notify").toString(), String.valueOf(most),
                Vireo.ROOT.resolve("vireo").toString(), "run", "--qmp", qmp.toString(), "--descriptor-store", "on"));
        c.addAll(List.of(options));
        process = TestProcess.start(namespace.command(c), Vireo.environment(), null);
        daemon = Vireo.of(process, qmp);
    }

    /** For clients. */
    Vireo daemon() {
        return daemon;
    }

    private List<String> said(String pattern) {
        Pattern p = Pattern.compile(pattern);
        return process.lines().stream().map(p::matcher).filter(Matcher::find).map(m -> m.group(1)).toList();
    }

    private String await(String pattern, int which) {
        Await.until(LIMIT, pattern + " for the " + which + "th time in " + process.lines(), () -> said(pattern).size() >= which);
        return said(pattern).get(which - 1);
    }

    /** Starts the daemon and waits until it is ready; its pid. */
    long start() {
        process.write("start\n");
        starts++;
        await("(vireo: ready)", starts);
        return Long.parseLong(await("^started (\\d+)", starts));
    }

    /** Ends the main process by a signal; its exit code, negative for a signal. */
    int end(int signal) {
        process.write("kill " + signal + "\n");
        ends++;
        return Integer.parseInt(await("^ended \\d+ (-?\\d+)", ends));
    }

    /** Waits for the end of another process than the main one. */
    void awaitEnd() {
        ends++;
        await("^ended \\d+ (-?\\d+)", ends);
    }

    /** Names in the store. */
    List<String> store() {
        int before = said("^store(.*)").size();
        process.write("store\n");
        String all = await("^store(.*)", before + 1).strip();
        return all.isEmpty() ? List.of() : Arrays.asList(all.split(" "));
    }

    long mainPid() {
        int before = said("^main (\\d+)").size();
        process.write("main\n");
        return Long.parseLong(await("^main (\\d+)", before + 1));
    }

    void drop(String name) {
        process.write("drop " + name + "\n");
    }

    void clear() {
        process.write("clear\n");
    }

    List<String> lines() {
        return process.lines();
    }

    @Override
    public void close() {
        // its end kills the daemon
        process.close();
    }
}
