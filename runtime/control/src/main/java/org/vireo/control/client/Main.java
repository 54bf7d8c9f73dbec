// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.client;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import org.vireo.control.json.Json;
import org.vireo.control.qmp.OptionSyntax;

/**
 * The command line's part that asks a running daemon: {@code vireo nic}, {@code netdev}, {@code backend}, {@code migrate},
 * {@code standby}, {@code upgrade}, {@code qmp}.
 * A process of its own, not part of any framework. Exit codes: 0 done, 1 refused or failed, 2 the command line is wrong.
 */
public final class Main {
    private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final List<String> COMMANDS = List.of("nic", "netdev", "backend", "migrate", "standby", "upgrade", "qmp");
    /** Which command an option means something to; --json and --qmp any. */
    private static final Map<String, String> TAKERS = Map.of("--nics", "migrate", "--detach", "migrate", "--build", "upgrade",
            "--return", "upgrade", "--dry-run", "upgrade", "--to", "backend");

    private final PrintStream out;
    private final Deque<String> arguments;
    private final boolean json;
    private final boolean detach;
    private final String socket;
    private final String nics;
    private final String build;
    private final String to;
    private final boolean back;
    private final boolean dryRun;

    /** The command line is wrong; the message says where. */
    static final class UsageException extends Exception {
        private static final long serialVersionUID = 1L;

        UsageException(String message) {
            super(message);
        }
    }

    private Main(List<String> given, Map<String, String> environment, PrintStream out) throws UsageException {
        this.out = out;
        List<String> left = new ArrayList<>(given);
        json = left.remove("--json");
        detach = left.remove("--detach");
        String path = option(left, "--qmp");
        socket = path == null ? environment.get("VIREO_QMP") : path;
        nics = option(left, "--nics");
        build = option(left, "--build");
        to = option(left, "--to");
        back = left.remove("--return");
        dryRun = left.remove("--dry-run");
        for (String s : left) {
            if (s.startsWith("--")) {
                throw new UsageException("unknown option " + s
                        + "; known are --build, --detach, --dry-run, --json, --nics, --qmp, --return, --to");
            }
        }
        arguments = new ArrayDeque<>(left);
        for (String s : given) {
            String taker = TAKERS.get(s.replaceFirst("=.*", ""));
            if (taker != null && COMMANDS.contains(arguments.peek()) && !taker.equals(arguments.peek())) {
                throw new UsageException(s + " means nothing to " + arguments.peek() + "; it is for " + taker);
            }
        }
    }

    private static String option(List<String> left, String name) throws UsageException {
        for (int i = 0; i < left.size(); i++) {
            String s = left.get(i);
            if (s.startsWith(name + "=")) {
                left.remove(i);
                return s.substring(name.length() + 1);
            }
            if (s.equals(name)) {
                if (i + 1 == left.size()) {
                    throw new UsageException(name + " needs a value");
                }
                left.remove(i);
                return left.remove(i);
            }
        }
        return null;
    }

    /**
     * Runs one command.
     *
     * @param arguments the command and what follows it
     */
    public static void main(String[] arguments) {
        System.exit(run(List.of(arguments), System.getenv(), System.out, System.err));
    }

    /**
     * Runs one command.
     *
     * @param arguments the command and what follows it
     * @param environment VIREO_QMP in it names the socket if the arguments do not
     * @param out takes the answer
     * @param err takes one line if it does not work
     * @return the exit code
     */
    static int run(List<String> arguments, Map<String, String> environment, PrintStream out, PrintStream err) {
        try {
            return new Main(arguments, environment, out).run();
        } catch (UsageException e) {
            err.println("vireo: " + e.getMessage());
            return 2;
        } catch (IOException | QmpClient.RefusedException e) {
            err.println("vireo: " + e.getMessage());
            return 1;
        }
    }

    private int run() throws UsageException, IOException, QmpClient.RefusedException {
        String command = next("a command is missing: " + String.join(", ", COMMANDS));
        return switch (command) {
            case "nic" -> nic(word("list"));
            case "netdev" -> netdev(word("list"));
            case "backend" -> backend(word("list"));
            case "migrate" -> migrate(next("migrate needs where to: unix:PATH"));
            case "standby" -> standby();
            case "upgrade" -> upgrade();
            case "qmp" -> qmp();
            default -> throw new UsageException("unknown command " + command
                    + "; known are " + String.join(", ", COMMANDS));
        };
    }

