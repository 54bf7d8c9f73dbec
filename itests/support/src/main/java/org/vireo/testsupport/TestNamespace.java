// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A network name space that {@code ip netns add} makes and {@link #close()} deletes, with its loopback up. */
public final class TestNamespace implements AutoCloseable {
    private final String name;
    private final Runnable delete;

    private TestNamespace(String name) {
        this.name = name;
        TestProcess.run("ip", "netns", "add", name);
        delete = Cleanup.add(() -> TestProcess.run("ip", "netns", "del", name));
    }

    /**
     * Makes one with a name of its own.
     *
     * @return the name space
     */
    public static TestNamespace create() {
        TestNamespace n = new TestNamespace(Cleanup.name("vns"));
        n.run("ip", "link", "set", "lo", "up");
        return n;
    }

    /**
     * Its name.
     *
     * @return as in {@code ip netns}
     */
    public String name() {
        return name;
    }

    /**
     * Its file.
     *
     * @return for setns(2)
     */
    public Path path() {
        return Path.of("/run/netns", name);
    }

    /**
     * A command that runs in it.
     *
     * @param command with its arguments
     * @return the command with {@code ip netns exec} before it
     */
    public List<String> command(List<String> command) {
        List<String> c = new ArrayList<>(List.of("ip", "netns", "exec", name));
        c.addAll(command);
        return c;
    }

    /**
     * Runs a command in it to its end.
     *
     * @param command with its arguments
     * @return its standard output
     */
    public String run(String... command) {
        return TestProcess.run(command(List.of(command)).toArray(String[]::new));
    }

    /**
     * Frames that an interface in it has received. What a guest transmits, its TAP's interface receives.
     *
     * @param interfaceName its name
     * @return how many; 0 if there is no such interface
     */
    public long framesReceived(String interfaceName) {
        return run("cat", "/proc/net/dev").lines().map(String::strip).filter(l -> l.startsWith(interfaceName + ":"))
                .mapToLong(l -> Long.parseLong(l.split("\\s+")[2])).findFirst().orElse(0);
    }

    /** Deletes it. */
    @Override
    public void close() {
        Cleanup.end(delete);
    }
}
