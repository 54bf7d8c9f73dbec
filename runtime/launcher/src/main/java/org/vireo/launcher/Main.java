// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The daemon: {@code vireo run}. Exit codes: 0 it was stopped, 1 something does not work, 2 the command line is wrong, each with one
 * line on the standard error. The standard output gets one line, when everything that was asked for works.
 */
public final class Main {
    private static final int STOP_MILLIS = 10_000;
    private static final long SAME_NANOS = 1_000_000_000;

    private Main() {
    }

    /**
     * Runs until it is stopped.
     *
     * @param arguments of {@code run}
     */
    public static void main(String[] arguments) {
        RunOptions options;
        try {
            options = RunOptions.parse(List.of(arguments));
        } catch (RunOptions.UsageException e) {
            System.err.println("vireo run: " + e.getMessage());
            System.exit(2);
            return;
        }
        System.setProperty("java.util.logging.config.class", LogSetup.class.getName());
        Logger log = LoggerFactory.getLogger(Main.class);
        LogSetup.level(options.logLevel());
        int code = 1;
        try (Storage storage = Storage.create()) {
            Daemon daemon = new Daemon(Distribution.current().bundles(), storage.folder(), options.properties());
            code = run(daemon, log);
        } catch (IOException e) {
            System.err.println("vireo run: " + e.getMessage());
        }
        System.exit(code);
    }

    private static int run(Daemon daemon, Logger log) throws IOException {
        AtomicInteger signals = stopOnSignals(daemon, log);
        int code = 0;
        try {
            Daemon.Started what = daemon.start();
            System.out.println("vireo: ready, " + what.nics() + (what.nics() == 1 ? " NIC" : " NICs")
                    + (what.problems().isEmpty() ? "" : "; " + what.problems()));
            System.out.flush();
        } catch (Daemon.StartException e) {
            // a start that a signal interrupts did not fail
            if (signals.get() == 0) {
                System.err.println("vireo run: " + e.getMessage());
                code = e.usage() ? 2 : 1;
            }
            daemon.stop();
        }
        try {
            daemon.await(0);
        } catch (InterruptedException e) {
            // nobody interrupts the main thread, and if someone does, it means: end
            daemon.stop();
        }
        return code;
    }

    /** The first signal stops; another one ends at once, unless it is the same that was sent to the process and to its group. */
    private static AtomicInteger stopOnSignals(Daemon daemon, Logger log) {
        AtomicInteger count = new AtomicInteger();
        AtomicLong first = new AtomicLong();
        Signals.onEnd(name -> {
            if (count.incrementAndGet() > 1) {
                if (System.nanoTime() - first.get() < SAME_NANOS) {
                    return;
                }
                log.error("{} again: ending at once", name);
                Runtime.getRuntime().halt(1);
            }
            first.set(System.nanoTime());
            log.info("{}: stopping", name);
            Thread watch = new Thread(() -> haltIfStuck(daemon, log), "vireo-stop-watch");
            watch.setDaemon(true);
            watch.start();
            daemon.stop();
        });
        return count;
    }

    private static void haltIfStuck(Daemon daemon, Logger log) {
        try {
            if (!daemon.await(STOP_MILLIS)) {
                log.error("not stopped within {} s: ending at once", STOP_MILLIS / 1000);
                Runtime.getRuntime().halt(1);
            }
        } catch (InterruptedException | IOException e) {
            log.debug("waiting for the end", e);
        }
    }
}
