// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A network interface that ip(8) makes and {@link #close()} deletes: a persistent TAP, a veth pair or a bridge. IPv6 is off on it, so
 * that the kernel sends nothing of its own.
 */
public final class TestTap implements AutoCloseable {
    private final String name;
    private final String peer;
    private final TestNamespace namespace;
    private final Runnable delete;

    private TestTap(TestNamespace namespace, String name, String peer, String... make) {
        this.name = name;
        this.peer = peer;
        this.namespace = namespace;
        run(make);
        delete = Cleanup.add(this::delete);
        quiet(name);
        if (peer != null) {
            quiet(peer);
        }
    }

    /**
     * A name for an interface, unique on this machine.
     *
     * @return at most 15 characters
     */
    public static String freshName() {
        return Cleanup.name("vt");
    }

    /**
     * Makes a persistent TAP, down.
     *
     * @param flags of {@code ip tuntap add}: {@code multi_queue}, {@code vnet_hdr}, or {@code user NAME}
     * @return the interface
     */
    public static TestTap tap(String... flags) {
        return tap(null, flags);
    }

    /**
     * Makes a persistent TAP in a name space, down.
     *
     * @param namespace the name space, or null: this process's
     * @param flags of {@code ip tuntap add}
     * @return the interface
     */
    public static TestTap tap(TestNamespace namespace, String... flags) {
        String name = freshName();
        List<String> c = new ArrayList<>(List.of("ip", "tuntap", "add", "dev", name, "mode", "tap"));
        c.addAll(Arrays.asList(flags));
        return new TestTap(namespace, name, null, c.toArray(String[]::new));
    }

    /**
     * Makes a veth pair, both ends down.
     *
     * @param namespace the name space, or null: this process's
     * @return the interface; {@link #peer()} is the other end
     */
    public static TestTap veth(TestNamespace namespace) {
        String name = freshName();
        String peer = freshName();
        return new TestTap(namespace, name, peer, "ip", "link", "add", name, "type", "veth", "peer", "name", peer);
    }

    /**
     * Makes a bridge, down.
     *
     * @param namespace the name space, or null: this process's
     * @return the interface
     */
    public static TestTap bridge(TestNamespace namespace) {
        String name = freshName();
        return new TestTap(namespace, name, null, "ip", "link", "add", name, "type", "bridge");
    }

    /**
     * Its name.
     *
     * @return the name
     */
    public String name() {
        return name;
    }

    /**
     * The other end of a veth pair.
     *
     * @return its name, or null
     */
    public String peer() {
        return peer;
    }

    /**
     * Brings it up, and its peer.
     *
     * @return this
     */
    public TestTap up() {
        run("ip", "link", "set", name, "up");
        if (peer != null) {
            run("ip", "link", "set", peer, "up");
        }
        return this;
    }

    /**
     * Brings it down.
     *
     * @return this
     */
    public TestTap down() {
        run("ip", "link", "set", name, "down");
        return this;
    }

    /**
     * Gives it an address.
     *
     * @param cidr 192.0.2.1/24
     * @return this
     */
    public TestTap address(String cidr) {
        run("ip", "addr", "add", cidr, "dev", name);
        return this;
    }

    /**
     * Puts it into a bridge.
     *
     * @param bridge the bridge
     * @return this
     */
    public TestTap master(TestTap bridge) {
        run("ip", "link", "set", name, "master", bridge.name);
        return this;
    }

    /**
     * Whether an interface exists in this process's name space.
     *
     * @param name its name
     * @return whether
     */
    public static boolean exists(String name) {
        return Files.exists(Path.of("/sys/class/net", name));
    }

    /**
     * One of the kernel's counters, in this process's name space.
     *
     * @param counter tx_dropped, rx_packets, ...
     * @return its value
     */
    public long statistic(String counter) {
        try {
            return Long.parseLong(Files.readString(Path.of("/sys/class/net", name, "statistics", counter)).strip());
        } catch (IOException e) {
            throw new java.io.UncheckedIOException("no counter " + counter + " of " + name, e);
        }
    }

    /**
     * Runs a command where the interface is, to its end.
     *
     * @param command with its arguments
     * @return its standard output
     */
    public String run(String... command) {
        return namespace == null ? TestProcess.run(command) : namespace.run(command);
    }

    /**
     * Keeps the kernel from sending anything of its own on an interface.
     *
     * @param interfaceName in this process's name space
     */
    public static void silence(String interfaceName) {
        TestProcess.run("sh", "-c", quietCommand(interfaceName));
    }

    private void quiet(String interfaceName) {
        run("sh", "-c", quietCommand(interfaceName));
    }

    private static String quietCommand(String interfaceName) {
        String file = "/proc/sys/net/ipv6/conf/" + interfaceName + "/disable_ipv6";
        return "[ ! -e " + file + " ] || echo 1 > " + file;
    }

    private void delete() {
        // a test may have deleted it, or its name space
        run("sh", "-c", "! ip link show " + name + " >/dev/null 2>&1 || ip link del " + name);
    }

    /** Deletes it, if it is still there. */
    @Override
    public void close() {
        Cleanup.end(delete);
    }
}
