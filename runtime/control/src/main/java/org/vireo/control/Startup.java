// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Clock;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import org.osgi.framework.BundleContext;
import org.osgi.framework.BundleException;
import org.osgi.framework.Version;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Deactivate;
import org.osgi.service.component.annotations.Reference;
import org.osgi.service.component.annotations.ReferenceCardinality;
import org.osgi.service.component.annotations.ReferencePolicy;
import org.osgi.service.component.annotations.ReferencePolicyOption;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.qmp.Command;
import org.vireo.control.qmp.OptionSyntax;
import org.vireo.control.qmp.QmpServer;
import org.vireo.net.api.nic.EventSink;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Nics;

/**
 * Does what the command line asked for, once, through the same operations as QMP. The launcher shares no class with the bundles: what
 * is asked arrives as framework properties, the service is a {@link Callable}, and its answer holds {@code nics} (Integer) and perhaps
 * {@code problems} (String), or {@code error} (String) and {@code usage} (Boolean: the command line itself is wrong).
 *
 * <p>Properties: {@code vireo.run.netdev.N} and {@code vireo.run.nic.N} from 0 on (QEMU's option syntax), {@code vireo.qmp} (a path),
 * {@code vireo.incoming} ({@code unix:PATH}, or {@code defer} to wait for migrate-incoming), {@code vireo.standby}
 * ({@code unix:PATH[,fence=auto]}), {@code vireo.descriptor-store} ({@code on}), {@code vireo.backends} (a folder),
 * {@code vireo.config} (a folder, or {@code defer}: the process before tells it).
 */
@Component(service = {Callable.class, Startup.class}, immediate = true, property = "vireo.role=startup")
public final class Startup implements Callable<Map<String, Object>>, Commands.Control {
    private static final Logger LOG = LoggerFactory.getLogger(Startup.class);

    private final BundleContext context;
    private final EventHub events;
    private final Operations operations;
    private final Upgrade upgrade;

