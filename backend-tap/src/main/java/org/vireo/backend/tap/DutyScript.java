// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.NetdevException;

/** Runs the programs of the options script and downscript: with the interface's name as the only argument, as QEMU does. */
final class DutyScript {
    private static final int MOST_OUTPUT = 2000;

    private DutyScript() {
    }

    static void run(String netdev, String option, String path, String ifname, long deadlineNanos) throws NetdevException {
        String what = "netdev " + netdev + ": " + option + "=" + path + " for " + ifname;
        Path output = null;
        Process p = null;
        try {
            // a file and no pipe: a daemon that the script leaves behind would keep a pipe open
            output = Files.createTempFile("vireo-" + option, ".log");
            p = new ProcessBuilder(path, ifname).redirectErrorStream(true).redirectOutput(output.toFile())
                    .redirectInput(new File("/dev/null")).start();
            if (!p.waitFor(Math.max(0, deadlineNanos - System.nanoTime()), TimeUnit.NANOSECONDS)) {
                throw new NetdevException(what + " did not end in time and was killed; its output: " + text(output));
            }
            if (p.exitValue() != 0) {
                throw new NetdevException(what + " ended with exit code " + p.exitValue() + "; its output: " + text(output));
            }
        } catch (IOException e) {
            throw new NetdevException(what + " cannot be run: " + e.getMessage() + "; it has to be an executable file", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NetdevException(what + " was interrupted and killed", e);
        } finally {
            end(p, output);
        }
    }

    private static void end(Process p, Path output) {
        if (p != null && p.isAlive()) {
            p.descendants().forEach(ProcessHandle::destroyForcibly);
            p.destroyForcibly();
        }
        if (output != null && !output.toFile().delete()) {
            output.toFile().deleteOnExit();
        }
    }

    private static String text(Path output) throws IOException {
        try (InputStream in = Files.newInputStream(output)) {
            String s = new String(in.readNBytes(MOST_OUTPUT), StandardCharsets.UTF_8).strip();
            return s.isEmpty() ? "(none)" : s;
        }
    }
}
