// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.osgi.framework.Version;
import org.vireo.control.qmp.Arguments;
import org.vireo.control.qmp.Command;
import org.vireo.control.qmp.QmpException;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicStatus;

/** The QMP commands: from arguments to {@link Operations} and back. Any thread. */
final class Commands {
    private static final String BACKEND_TRANSFER = "backend-transfer";
    private static final String BREAK_BEFORE_MAKE = "break-before-make";

    private final Operations operations;
    private final Version version;
    private final Control control;
    private final Map<String, Command> all = new TreeMap<>();

    /**
     * Commands.
     *
     * @param operations does them
     * @param version what query-version tells
     * @param control what concerns the whole process
     */
    Commands(Operations operations, Version version, Control control) {
        this.operations = operations;
        this.version = version;
        this.control = control;
        all.put("query-version", asking(() -> version(version)));
        all.put("query-status", asking(this::status));
        all.put("query-commands", asking(this::names));
        all.put("query-nics", asking(() -> operations.measuredNics().stream().map(Commands::describe).toList()));
        all.put("query-netdevs", asking(this::netdevs));
        all.put("query-backends", asking(() -> operations.netdevs().backends().list().stream().map(BackendCatalog::describe).toList()));
        all.put("backend-install", this::backendInstall);
        all.put("backend-update", this::backendUpdate);
        all.put("backend-remove", this::backendRemove);
        all.put("netdev-swap", this::netdevSwap);
        all.put("netdev-change", this::netdevChange);
        all.put("device_add", this::deviceAdd);
        all.put("device_del", this::deviceDelete);
        all.put("netdev_add", this::netdevAdd);
        all.put("netdev_del", this::netdevDelete);
        all.put("migrate", this::migrate);
        all.put("migrate-incoming", this::migrateIncoming);
        all.put("migrate-set-parameters", this::migrateSetParameters);
        all.put("migrate_cancel", this::migrateCancel);
        all.put("query-migrate-parameters", asking(this::migrateParameters));
        all.put("query-migrate", asking(() -> operations.handovers().status()));
        all.put("standby", this::standby);
        all.put("query-standby", asking(() -> operations.handovers().standbyStatus()));
        all.put("upgrade", this::upgrade);
        all.put("query-upgrade", asking(() -> control.upgrade().toMap()));
        all.put("take-control", this::takeControl);
        all.put("quit", this::quit);
    }

    Map<String, Command> all() {
        return all;
    }

    /** What concerns the whole process. */
    interface Control {
        /** Ends it, in the background. */
        void quit();

        /** Its replacement by another build. */
        Upgrade upgrade();

        /**
         * The NICs of another process have come: from now on this one is what that one was.
         *
         * @param qmp where QMP is served
         * @param standby where others stand by for it, or null
         * @param previous command of the build that the other process was, or null
         * @param kept whether NICs are kept in the service manager's descriptor store
         * @param config the configuration folder, or null
         * @param known what the other process knows of its files
         * @throws NicException the socket cannot be moved there, or nothing can be stored
         */
        void take(Path qmp, String standby, Path previous, boolean kept, Path config, List<String> known) throws NicException;
    }

    /** What is answered. */
    private interface Query {
        Object ask() throws NicException;
    }

    /** A change. */
    private interface Change {
        void apply() throws NicException, Operations.NotFoundException;
    }

    private static Command asking(Query q) {
        return a -> {
            a.end();
            return answer(q);
        };
    }

    private static Object answer(Query q) throws QmpException {
        try {
            return q.ask();
        } catch (NicException e) {
            throw QmpException.generic(e);
        }
    }

    private static Object apply(Change c) throws QmpException {
        try {
            c.apply();
            return Map.of();
        } catch (NicException e) {
            throw QmpException.generic(e);
        } catch (Operations.NotFoundException e) {
            throw QmpException.deviceNotFound(e.getMessage());
        }
    }