    @Reference(cardinality = ReferenceCardinality.OPTIONAL, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    private volatile Nics nics;
    @Reference(cardinality = ReferenceCardinality.OPTIONAL, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    private volatile Handovers handovers;

    // guarded by this
    private QmpServer qmp;
    private EventSink qmpEvents;
    private boolean stopped;
    private Path qmpPath;
    private String standbyUri;
    private Path previous;
    private boolean keeps;
    private BackendFolder backends;
    private ConfigFolder config;
    /** Whether this process is the active one of those who stand by for one another. */
    private volatile boolean active;

    /**
     * Made by the framework.
     *
     * @param context has the properties
     * @param netdevs keeps the netdevs
     * @param events passes events to QMP
     */
    @Activate
    public Startup(BundleContext context, @Reference NetdevStore netdevs, @Reference EventHub events) {
        this.context = context;
        this.events = events;
        this.operations = new Operations(netdevs, () -> nics, () -> handovers);
        this.upgrade = new Upgrade(operations, this::own, this::quit, status -> events.event("UPGRADE", Map.of("status", status)));
    }

    /** For tests: with these services. */
    Startup(BundleContext context, NetdevStore netdevs, EventHub events, Nics nics, Handovers handovers) {
        this(context, netdevs, events);
        this.nics = nics;
        this.handovers = handovers;
    }

    @Override
    public Map<String, Object> call() {
        try {
            int own = apply();
            ConfigFolder c = config();
            if (c == null) {
                return Map.of("nics", own);
            }
            Map<String, Object> answer = new LinkedHashMap<>(Map.of("nics", own + c.nics()));
            if (!c.problems().isEmpty()) {
                answer.put("problems", c.problems());
            }
            return answer;
        } catch (OptionSyntax.SyntaxException e) {
            return Map.of("error", e.getMessage(), "usage", true);
        } catch (NicException | IOException e) {
            LOG.debug("start", e);
            return Map.of("error", e.getMessage(), "usage", false);
        }
    }

    private int apply() throws OptionSyntax.SyntaxException, NicException, IOException {
        Map<String, Map<String, String>> newNetdevs = read("netdev", "type");
        Map<String, Map<String, String>> newNics = read("nic", "driver");
        String path = context.getProperty("vireo.qmp");
        // claimed first, so that a second process with the same arguments stops before it touches anything; served last, so that
        // a client finds everything that was asked for
        String standby = context.getProperty("vireo.standby");
        QmpServer server = path == null ? null : standby == null ? claim(Path.of(path)) : claimIfFree(Path.of(path));
        String incoming = context.getProperty("vireo.incoming");
        boolean store = "on".equals(context.getProperty("vireo.descriptor-store"));
        if (incoming != null || standby != null || store) {
            operations.handovers();
            operations.expectIncoming();
        }
        watchBackends();
        for (Map.Entry<String, Map<String, String>> n : newNetdevs.entrySet()) {
            Map<String, String> options = new LinkedHashMap<>(n.getValue());
            operations.addNetdev(options.remove("type"), options.remove("id"), options);
        }
        for (Map.Entry<String, Map<String, String>> n : newNics.entrySet()) {
            operations.addNic(n.getValue());
        }
        ConfigFolder files = readConfig(newNetdevs.keySet(), newNics.keySet());
        if (files != null && incoming != null) {
            files.awaitNics();
        }
        if (store) {
            operations.restore(incoming == null && standby == null);
            synchronized (this) {
                keeps = true;
            }
        }
        if (incoming != null && !incoming.equals("defer")) {
            operations.listen(incoming);
        }
        if (standby != null) {
            standBy(standby, !newNics.isEmpty() || files != null, server != null || path == null ? null : Path.of(path));
        }
        if (files != null) {
            files.activeWhen(incoming != null ? operations::serves : standby != null ? () -> active : () -> true);
            files.watch();
        }
        if (server != null) {
            server.start();
        }
        ServiceStatus.tell("--ready");
        return newNics.size();
    }

    private Path backendsFolder() {
        String path = context.getProperty("vireo.backends");
        return path == null ? null : Path.of(path).toAbsolutePath();
    }

    /** The folder of files; null: there is none. */
    synchronized ConfigFolder config() {
        return config;
    }

    /** What is there, not done yet; null: there is no such folder. */
    private ConfigFolder readConfig(Set<String> netdevs, Set<String> nics) throws IOException {
        String path = context.getProperty("vireo.config");
        if (path == null || path.equals("defer")) {
            return null;
        }
        Set<String> given = new HashSet<>();
        netdevs.forEach(n -> given.add("netdev " + n));
        nics.forEach(n -> given.add("NIC " + n));
        ConfigFolder f = configFolder(Path.of(path).toAbsolutePath(), given);
        f.read();
        return f;
    }

    private synchronized ConfigFolder configFolder(Path path, Set<String> given) {
        config = new ConfigFolder(path, operations, events::event, given::contains, System::nanoTime);
        return config;
    }

    private void watchBackends() throws IOException {
        Path folder = backendsFolder();
        if (folder != null) {
            BackendFolder f = new BackendFolder(folder, operations.netdevs().installer(), operations::netdevStates,
                    events::event);
            f.begin();
            synchronized (this) {
                backends = f;
            }
        }
    }

    /** The active process may have the same path: then it is served here once this one is active. */
    private QmpServer claimIfFree(Path path) {
        try {
            return claim(path);
        } catch (IOException e) {
            LOG.info("{}; served here when this process is the active one", e.getMessage());
            return null;
        }
    }

    private void standBy(String uri, boolean begins, Path qmpLater) throws NicException {
        synchronized (this) {
            standbyUri = uri;
        }
        AtomicReference<List<String>> first = new AtomicReference<>(List.of());
        operations.standBy(uri, begins, problems -> {
            first.set(problems);
            active = true;
            if (qmpLater != null) {
                try {
                    claim(qmpLater).start();
                } catch (IOException e) {
                    LOG.error("QMP is not served: {}", e.getMessage());
                }
            }
        }, this::quit);
        if (!first.get().isEmpty()) {
            throw new NicException(String.join("; ", first.get()));
        }
    }

    /** Reads options of one kind, by id; everything is checked before anything is done. */
    private Map<String, Map<String, String>> read(String kind, String implied) throws OptionSyntax.SyntaxException {
        Map<String, Map<String, String>> found = new LinkedHashMap<>();
        for (int i = 0;; i++) {
            String text = context.getProperty("vireo.run." + kind + "." + i);
            if (text == null) {
                return found;
            }
            String where = "--" + kind + " " + text + ": ";
            try {
                Map<String, String> options = OptionSyntax.parse(text, implied);
                require(kind, implied, options);
                String id = options.get("id");
                if (id == null) {
                    throw new OptionSyntax.SyntaxException("the id is missing; add id=NAME");
                }
                if (!NetdevStore.isId(id)) {
                    throw new OptionSyntax.SyntaxException("id=" + id + ": " + NetdevStore.ID_RULE);
                }
                if (found.putIfAbsent(id, options) != null) {
                    throw new OptionSyntax.SyntaxException("there are two --" + kind + " with id=" + id);
                }
            } catch (OptionSyntax.SyntaxException e) {
                throw new OptionSyntax.SyntaxException(where + e.getMessage());
            }
        }
    }

    private static void require(String kind, String implied, Map<String, String> options) throws OptionSyntax.SyntaxException {
        if (kind.equals("netdev")) {
            if (!options.containsKey("type")) {
                throw new OptionSyntax.SyntaxException("the type is missing; begin with it, as in tap,id=NAME");
            }
        } else {
            String driver = options.remove(implied);
            if (driver != null && !driver.equals("virtio-net")) {
                throw new OptionSyntax.SyntaxException("'" + driver
                        + "' is not a driver that is known here; there is virtio-net, which may be left out");
            }
        }
    }

    private synchronized QmpServer claim(Path path) throws IOException {
        if (stopped || qmp != null) {
            throw new IOException("QMP on " + path + ": the process is ending, or has started already");
        }
        qmp = QmpServer.listen(path, commands(), Commands.version(version()), Clock.systemUTC());
        qmpPath = path;
        qmpEvents = qmp::event;
        events.add(qmpEvents);
        return qmp;
    }

    private Version version() {
        return context.getBundle().getVersion();
    }

    /** What can be asked for, by name: through QMP, and through whatever else there is. */
    Map<String, Command> commands() {
        return new Commands(operations, version(), this).all();
    }

    private synchronized Upgrade.Own own() {
        String command = System.getProperty("vireo.command");
        return new Upgrade.Own(command == null ? null : Path.of(command), previous, qmpPath, standbyUri,
                context.getProperty("vireo.workers"), backendsFolder(), config, keeps);
    }

    @Override
    public Upgrade upgrade() {
        return upgrade;
    }

    @Override
    public void take(Path path, String standby, Path former, boolean kept, Path folder, List<String> known) throws NicException {
        synchronized (this) {
            if (qmp == null) {
                throw new NicException("this process is ending");
            }
            if (kept) {
                operations.handovers().keep(true);
            }
            try {
                qmp.move(path);
            } catch (IOException e) {
                operations.handovers().keep(false);
                throw new NicException("QMP cannot be served on " + path + ": " + e.getMessage(), e);
            }
            qmpPath = path;
            previous = former;
            standbyUri = standby;
            keeps = kept;
        }
        operations.expectNothing();
        if (folder != null) {
            configFolder(folder, Set.of()).goOn(known);
        }
        if (standby != null) {
            // until the other process has ended this one is its standby, with nothing to take
            Thread.ofPlatform().daemon().name("vireo-standby").start(() -> {
                try {
                    operations.standBy(standby, true, problems -> { }, this::quit);
                } catch (NicException e) {
                    LOG.error("{}", e.getMessage());
                }
            });
        }
    }

    @Override
    public void quit() {
        events.event("SHUTDOWN", Map.of("guest", false, "reason", "host-qmp-quit"));
        Thread t = new Thread(() -> {
            try {
                context.getBundle(0).stop();
            } catch (BundleException e) {
                LOG.error("quit", e);
            }
        }, "vireo-quit");
        t.start();
    }

    /** Ends QMP. */
    @Deactivate
    public void close() {
        QmpServer server;
        synchronized (this) {
            stopped = true;
            if (backends != null) {
                backends.close();
            }
            if (config != null) {
                config.close();
            }
            server = qmp;
            qmp = null;
            if (qmpEvents != null) {
                events.remove(qmpEvents);
            }
        }
        if (server != null) {
            server.close();
        }
    }
}
