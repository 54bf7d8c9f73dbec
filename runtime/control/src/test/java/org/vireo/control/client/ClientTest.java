// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Clock;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.control.qmp.Arguments;
import org.vireo.control.qmp.Command;
import org.vireo.control.qmp.QmpException;
import org.vireo.control.qmp.QmpServer;

@Timeout(60)
class ClientTest {
    @TempDir
    Path folder;

    private final ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();
    private final ConcurrentLinkedQueue<Map<String, Object>> states = new ConcurrentLinkedQueue<>();
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final ByteArrayOutputStream err = new ByteArrayOutputStream();
    private QmpServer server;

    @BeforeEach
    void start() throws Exception {
        Map<String, Command> commands = new LinkedHashMap<>();
        for (String name : List.of("device_add", "device_del", "netdev_add", "netdev_del")) {
            commands.put(name, a -> remember(name, a));
        }
        commands.put("migrate", a -> {
            asked.add("migrate " + a.text("uri") + " " + a.optionalTexts("nics"));
            return Map.of();
        });
        for (String name : List.of("upgrade", "standby", "netdev-swap", "netdev-change")) {
            commands.put(name, a -> remember(name, a));
        }
        commands.put("query-upgrade", a -> states.size() > 1 ? states.poll() : states.peek());
        commands.put("query-standby", a -> states.peek());
        commands.put("query-migrate", a -> states.size() > 1 ? states.poll() : states.peek());
        commands.put("query-nics", a -> List.of(Map.of("id", "nic0", "state", "running", "vmm-pid", 12, "options", Map.of("mtu", "9000"))));
        server = QmpServer.listen(folder.resolve("q"), commands, Map.of(), Clock.systemUTC());
        server.start();
    }

