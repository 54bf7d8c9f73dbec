// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicStatus;

/**
 * Replaces this process by one of another build, under running guests: tries the other build out, starts it beside this one, hands over
 * NIC by NIC, then the control plane, and ends this process. Whatever fails before that leaves this process with all its NICs.
 */
final class Upgrade {
    private static final Logger LOG = LoggerFactory.getLogger(Upgrade.class);
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final long HANDOVER_NANOS = TimeUnit.MINUTES.toNanos(30);
    /** Clients that wait for the end see it before they are cut off. */
    private static final long LAST_LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

    private final Operations operations;
    private final Supplier<Own> asStarted;
    private final Runnable quit;
    private final Consumer<String> progress;
    private Own own;
    private final List<Map<String, Object>> checks = new ArrayList<>();
    private String status = "none";
    private String error = "";
    private boolean dryRun;
    private long nextPid;

    /**
     * What this process was started as.
     *
     * @param command its build's command; null if that is not known
     * @param previous the command of the build that it replaced; null if it replaced none
     * @param qmp path of the QMP socket
     * @param standby where others stand by for it, or null
     * @param workers how many workers were asked for, or null
     * @param backends the folder of backends, or null
     * @param config the configuration folder, or null
     * @param keeps whether NICs are kept in the service manager's descriptor store
     */
    record Own(Path command, Path previous, Path qmp, String standby, String workers, Path backends, ConfigFolder config,
            boolean keeps) { }

    /**
     * No upgrade yet.
     *
     * @param operations of this process
     * @param own what it was started as
     * @param quit ends it, in the background
     * @param progress told of each new status
     */
    Upgrade(Operations operations, Supplier<Own> own, Runnable quit, Consumer<String> progress) {
        this.operations = operations;
        asStarted = own;
        this.quit = quit;
        this.progress = progress;
    }

    /**
     * Begins, in the background.
     *
     * @param build command of the build; null: the one that this process replaced
     * @param onlyChecks whether to stop after the checks
     * @throws NicException it cannot begin
     */
    synchronized void start(Path build, boolean onlyChecks) throws NicException {
        boolean over = List.of("none", "failed").contains(status) || dryRun && status.equals("completed");
        if (!over) {
            throw new NicException("an upgrade is under way");
        }
        own = asStarted.get();
        Path command = build != null ? build : own.previous;
        if (command == null) {
            throw new NicException("this process has not replaced another one: there is nothing to return to");
        }
        if (!Files.isExecutable(command) || Files.isDirectory(command)) {
            throw new NicException(command + " is not a build's command: give the folder that has 'vireo' in it");
        }
        operations.handovers();
        checks.clear();
        error = "";
        nextPid = 0;
        dryRun = onlyChecks;
        enter("checking");
        Thread.ofPlatform().daemon().name("vireo-upgrade").start(() -> run(command));
    }

    private synchronized void enter(String now) {
        status = now;
        progress.accept(now);
    }

    private void run(Path command) {
        LOG.info("upgrade to {}: begins", command);
        try {
            Path folder = Files.createTempDirectory("vireo-upgrade-");
            try {
                check(command, folder);
                if (!dryRun) {
                    operations.changes().hold("an upgrade is under way; try again when it has ended");
                    try {
                        move(command, folder);
                    } finally {
                        operations.changes().hold(null);
                    }
                }
            } finally {
                delete(folder);
            }
            enter("completed");
            LOG.info("upgrade to {}: {}", command, dryRun ? "would work" : "completed, process " + nextPid + " goes on");
        } catch (IOException | NicException e) {
            fail(e.getMessage());
            return;
        } catch (RuntimeException e) {
            LOG.error("upgrade", e);
            fail("unexpected: " + e);
            return;
        }
        if (!dryRun) {
            LockSupport.parkNanos(LAST_LOOK_NANOS);
            quit.run();
        }
    }

    private void fail(String why) {
        LOG.warn("upgrade failed: {}; this process goes on", why);
        synchronized (this) {
            error = why;
        }
        enter("failed");
    }

    private static void delete(Path folder) {
        try (var files = Files.list(folder)) {
            for (Path f : files.toList()) {
                Files.deleteIfExists(f);
            }
            Files.deleteIfExists(folder);
        } catch (IOException e) {
            LOG.debug("{} stays", folder, e);
        }
    }

    // ---- checks

    /** A process of the build that gets nothing: does it start, could it take each NIC? */
    private void check(Path command, Path folder) throws NicException {
        String step = "start";
        List<String> options = options();
        options.addAll(List.of("--log-level", "warn"));
        try (NextProcess p = new NextProcess(command, folder, options, true)) {
            note(step, true, "the build starts: JDK, bundles, control plane");
            step = "version";
            Map<?, ?> version = (Map<?, ?>) p.execute("query-version", Map.of());
            note(step, true, String.valueOf(version.get("package")));
            step = "handover";
            Handovers h = operations.handovers();
            step = "nics";
            requireMovable();
            h.check(p.uri(), List.of());
            awaitEnd("the handover", h::status, h::cancel);
            note(step, true, "each NIC's features, formats and backend fit");
        } catch (IOException | NicException e) {
            note(step, false, e.getMessage());
            throw new NicException("check " + step + ": " + e.getMessage(), e);
        }
    }

