// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The way to network namespaces and TAPs without root: this very command again, as root of a user namespace. */
public final class UserNamespace {
    private static final String INNER = "VIREO_INSIDE_USER_NAMESPACE";
    private static final List<String> UNSHARE = List.of("unshare", "--user", "--map-root-user", "--net", "--");

    private UserNamespace() {
    }

    /** Whether this process is root of a user namespace that it made. */
    static boolean isInside() {
        return System.getenv(INNER) != null;
    }

    /** Whether this process is not root, nor already inside. */
    public static boolean isNeeded() throws BenchException {
        if (isInside()) {
            return false;
        }
        try {
            for (String l : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (l.startsWith("Uid:")) {
                    return !l.strip().split("\\s+")[2].equals("0");
                }
            }
        } catch (IOException e) {
            throw new BenchException("/proc/self/status: " + e.getMessage(), e);
        }
        throw new BenchException("/proc/self/status names no user");
    }

    /**
     * Runs the command again inside.
     *
     * @param command what the command {@code vireo} was given
     * @return its exit code
     * @throws BenchException user namespaces are not permitted
     */
    public static int run(List<String> command) throws BenchException {
        try {
            permit();
        } catch (IOException e) {
            throw new BenchException("cannot run unshare (package util-linux): " + e.getMessage(), e);
        }
        return again(UNSHARE, INNER, command);
    }

    /**
     * Runs the command again.
     *
     * @param unshare how
     * @param marker environment variable that it sees
     * @param command what the command {@code vireo} was given
     * @return its exit code
     */
    static int again(List<String> unshare, String marker, List<String> command) throws BenchException {
        try {
            List<String> c = new ArrayList<>(unshare);
            c.add(Tools.vireo().toString());
            c.addAll(command);
            ProcessBuilder b = new ProcessBuilder(c).inheritIO();
            b.environment().put(marker, "1");
            b.environment().put("VIREO_DIST", Tools.home().toString());
            Process p = b.start();
            Thread hook = new Thread(() -> {
                p.destroy();
                waitFor(p);
            }, "inner");
            Runtime.getRuntime().addShutdownHook(hook);
            int code = waitFor(p);
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // this process was told to end too; the hook does not wait long
            }
            return code;
        } catch (IOException e) {
            throw new BenchException("cannot run unshare (package util-linux): " + e.getMessage(), e);
        }
    }

    private static void permit() throws IOException, BenchException {
        List<String> c = new ArrayList<>(UNSHARE);
        c.add("true");
        Process p = new ProcessBuilder(c).redirectErrorStream(true).start();
        p.getOutputStream().close();
        String said = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
        if (waitFor(p) != 0) {
            throw new BenchException("run this as root: user namespaces, the way without, are not permitted here (" + said
                    + "; sysctl kernel.apparmor_restrict_unprivileged_userns=0 or kernel.unprivileged_userns_clone=1 permits them)");
        }
    }

    private static int waitFor(Process p) {
        while (true) {
            try {
                return p.waitFor();
            } catch (InterruptedException e) {
                // nobody interrupts this thread for anything but its end, which is the process's
                p.destroy();
            }
        }
    }
}