    private Object remember(String name, Arguments a) throws QmpException {
        Map<String, String> options = a.rest();
        asked.add(name + " " + options);
        if (options.containsValue("bad")) {
            throw QmpException.generic("it is bad");
        }
        return Map.of();
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private int run(String... arguments) {
        out.reset();
        err.reset();
        return Main.run(List.of(arguments), Map.of("VIREO_QMP", folder.resolve("q").toString()), new PrintStream(out, true),
                new PrintStream(err, true));
    }

    private String out() {
        return out.toString(StandardCharsets.UTF_8);
    }

    private String err() {
        return err.toString(StandardCharsets.UTF_8);
    }

    @Test
    void listsAreTablesOrJson() {
        assertEquals(0, run("nic", "list"), this::err);
        assertEquals("ID    STATE    NETDEV  VMM-PID  EPOCH  WHY  OPTIONS\nnic0  running  -       12       -      -    mtu=9000\n", out());
        assertEquals(0, run("--json", "nic"), this::err);
        assertTrue(out().startsWith("[{") && out().contains("\"vmm-pid\":12"), out());
    }

    @Test
    void changesUseTheSyntaxOfTheStart() {
        assertEquals(0, run("netdev", "add", "tap,id=net0,ifname=a,,b"), this::err);
        assertEquals(0, run("nic", "add", "id=nic0,netdev=net0"), this::err);
        assertEquals(0, run("nic", "del", "nic0"), this::err);
        assertEquals(List.of("netdev_add {type=tap, id=net0, ifname=a,b}", "device_add {id=nic0, netdev=net0}", "device_del {id=nic0}"),
                List.copyOf(asked));
        assertEquals(1, run("netdev", "del", "bad"));
        assertEquals("vireo: it is bad\n", err());
    }

    @Test
    void migrateWaitsForTheEnd() {
        states.addAll(List.of(Map.of("status", "setup"), Map.of("status", "active"), Map.of("status", "completed")));
        assertEquals(0, run("migrate", "unix:/m", "--nics", "a,b"), this::err);
        assertEquals("migrate unix:/m Optional[[a, b]]", asked.peek());
        assertEquals("status: completed\n", out());
        states.clear();
        states.add(Map.of("status", "completed", "nics", List.of(Map.of("id", "nic0", "result", "stayed", "reason", "NIC nic0: too old",
                "freeze-micros", 7))));
        assertEquals(0, run("migrate", "unix:/m"));
        assertTrue(out().contains("nics:\n  nic0: stayed, too old (freeze-micros 7)\n"), out());
        states.clear();
        states.add(Map.of("status", "completed", "nics", List.of()));
        assertEquals(0, run("migrate", "unix:/m"));
        assertTrue(out().contains("nics: none\n"), out());
        states.clear();
        states.add(Map.of("status", "failed", "error-desc", "nobody listens"));
        assertEquals(1, run("migrate", "unix:/m", "--json"));
        assertTrue(out().contains("\"error-desc\":\"nobody listens\""), out());
    }

    @Test
    void standbyTellsWhoStandsByWithWhat() {
        assertEquals(0, run("standby", "unix:/s"), this::err);
        assertEquals("standby {uri=unix:/s}", asked.poll());
        states.add(Map.of("role", "active", "standbys", List.of(Map.of("pid", 7, "ready", true, "nics",
                List.of(Map.of("id", "nic0", "state", "refused", "why", "no such type"), Map.of("id", "nic1", "state", "prepared"))))));
        assertEquals(0, run("standby"), this::err);
        assertEquals("role: active\nstandby 7: ready, without nic0\n  nic0: refused, no such type; tried again\n  nic1: prepared\n", out());
        assertEquals(0, run("standby", "--json"), this::err);
        assertTrue(out().contains("\"ready\":true"), out());
        states.clear();
        states.add(Map.of("role", "active", "standbys", List.of(Map.of("pid", 7, "ready", true, "nics",
                List.of(Map.of("id", "nic1", "state", "prepared"))))));
        assertEquals(0, run("standby"), this::err);
        assertEquals("role: active\nstandby 7: ready\n  nic1: prepared\n", out());
    }

    @Test
    void upgradeShowsItsChecksAndItsEnd() {
        Map<String, Object> check = Map.of("check", "start", "ok", true, "detail", "it starts");
        Map<String, Object> bad = Map.of("check", "nics", "ok", false, "detail", "NIC nic0: too new");
        states.addAll(List.of(Map.of("status", "checking", "checks", List.of()),
                Map.of("status", "moving", "checks", List.of(check), "pid", 9),
                Map.of("status", "completed", "checks", List.of(check), "pid", 9)));
        assertEquals(0, run("upgrade", "--build", "/b"), this::err);
        assertEquals("upgrade {dry-run=off, command=/b/vireo}", asked.poll());
        assertEquals("ok      start: it starts\nmoving (process 9)\ncompleted: process 9 goes on\n", out());
        states.clear();
        states.add(Map.of("status", "failed", "checks", List.of(check, bad), "error-desc", "check nics: NIC nic0: too new",
                "dry-run", true));
        assertEquals(1, run("upgrade", "--return", "--dry-run"));
        assertEquals("upgrade {dry-run=on}", asked.poll());
        assertEquals("ok      start: it starts\nFAILED  nics: NIC nic0: too new\n"
                + "failed: check nics: NIC nic0: too new; the daemon goes on as before\n", out());
        assertEquals(2, run("upgrade", "--return", "--build", "/b"));
        assertTrue(err().contains("--return and --build at once"), err());
    }

    @Test
    void qmpTakesWordsAndMessages() {
        assertEquals(0, run("qmp", "device_add", "id=nic0", "mtu=9000", "x=true"), this::err);
        assertEquals("device_add {id=nic0, mtu=9000, x=on}", asked.peek());
        assertEquals("{}\n", out());
        assertEquals(1, run("qmp", "{\"execute\":\"nope\",\"id\":3}"));
        assertTrue(out().startsWith("{\"error\":{\"class\":\"CommandNotFound\""), out());
    }

    @Test
    void mistakesAreNamed() {
        assertEquals(2, run("nic", "list", "--foo"));
        assertEquals("vireo: unknown option --foo; known are --build, --detach, --dry-run, --json, --nics, --qmp, --return, --to\n", err());
        assertEquals(2, run("nic", "add", "id=a,id=b"));
        assertTrue(err().contains("'id' is given twice"), err());
        assertEquals(2, run("netdev", "change", "net0", "id=net1,mtu=1400"));
        assertEquals("vireo: id=net1,mtu=1400: 'id' is not an option of the netdev that can be changed\n", err());
        assertEquals(2, run("netdev", "change", "net0", "mtu"));
        assertEquals("vireo: mtu: 'mtu' has no value; write mtu=VALUE\n", err());
        assertEquals(List.of(), List.copyOf(asked));
        assertEquals(2, run("nic", "frobnicate"));
        assertEquals(2, run("migrate"));
        assertEquals(2, run("frob"));
        assertEquals(1, run("nic", "list", "--qmp", "/nowhere/q"));
        assertTrue(err().startsWith("vireo: cannot talk to a daemon on /nowhere/q"), err());
        assertEquals(1, err().lines().count());
        assertEquals(2, Main.run(List.of("nic"), Map.of(), new PrintStream(out), new PrintStream(err, true)));
        assertTrue(err().contains("which daemon?"), err());
    }

    /** The options of the type that is to come follow its name, as those of a netdev that is added; or are a word of their own. */
    @Test
    void aSwapNamesTheOtherTypesOptions() {
        assertEquals(0, run("backend", "swap", "net0", "--to", "vhost-user,path=/x,reconnect-ms=200"), this::err);
        assertEquals(0, run("backend", "swap", "net0", "--to=vhost-user", "path=/x,,y"), this::err);
        assertEquals(0, run("backend", "swap", "net0", "--to", "tap"), this::err);
        assertEquals(List.of("netdev-swap {path=/x, reconnect-ms=200, id=net0, type=vhost-user}",
                "netdev-swap {path=/x,y, id=net0, type=vhost-user}", "netdev-swap {id=net0, type=tap}"), List.copyOf(asked));
    }

    /** No daemon is there, and none is looked for. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '"', textBlock = """
            backend swap net0 --to tap a=1 b=2   | unexpected argument b=2: options go behind a comma, without blanks: --to tap,a=1,b=2
            backend swap net0 --to tap,a=1 b=2   | unexpected argument b=2: options go behind a comma, without blanks: --to tap,a=1,b=2
            backend swap net0 --to tap,a=1 b     | unexpected argument b
            backend swap net0 --to a=1           | --to a=1: begin with the type, as in --to tap,ifname=tap0
            backend swap net0 --to tap,id=net1   | id=net1: 'id' is not an option of the netdev that can be changed
            backend swap net0                    | backend swap net0: which type is it to be? --to TYPE[,OPTION=VALUE...]
            backend swap path=/x --to tap        | 'path=/x' is no id; write vireo backend swap ID --to TYPE[,OPTION=VALUE...], as in \
            vireo backend swap net0 --to tap,ifname=tap0
            netdev change path=/x                | 'path=/x' is no id; write vireo netdev change ID OPTION=VALUE[,...], as in \
            vireo netdev change net0 sndbuf=65536
            netdev change net0,path=/x           | 'net0,path=/x' is no id; write vireo netdev change ID OPTION=VALUE[,...], as in \
            vireo netdev change net0 sndbuf=65536
            netdev change net0 a=1 b=2           | unexpected argument b=2: options go behind a comma, without blanks: a=1,b=2
            netdev add tap id=net0               | unexpected argument id=net0: options go behind a comma, without blanks: tap,id=net0
            netdev del id=net0                   | 'id=net0' is no id; write vireo netdev del ID, as in vireo netdev del net0
            nic del id=nic0                      | 'id=nic0' is no id; write vireo nic del ID, as in vireo nic del nic0
            nic add id=nic0 netdev=net0          | unexpected argument netdev=net0: options go behind a comma, without blanks: \
            id=nic0,netdev=net0
            migrate unix:/m --dry-run            | --dry-run means nothing to migrate; it is for upgrade
            upgrade --nics=a                     | --nics=a means nothing to upgrade; it is for migrate
            nic lst                              | nic lst: write nic list, nic add OPTIONS or nic del ID
            nic list nic0                        | unexpected argument nic0
            qmp quit now                         | qmp quit: 'now' is not KEY=VALUE
            frob                                 | unknown command frob; known are nic, netdev, backend, migrate, standby, upgrade, qmp
            """)
    void aWrongWordIsToldWithoutADaemon(String line, String message) {
        assertEquals(2, Main.run(List.of(line.split(" ")), Map.of(), new PrintStream(out), new PrintStream(err, true)));
        assertEquals("vireo: " + message + "\n", err());
    }
}