    private synchronized void note(String step, boolean ok, String detail) {
        Map<String, Object> entry = new LinkedHashMap<>();
        entry.put("check", step);
        entry.put("ok", ok);
        entry.put("detail", detail);
        checks.add(entry);
    }

    /** What is not owned with a backend cannot move, and would be lost with this process. */
    private void requireMovable() throws NicException {
        for (NicStatus n : operations.nics()) {
            switch (n.state()) {
                case AWAITING, PREPARED -> throw new NicException("NIC " + n.id() + " waits for another process; delete it, or wait");
                case FAILED, NO_BACKEND -> throw new NicException("NIC " + n.id() + " cannot move: it is " + n.state()
                        + (n.why().isEmpty() ? "" : ", " + n.why()));
                default -> {
                    // it can
                }
            }
        }
    }

    /** What query-migrate tells, here or of the other process. */
    private interface Status {
        Map<?, ?> ask() throws IOException;
    }

    private static void awaitEnd(String what, Status handover, Runnable giveUp) throws IOException {
        long end = System.nanoTime() + HANDOVER_NANOS;
        while (System.nanoTime() < end) {
            Map<?, ?> s = handover.ask();
            if ("completed".equals(s.get("status"))) {
                return;
            }
            if (!List.of("setup", "active").contains(s.get("status"))) {
                throw new IOException(String.valueOf(s.get("error-desc")));
            }
            LockSupport.parkNanos(LOOK_NANOS);
        }
        giveUp.run();
        throw new IOException(what + " does not end");
    }

    // ---- moving

    private void move(Path command, Path folder) throws IOException, NicException {
        enter("starting");
        boolean failed = false;
        try (NextProcess next = new NextProcess(command, folder, options(), false)) {
            synchronized (this) {
                nextPid = next.pid();
            }
            Handovers h = operations.handovers();
            enter("moving");
            try {
                h.start(next.uri(), List.of());
                awaitEnd("the handover", h::status, h::cancel);
                handControlOver(next);
            } catch (IOException | NicException e) {
                failed = true;
                takeBack(next, folder, e.getMessage());
                throw e;
            }
            next.leave();
        } finally {
            if (failed && own.keeps) {
                // after the other process has ended, which may have stored them
                operations.handovers().keep(true);
            }
        }
    }

    private List<String> options() {
        List<String> options = new ArrayList<>();
        if (own.workers != null) {
            options.addAll(List.of("--workers", own.workers));
        }
        if (own.backends != null) {
            options.addAll(List.of("--backends", own.backends.toString()));
        }
        if (own.config != null) {
            // what NICs and netdevs are comes from this process; what files ask for counts again when that is done
            options.addAll(List.of("--config", "defer"));
        }
        return options;
    }

    /** Netdevs that no NIC has, the QMP socket, those who stand by. */
    private void handControlOver(NextProcess next) throws IOException, NicException {
        List<Map<?, ?>> known = new ArrayList<>();
        for (Object o : (List<?>) next.execute("query-netdevs", Map.of())) {
            known.add((Map<?, ?>) o);
        }
        for (NetdevStore.Netdev n : operations.netdevs().list()) {
            if (known.stream().noneMatch(m -> n.id().equals(m.get("id")))) {
                Map<String, Object> with = new LinkedHashMap<>(n.options());
                with.put("type", n.type());
                with.put("id", n.id());
                next.execute("netdev_add", with);
            }
        }
        Map<String, Object> with = new LinkedHashMap<>();
        with.put("qmp", own.qmp.toAbsolutePath().toString());
        if (own.standby != null) {
            with.put("standby", own.standby);
        }
        if (own.command != null) {
            with.put("previous", own.command.toString());
        }
        if (own.keeps) {
            // what two processes store at once the service manager keeps under the first one's names
            operations.handovers().keep(false);
            with.put("descriptor-store", true);
        }
        if (own.config != null) {
            with.put("config", own.config.folder().toString());
            with.put("config-known", own.config.known());
        }
        next.execute("take-control", with);
        if (own.config != null) {
            own.config.end();
        }
        ServiceStatus.tell("--pid=" + next.pid());
    }

    /** NICs that have moved come back. */
    private void takeBack(NextProcess next, Path folder, String why) throws NicException {
        enter("returning");
        try {
            if (((List<?>) next.execute("query-nics", Map.of())).isEmpty()) {
                return;
            }
            String back = "unix:" + folder.resolve("back");
            operations.handovers().listen(back);
            next.execute("migrate", Map.of("uri", back));
            awaitEnd("the way back", () -> (Map<?, ?>) next.execute("query-migrate", Map.of()), () -> { });
        } catch (IOException | NicException e) {
            try {
                // it has NICs: so it stays
                next.leave();
            } catch (IOException closing) {
                LOG.debug("{}", closing.getMessage());
            }
            throw new NicException(why + "; and some NICs are with process " + next.pid() + " and did not come back: " + e.getMessage(),
                    e);
        }
    }

    /** As query-upgrade tells it. */
    synchronized Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("status", status);
        if (status.equals("none")) {
            return m;
        }
        m.put("dry-run", dryRun);
        m.put("checks", List.copyOf(checks));
        if (nextPid != 0) {
            m.put("pid", nextPid);
        }
        if (!error.isEmpty()) {
            m.put("error-desc", error);
        }
        return m;
    }
}