    static Map<String, Object> version(Version v) {
        Map<String, Object> numbers = new LinkedHashMap<>();
        numbers.put("major", v.getMajor());
        numbers.put("minor", v.getMinor());
        numbers.put("micro", v.getMicro());
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("vireo", numbers);
        map.put("package", v.toString());
        return map;
    }

    private Object names() {
        List<Map<String, Object>> names = new ArrayList<>();
        names.add(Map.of("name", "qmp_capabilities"));
        all.keySet().forEach(n -> names.add(Map.of("name", n)));
        return names;
    }

    /** As QEMU's run states: the process waits for NICs, or has given them away, or simply runs. */
    private Object status() throws NicException {
        String status = "running";
        if (operations.awaiting()) {
            status = "inmigrate";
        } else if (operations.nics().isEmpty() && gaveAway()) {
            status = "postmigrate";
        }
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("running", status.equals("running"));
        map.put("status", status);
        return map;
    }

    private boolean gaveAway() {
        try {
            return "completed".equals(operations.handovers().status().get("status"));
        } catch (NicException e) {
            // without a handover nothing was given away
            return false;
        }
    }

    private static String word(Enum<?> e) {
        return e.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    private static Map<String, Object> describe(NicStatus n) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", n.id());
        if (!n.netdev().isEmpty()) {
            map.put("netdev", n.netdev());
        }
        map.put("state", word(n.state()));
        if (!n.why().isEmpty()) {
            map.put("why", n.why());
        }
        map.put("options", n.options());
        map.put("vmm-pid", n.vmmPid());
        map.put("features", n.features());
        map.put("epoch", n.epoch());
        map.put("counters", n.counters());
        return map;
    }

    /** What the frontend knows, and the configured ones that no bundle serves. */
    private Object netdevs() throws NicException {
        Map<String, Map<String, Object>> found = new LinkedHashMap<>();
        for (NetdevStore.Netdev n : operations.netdevs().list()) {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("id", n.id());
            map.put("type", n.type());
            map.put("state", "no backend");
            map.put("options", n.options());
            found.put(n.id(), map);
        }
        for (NetdevStatus n : operations.netdevStates()) {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("id", n.id());
            map.put("type", n.type());
            map.put("state", n.state());
            putIfThere(map, "nic", n.nic());
            putIfThere(map, "bundle", n.bundle());
            putIfThere(map, "state-format", n.stateFormat());
            map.put("options", n.options());
            found.put(n.id(), map);
        }
        return found.values();
    }

    private static void putIfThere(Map<String, Object> map, String key, String value) {
        if (!value.isEmpty()) {
            map.put(key, value);
        }
    }

    private Object deviceAdd(Arguments a) throws QmpException {
        Optional<String> driver = a.optionalText("driver");
        if (driver.isPresent() && !driver.get().equals("virtio-net")) {
            throw QmpException.generic("'" + driver.get() + "' is not a driver that is known here; there is virtio-net");
        }
        String id = a.text("id");
        Map<String, String> options = new LinkedHashMap<>();
        options.put("id", id);
        options.putAll(a.rest());
        return apply(() -> operations.addNic(options));
    }

    private Object deviceDelete(Arguments a) throws QmpException {
        String id = a.text("id");
        a.end();
        return apply(() -> operations.deleteNic(id));
    }

    private Object netdevAdd(Arguments a) throws QmpException {
        String type = a.text("type");
        String id = a.text("id");
        Map<String, String> options = a.rest();
        return apply(() -> operations.addNetdev(type, id, options));
    }

    private Object netdevSwap(Arguments a) throws QmpException {
        String id = a.text("id");
        String type = a.text("type");
        Map<String, String> options = a.rest();
        return apply(() -> operations.swapNetdev(id, type, options));
    }

    private Object netdevChange(Arguments a) throws QmpException {
        String id = a.text("id");
        Map<String, String> changes = a.rest();
        if (changes.isEmpty()) {
            throw QmpException.generic("netdev " + id + ": no option is named that is to change");
        }
        return apply(() -> operations.changeOptions(id, changes));
    }