    /** The last thing that is looked at: a wrong word is told without a daemon. */
    private QmpClient connect() throws UsageException, IOException, QmpClient.RefusedException {
        if (socket == null || socket.isEmpty()) {
            throw new UsageException("which daemon? Give --qmp PATH or set VIREO_QMP, as in 'vireo run --qmp PATH'");
        }
        return QmpClient.connect(Path.of(socket));
    }

    private String next(String missing) throws UsageException {
        if (arguments.isEmpty()) {
            throw new UsageException(missing);
        }
        return arguments.pop();
    }

    private String word(String usual) {
        return arguments.isEmpty() ? usual : arguments.pop();
    }

    private void end() throws UsageException {
        if (!arguments.isEmpty()) {
            throw new UsageException("unexpected argument " + arguments.peek());
        }
    }

    /** An id stands alone; what has a comma or an equals sign in it is not one. */
    private String id(String missing, String form) throws UsageException {
        String id = next(missing);
        if (id.indexOf('=') >= 0 || id.indexOf(',') >= 0) {
            throw new UsageException("'" + id + "' is no id; write " + form);
        }
        return id;
    }

    private int nic(String verb) throws UsageException, IOException, QmpClient.RefusedException {
        return switch (verb) {
            case "list" -> list("query-nics", Table.nics());
            case "add" -> change("device_add", options("driver", "vireo nic add id=nic0,netdev=net0,socket=PATH"));
            case "del" -> change("device_del", Map.of("id", id("nic del needs an id", "vireo nic del ID, as in vireo nic del nic0")));
            default -> throw new UsageException("nic " + verb + ": write nic list, nic add OPTIONS or nic del ID");
        };
    }

    private int netdev(String verb) throws UsageException, IOException, QmpClient.RefusedException {
        return switch (verb) {
            case "list" -> list("query-netdevs", Table.netdevs());
            case "add" -> change("netdev_add", options("type", "vireo netdev add tap,id=net0,ifname=tap0"));
            case "del" -> change("netdev_del",
                    Map.of("id", id("netdev del needs an id", "vireo netdev del ID, as in vireo netdev del net0")));
            case "change" -> {
                String example = "as in vireo netdev change net0 sndbuf=65536";
                Map<String, String> with = new LinkedHashMap<>();
                with.put("id", id("netdev change needs a netdev, " + example, "vireo netdev change ID OPTION=VALUE[,...], " + example));
                with.putAll(plainOptions(oneWord("", next("netdev change needs what is to change, " + example))));
                yield change("netdev-change", with);
            }
            default -> throw new UsageException("netdev " + verb
                    + ": write netdev list, netdev add OPTIONS, netdev change ID OPTIONS or netdev del ID");
        };
    }

    private int backend(String verb) throws UsageException, IOException, QmpClient.RefusedException {
        return switch (verb) {
            case "list" -> list("query-backends", Table.backends());
            case "install" -> change("backend-install", Map.of("path", jar()));
            case "update" -> change("backend-update", Map.of("bundle", next("backend update needs a bundle's name or id, and a jar"),
                    "path", jar()));
            case "remove" -> change("backend-remove", Map.of("bundle", next("backend remove needs a bundle's name or id")));
            case "swap" -> swap(id("backend swap needs a netdev, as in vireo backend swap net0 --to TYPE",
                    "vireo backend swap ID --to TYPE[,OPTION=VALUE...], as in vireo backend swap net0 --to tap,ifname=tap0"));
            default -> throw new UsageException("backend " + verb + ": write backend list, install JAR, update NAME JAR, remove NAME"
                    + " or swap NETDEV --to TYPE");
        };
    }

    private String jar() throws UsageException {
        return Path.of(next("the bundle's jar file is missing")).toAbsolutePath().toString();
    }

