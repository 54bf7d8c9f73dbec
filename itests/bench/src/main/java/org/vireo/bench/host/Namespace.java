// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A network namespace without a name: it lives as long as a process that waits in it, so nothing stays behind however this process
 * ends. {@code /sys} stays the old one in it.
 */
public final class Namespace {
    /** {@link #counter} of what an interface has dropped instead of transmitting it; a TAP, of what nobody read in time. */
    public static final int TX_DROP = 11;

    private final Stage stage;
    private final String path;
    private final String name;
    private final Program holder;

    /**
     * Makes one, with its loopback up and without IPv6, so that only the frames that a run counts are there.
     *
     * @param stage what it belongs to
     * @param name for messages
     * @throws BenchException not permitted
     */
    public Namespace(Stage stage, String name) throws BenchException {
        this.stage = stage;
        this.name = name;
        holder = stage.start("namespace " + name, List.of("unshare", "--net", "sh", "-c", "ip link set lo up && "
                + "for f in all default; do echo 1 2>/dev/null >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done; echo made; exec cat"));
        holder.await("made", Duration.ofSeconds(10));
        path = "/proc/" + holder.pid() + "/ns/net";
    }

    private Namespace(Stage stage) {
        this.stage = stage;
        name = "own";
        holder = null;
        path = null;
    }

    /** The one that this process is in. */
    public static Namespace own(Stage stage) {
        return new Namespace(stage);
    }

    /** The process that keeps it. */
    public Program holder() {
        return holder;
    }

    /** Ends it, with what still runs in it going on. */
    public void close() {
        stage.end(holder);
    }

    /** A command that runs in it; its pid is the command's. */
    List<String> command(List<String> command) {
        if (path == null) {
            return command;
        }
        List<String> c = new ArrayList<>(List.of("nsenter", "--net=" + path, "--"));
        c.addAll(command);
        return c;
    }

    /** Starts a program in it. */
    public Program start(String program, List<String> command) throws BenchException {
        return stage.start(program + " in the " + name + "'s namespace", command(command));
    }

    /** Starts a program in it, with additions to its environment. */
    public Program start(String program, List<String> command, Map<String, String> environment) throws BenchException {
        return stage.start(program, command(command), environment);
    }

    /** Runs a command in it to its end; it must succeed. */
    public List<String> run(String... command) throws BenchException {
        return stage.run(command(List.of(command)));
    }

    /** A column of {@code /proc/net/dev} for one interface, as proc(5) counts them from 0 after the colon; -1 if it is not there. */
    public long counter(String itf, int column) throws BenchException {
        try {
            for (String l : Files.readAllLines(Path.of("/proc/" + (holder == null ? "self" : holder.pid()) + "/net/dev"))) {
                int colon = l.indexOf(':');
                if (colon > 0 && l.substring(0, colon).strip().equals(itf)) {
                    return Long.parseLong(l.substring(colon + 1).strip().split("\\s+")[column]);
                }
            }
            return -1;
        } catch (IOException e) {
            throw new BenchException("namespace " + name + ": " + e.getMessage(), e);
        }
    }
}