    private Object backendInstall(Arguments a) throws QmpException {
        Path path = path(a);
        a.end();
        return answer(() -> operations.netdevs().installer().install(path));
    }

    private Object backendUpdate(Arguments a) throws QmpException {
        String bundle = a.text("bundle");
        Path path = path(a);
        a.end();
        return answer(() -> operations.netdevs().installer().update(bundle, path));
    }

    private Object backendRemove(Arguments a) throws QmpException {
        String bundle = a.text("bundle");
        a.end();
        return apply(() -> operations.netdevs().installer().remove(bundle));
    }

    private static Path path(Arguments a) throws QmpException {
        String text = a.text("path");
        Path path = Path.of(text);
        if (!path.isAbsolute()) {
            throw QmpException.generic("Parameter 'path' is " + text + "; it has to be absolute, since the daemon has a folder of its own");
        }
        return path;
    }

    private Object netdevDelete(Arguments a) throws QmpException {
        String id = a.text("id");
        a.end();
        return apply(() -> operations.deleteNetdev(id));
    }

    private Object migrate(Arguments a) throws QmpException {
        String uri = a.text("uri");
        Optional<List<String>> nics = a.optionalTexts("nics");
        a.end();
        if (nics.isPresent() && nics.get().isEmpty()) {
            throw QmpException.generic("Parameter 'nics' is empty; leave it out to move all");
        }
        return apply(() -> operations.handovers().start(uri, nics.orElse(List.of())));
    }

    private Object migrateIncoming(Arguments a) throws QmpException {
        String uri = a.text("uri");
        a.end();
        return apply(() -> operations.listen(uri));
    }

    private Object migrateParameters() throws NicException {
        Handovers h = operations.handovers();
        Map<String, Object> map = new LinkedHashMap<>();
        map.put(BACKEND_TRANSFER, h.backendTransfer());
        map.put(BREAK_BEFORE_MAKE, h.breakBeforeMake());
        return map;
    }

    private Object migrateSetParameters(Arguments a) throws QmpException {
        Optional<Boolean> transfer = a.optionalFlag(BACKEND_TRANSFER);
        Optional<Boolean> breaks = a.optionalFlag(BREAK_BEFORE_MAKE);
        a.end();
        return apply(() -> {
            Handovers h = operations.handovers();
            transfer.ifPresent(h::backendTransfer);
            breaks.ifPresent(h::breakBeforeMake);
        });
    }

    private Object migrateCancel(Arguments a) throws QmpException {
        a.end();
        return apply(() -> operations.handovers().cancel());
    }

    /** A process that serves already: others may stand by for it from now on. */
    private Object standby(Arguments a) throws QmpException {
        String uri = a.text("uri");
        a.end();
        return apply(() -> operations.standBy(uri, true, problems -> { }, control::quit));
    }

    private Object upgrade(Arguments a) throws QmpException {
        Optional<String> command = a.optionalText("command");
        boolean dryRun = a.optionalFlag("dry-run").orElse(false);
        a.end();
        return apply(() -> control.upgrade().start(command.map(Path::of).orElse(null), dryRun));
    }

    /** Said by the process before, at the end of an upgrade. */
    private Object takeControl(Arguments a) throws QmpException {
        Path qmp = Path.of(a.text("qmp"));
        Optional<String> standby = a.optionalText("standby");
        Optional<String> previous = a.optionalText("previous");
        boolean kept = a.optionalFlag("descriptor-store").orElse(false);
        Optional<String> config = a.optionalText("config");
        List<String> known = a.optionalTexts("config-known").orElse(List.of());
        a.end();
        return apply(() -> control.take(qmp, standby.orElse(null), previous.map(Path::of).orElse(null), kept,
                config.map(Path::of).orElse(null), known));
    }

    private Object quit(Arguments a) throws QmpException {
        a.end();
        control.quit();
        return Map.of();
    }
}