    private static Map<String, String> plainOptions(String text) throws UsageException {
        Map<String, String> options;
        try {
            options = OptionSyntax.parse(text, "");
        } catch (OptionSyntax.SyntaxException e) {
            throw new UsageException(text + ": " + e.getMessage());
        }
        for (String fixed : List.of("id", "type")) {
            if (options.containsKey(fixed)) {
                throw new UsageException(text + ": '" + fixed + "' is not an option of the netdev that can be changed");
            }
        }
        return options;
    }

    /** The options of the other type follow its name, or are a word of their own. */
    private int swap(String netdev) throws UsageException, IOException, QmpClient.RefusedException {
        if (to == null) {
            throw new UsageException("backend swap " + netdev + ": which type is it to be? --to TYPE[,OPTION=VALUE...]");
        }
        int comma = to.indexOf(',');
        String type = comma < 0 ? to : to.substring(0, comma);
        if (type.isEmpty() || type.indexOf('=') >= 0) {
            throw new UsageException("--to " + to + ": begin with the type, as in --to tap,ifname=tap0");
        }
        Map<String, String> with = new LinkedHashMap<>();
        if (comma >= 0) {
            with.putAll(plainOptions(oneWord("--to ", to).substring(comma + 1)));
        } else if (!arguments.isEmpty()) {
            with.putAll(plainOptions(oneWord("--to " + to + ",", arguments.pop())));
        }
        with.put("id", netdev);
        with.put("type", type);
        return change("netdev-swap", with);
    }

    /** What follows options would be more of them, in words of their own. */
    private String oneWord(String before, String text) throws UsageException {
        if (!arguments.isEmpty() && arguments.stream().allMatch(a -> a.indexOf('=') > 0)) {
            throw new UsageException("unexpected argument " + arguments.peek() + ": options go behind a comma, without blanks: " + before
                    + text + "," + String.join(",", arguments));
        }
        return text;
    }

    private Map<String, String> options(String implied, String example) throws UsageException {
        String text = oneWord("", next("the options are missing, as in " + example));
        try {
            return OptionSyntax.parse(text, implied);
        } catch (OptionSyntax.SyntaxException e) {
            throw new UsageException(text + ": " + e.getMessage());
        }
    }

    private int list(String query, Table table) throws UsageException, IOException, QmpClient.RefusedException {
        end();
        try (QmpClient c = connect()) {
            Object answer = c.execute(query, Map.of());
            out.print(json ? Json.text(answer) + System.lineSeparator() : table.add(answer));
            return 0;
        }
    }

    private int change(String command, Map<String, ?> with) throws UsageException, IOException, QmpClient.RefusedException {
        end();
        try (QmpClient c = connect()) {
            Object answer = c.execute(command, with);
            if (json) {
                out.println(Json.text(answer));
            }
            return 0;
        }
    }

    private int migrate(String uri) throws UsageException, IOException, QmpClient.RefusedException {
        end();
        Map<String, Object> with = new LinkedHashMap<>();
        with.put("uri", uri);
        if (nics != null) {
            with.put("nics", Arrays.asList(nics.split(",")));
        }
        try (QmpClient c = connect()) {
            c.execute("migrate", with);
            Map<?, ?> status = Map.of("status", "setup");
            while (!detach) {
                status = (Map<?, ?>) c.execute("query-migrate", Map.of());
                if (!List.of("setup", "active", "cancelling").contains(status.get("status"))) {
                    break;
                }
                LockSupport.parkNanos(POLL_NANOS);
            }
            report(status);
            return detach || "completed".equals(status.get("status")) ? 0 : 1;
        }
    }

    private int upgrade() throws UsageException, IOException, QmpClient.RefusedException {
        end();
        if (back && build != null) {
            throw new UsageException("--return and --build at once: --return goes to the build before");
        }
        Map<String, Object> with = new LinkedHashMap<>();
        with.put("dry-run", dryRun);
        if (!back) {
            with.put("command", build == null ? System.getProperty("vireo.command", "")
                    : Path.of(build).resolve("vireo").toAbsolutePath().toString());
        }
        try (QmpClient c = connect()) {
            c.execute("upgrade", with);
            return new UpgradeProgress(c, out, json).follow();
        }
    }

