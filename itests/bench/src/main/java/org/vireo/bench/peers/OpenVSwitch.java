// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/** Open vSwitch with DPDK, with a database and a folder of its own: one bridge, whose own interface has the bridge's name. One thread. */
final class OpenVSwitch implements AutoCloseable {
    static final String PACKAGE = "openvswitch-switch-dpdk";
    static final String PROGRAM = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
    static final String BRIDGE = "br0";
    private static final Path HUGE_PAGES = Path.of("/proc/sys/vm/nr_hugepages");
    private static final int PAGES = 300;
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Stage stage;
    private final Namespace in;
    private final Path folder;
    private final String pagesBefore;
    private Program daemon;

    /**
     * Starts it.
     *
     * @param stage what it belongs to
     * @param in the namespace that its bridge is in
     */
    OpenVSwitch(Stage stage, Namespace in) throws BenchException {
        this.stage = stage;
        this.in = in;
        folder = stage.folder();
        pagesBefore = reserve();
        in.run("ovsdb-tool", "create", folder + "/conf.db", "/usr/share/openvswitch/vswitch.ovsschema");
        in.start("ovsdb-server", List.of("ovsdb-server", folder + "/conf.db", "--remote=punix:" + database(), "--no-chdir",
                "--unixctl=" + folder + "/ovsdb.ctl", "--log-file=" + folder + "/ovsdb.log"), environment());
        vsctl("--retry", "--no-wait", "init");
        vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true", "other_config:dpdk-socket-mem=256",
                "other_config:dpdk-extra=--iova-mode=va --no-pci --in-memory --no-telemetry");
        start();
        vsctl("add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev");
    }

    private static String reserve() throws BenchException {
        try {
            String before = Files.readString(HUGE_PAGES).strip();
            if (Integer.parseInt(before) < PAGES) {
                Files.writeString(HUGE_PAGES, String.valueOf(PAGES));
            }
            return before;
        } catch (IOException e) {
            throw new BenchException(HUGE_PAGES + ": " + e.getMessage(), e);
        }
    }

    private Map<String, String> environment() {
        String f = folder.toString();
        return Map.of("RUNTIME_DIRECTORY", f, "OVS_RUNDIR", f, "OVS_DBDIR", f, "OVS_LOGDIR", f);
    }

    private Path database() {
        return folder.resolve("db.sock");
    }

    private void start() throws BenchException {
        daemon = in.start("ovs-vswitchd", List.of("nice", "-n", "19", PROGRAM, "unix:" + database(), "--no-chdir"), environment());
    }

    private void vsctl(String... arguments) throws BenchException {
        List<String> c = new java.util.ArrayList<>(List.of("ovs-vsctl", "--db=unix:" + database(), "--timeout=30"));
        c.addAll(List.of(arguments));
        Program p = in.start("ovs-vsctl", c, environment());
        try {
            p.result(LIMIT);
        } catch (BenchException e) {
            throw new BenchException(e.getMessage() + "; ovs-vswitchd: " + (daemon == null ? "not started" : daemon.said()), e);
        } finally {
            stage.end(p);
        }
    }

    /** Where its sockets are. */
    Path folder() {
        return folder;
    }

    /** A port that listens: the socket is in the folder, named as the port. */
    void addServer(String port) throws BenchException {
        vsctl("add-port", BRIDGE, port, "--", "set", "interface", port, "type=dpdkvhostuser");
    }

    /** A port that connects. */
    void addClient(String port, Path socket) throws BenchException {
        vsctl("add-port", BRIDGE, port, "--", "set", "interface", port, "type=dpdkvhostuserclient", "options:vhost-server-path=" + socket);
    }

    /**
     * Kills it and starts it again.
     *
     * @param left a socket that it leaves behind and would not replace, or null
     */
    void restart(Path left) throws BenchException {
        stage.run(List.of("kill", "-KILL", String.valueOf(daemon.pid())));
        daemon.awaitEnd(LIMIT);
        stage.end(daemon);
        if (left != null) {
            Tools.removeSocket(left);
        }
        start();
    }

    @Override
    public void close() throws BenchException {
        stage.end(daemon);
        try {
            Files.writeString(HUGE_PAGES, pagesBefore);
        } catch (IOException e) {
            throw new BenchException(HUGE_PAGES + ": " + e.getMessage(), e);
        }
    }
}
