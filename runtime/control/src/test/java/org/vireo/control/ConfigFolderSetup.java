// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A folder of configuration files, the daemon whose NICs and netdevs they are, and a clock that is driven by hand. */
abstract class ConfigFolderSetup {
    static final String NETDEV = "netdev.tap-net0.cfg";
    static final String NIC = "nic-nic0.cfg";

    @TempDir
    Path work;

    final FakeFramework framework = new FakeFramework();
    final FakeNics nics = new FakeNics();
    final FakeHandovers handovers = new FakeHandovers();
    /** What was said and is not expected yet. */
    final List<String> said = Collections.synchronizedList(new ArrayList<>());
    private long now = 1;
    Path folder;
    Operations operations;
    ConfigFolder config;

    @BeforeEach
    void prepare() throws IOException {
        folder = Files.createDirectory(work.resolve("config"));
        operations = new Operations(new NetdevStore(framework.context(), framework.configurationAdmin()), () -> nics, () -> handovers);
        config = make(folder);
    }

    ConfigFolder make(Path path) {
        Set<String> given = Set.of("netdev given", "NIC given");
        return new ConfigFolder(path, operations, this::said, given::contains, () -> now);
    }

    private void said(String event, Map<String, ?> data) {
        Object what = event.equals("CONFIG_APPLIED") ? data.get("done") : data.get("reason");
        String file = Path.of(data.get("file").toString()).getFileName().toString();
        said.add(event.substring("CONFIG_".length()) + " " + file + ": " + what);
    }

    void begin(BooleanSupplier active) throws IOException {
        config.read();
        config.activeWhen(active);
    }

    void begin() throws IOException {
        begin(() -> true);
    }

    Path write(String name, String... lines) throws IOException {
        return Files.write(folder.resolve(name), List.of(lines));
    }

    void pass(long millis) {
        now += TimeUnit.MILLISECONDS.toNanos(millis);
        config.look();
    }

    /** What has changed is seen, and a second later it counts. */
    void settle() {
        for (int i = 0; i < 4; i++) {
            pass(500);
        }
    }

    void nothingElse() {
        for (int i = 0; i < 20; i++) {
            pass(500);
        }
        assertEquals(List.of(), said);
    }

    /** What was said since the last time, all of it. */
    void expect(String... messages) {
        List<String> all = List.copyOf(said);
        said.clear();
        assertEquals(messages.length, all.size(), all.toString());
        for (int i = 0; i < messages.length; i++) {
            assertTrue(all.get(i).contains(messages[i]), all.get(i) + " instead of " + messages[i]);
        }
        nothingElse();
    }

    void startBoth() throws IOException {
        write(NETDEV, "ifname=tap0");
        write(NIC, "netdev=net0", "socket=/s0");
        begin();
        expect("APPLIED netdev.tap-net0.cfg: netdev net0 is made", "APPLIED nic-nic0.cfg: NIC nic0 is made");
    }

    Map<String, String> options(String nic) {
        return nics.nics.get(nic).options();
    }
}