    private int standby() throws UsageException, IOException, QmpClient.RefusedException {
        if (!arguments.isEmpty()) {
            return change("standby", Map.of("uri", arguments.pop()));
        }
        try (QmpClient c = connect()) {
            Map<Object, Object> status = new LinkedHashMap<>((Map<?, ?>) c.execute("query-standby", Map.of()));
            Object standbys = json ? null : status.remove("standbys");
            report(status);
            for (Object o : standbys == null ? List.of() : (List<?>) standbys) {
                Map<?, ?> one = (Map<?, ?>) o;
                List<Map<?, ?>> nics = ((List<?>) one.get("nics")).stream().<Map<?, ?>>map(n -> (Map<?, ?>) n).toList();
                out.println("standby " + one.get("pid") + ": " + (Boolean.TRUE.equals(one.get("ready")) ? ready(nics) : "prepares"));
                nics.forEach(n -> out.println("  " + fed(n)));
            }
            return 0;
        }
    }

    /** A standby that lacks a NIC would let its guest down. */
    private static String ready(List<Map<?, ?>> nics) {
        String without = nics.stream().filter(n -> !"prepared".equals(n.get("state"))).map(n -> String.valueOf(n.get("id")))
                .collect(Collectors.joining(", "));
        return without.isEmpty() ? "ready" : "ready, without " + without;
    }

    private static String fed(Map<?, ?> nic) {
        Object why = nic.get("why");
        return nic.get("id") + ": " + nic.get("state") + (why == null ? "" : ", " + why)
                + ("refused".equals(nic.get("state")) ? "; tried again" : "");
    }

    private void report(Map<?, ?> status) {
        if (json) {
            out.println(Json.text(status));
            return;
        }
        status.forEach((k, v) -> {
            if (v instanceof List<?> list && list.stream().allMatch(o -> o instanceof Map)) {
                out.println(k + ":" + (list.isEmpty() ? " none" : ""));
                list.forEach(o -> out.println("  " + line((Map<?, ?>) o)));
            } else {
                out.println(k + ": " + v);
            }
        });
    }

    /** What became of a NIC comes first, then why, then the figures. */
    private static String line(Map<?, ?> nic) {
        Map<Object, Object> left = new LinkedHashMap<>(nic);
        StringBuilder b = new StringBuilder();
        b.append(left.remove("id")).append(": ").append(Objects.requireNonNullElse(left.remove("result"), "under way"));
        Object why = left.remove("reason");
        if (why != null) {
            b.append(", ").append(why.toString().replaceFirst("^NIC \\S+: ", ""));
        }
        String figures = left.entrySet().stream().map(e -> e.getKey() + " " + e.getValue()).collect(Collectors.joining("; "));
        return figures.isEmpty() ? b.toString() : b.append(" (").append(figures).append(')').toString();
    }

    private int qmp() throws UsageException, IOException, QmpClient.RefusedException {
        if (arguments.isEmpty()) {
            try (QmpClient c = connect()) {
                return lines(c);
            }
        }
        String first = arguments.pop();
        if (first.stripLeading().startsWith("{")) {
            end();
            try (QmpClient c = connect()) {
                return raw(c, first);
            }
        }
        Map<String, Object> with;
        try {
            with = OptionSyntax.words(arguments);
        } catch (OptionSyntax.SyntaxException e) {
            throw new UsageException("qmp " + first + ": " + e.getMessage());
        }
        try (QmpClient c = connect()) {
            out.println(Json.text(c.execute(first, with)));
            return 0;
        }
    }

    private int raw(QmpClient c, String line) throws IOException {
        c.send((line + "\n").getBytes(java.nio.charset.StandardCharsets.UTF_8));
        while (true) {
            Map<?, ?> answer = c.next();
            if (!answer.containsKey("event")) {
                out.println(Json.text(answer));
                return answer.containsKey("error") ? 1 : 0;
            }
        }
    }

    private int lines(QmpClient c) throws IOException {
        int code = 0;
        java.io.BufferedReader in = new java.io.BufferedReader(
                new java.io.InputStreamReader(System.in, java.nio.charset.StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            if (!line.isBlank()) {
                code = Math.max(code, raw(c, line));
            }
        }
        return code;
    }
}
