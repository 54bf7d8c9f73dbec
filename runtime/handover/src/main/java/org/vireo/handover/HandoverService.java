// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Deactivate;
import org.osgi.service.component.annotations.Reference;
import org.osgi.service.component.annotations.ReferenceCardinality;
import org.osgi.service.component.annotations.ReferencePolicy;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.DescriptorStore.Found;
import org.vireo.handover.wire.Channel;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.EventSink;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.ServiceManager;
import org.vireo.posix.linux.Threads;
import org.vireo.posix.linux.UnixSockets;

/** Moves NICs between processes, in either role: the service. */
@Component
public final class HandoverService implements Handovers {
    private static final Logger LOG = LoggerFactory.getLogger(HandoverService.class);
    private static final String SCHEME = "unix:";
    /** Who stops the whole process waits 10 s for that. */
    private static final int BEQUEATH_MILLIS = 7_000;
    private static final int BEQUEATH_TRIES = 5;

    private final Context context;
    private final List<EventSink> sinks = new CopyOnWriteArrayList<>();
    private final Semaphore serving = new Semaphore(1);
    private volatile Parameters parameters = Parameters.STANDARD;
    private volatile Report report;
    private HandoverTarget target;
    private Pairing pairing;
    private DescriptorStore store;
    private StoreFeed feed;
    private Cancel cancel;
    private Thread source;
    private boolean stopped;
    private Rehearsal.Running rehearsal;

    /**
     * The service. It rehearses at once, at the lowest priority: later it would cost NICs in service their compiled code.
     *
     * @param nics the NICs
     * @param fds makes descriptors
     */
    @Activate
    public HandoverService(@Reference Nics nics, @Reference Fds fds) {
        this(nics, fds, Deadlines.STANDARD);
        rehearsal = Rehearsal.start(context.fds(), context.nics(), context.deadlines());
    }

    HandoverService(Nics nics, Fds fds, Deadlines deadlines) {
        context = new Context(nics, fds, deadlines, this::event, false);
    }

    @Reference(cardinality = ReferenceCardinality.MULTIPLE, policy = ReferencePolicy.DYNAMIC)
    void addSink(EventSink sink) {
        sinks.add(sink);
    }

    void removeSink(EventSink sink) {
        sinks.remove(sink);
    }

    private void event(String name, Map<String, Object> data) {
        for (EventSink s : sinks) {
            try {
                s.event(name, data);
            } catch (RuntimeException e) {
                LOG.warn("event {} was not taken", name, e);
            }
        }
    }

    private static Path path(String uri) throws NicException {
        if (!uri.startsWith(SCHEME) || uri.length() == SCHEME.length()) {
            throw new NicException("\"" + uri + "\" is not unix:PATH; only a UNIX socket can carry descriptors");
        }
        return Path.of(uri.substring(SCHEME.length())).toAbsolutePath();
    }

    private List<TransferableNic> choose(List<String> ids) throws NicException {
        if (ids.isEmpty()) {
            return context.nics().transferable();
        }
        List<TransferableNic> list = new ArrayList<>();
        Set<String> twice = new HashSet<>();
        for (String id : ids) {
            if (!twice.add(id)) {
                throw new NicException("NIC " + id + " is named twice");
            }
            list.add(context.nics().transferable(id)
                    .orElseThrow(() -> new NicException("there is no NIC \"" + id + "\" that this process owns and could hand over")));
        }
        return list;
    }

    @Override
    public void start(String uri, List<String> nics) throws NicException {
        begin(uri, nics, true);
    }

    @Override
    public void check(String uri, List<String> nics) throws NicException {
        begin(uri, nics, false);
    }

    private void begin(String uri, List<String> nics, boolean moves) throws NicException {
        Path path = path(uri);
        requireMayBegin(path);
        // without the lock: who cancels the one under way must not wait for its end
        if (!acquire()) {
            throw new NicException("another handover is under way; wait for its end or cancel it");
        }
        boolean begun = false;
        try {
            synchronized (this) {
                requireMayBegin(path);
                List<TransferableNic> list = choose(nics);
                cancel = new Cancel(context.fds());
                source = launch(path, list, cancel, moves);
                begun = true;
            }
        } catch (IOException e) {
            throw new NicException("cannot begin: " + e.getMessage(), e);
        } finally {
            if (!begun) {
                serving.release();
            }
        }
    }

    private synchronized void requireMayBegin(Path path) throws NicException {
        if (stopped) {
            throw new NicException("this process is ending");
        }
        if (target != null && target.path().equals(path)) {
            throw new NicException("this process itself listens on " + path);
        }
    }

    /**
     * One at a time; one that has reported its end is about to give way, and so may be one whose other side has: that of a process that has
     * just got its NICs.
     */
    private boolean acquire() {
        try {
            Report r = report;
            int hello = context.deadlines().hello();
            return serving.tryAcquire(r != null && r.ended() ? hello : hello / 4, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    private Fd connect(Path path) throws IOException {
        try {
            return UnixSockets.connect(context.fds(), path, "handover channel");
        } catch (IOException e) {
            throw new IOException(e.getMessage() + " (is 'vireo run --incoming unix:" + path + "' running?)", e);
        }
    }

    private Thread launch(Path path, List<TransferableNic> list, Cancel c, boolean moves) {
        Report r = new Report("source", context.events());
        report = r;
        return Thread.ofPlatform().daemon().name("handover-source").start(() -> {
            Threads.urgent();
            run(path, list, c, r, moves);
        });
    }

    private void run(Path path, List<TransferableNic> list, Cancel c, Report r, boolean moves) {
        LOG.info("{} of {} to {} begins", moves ? "handover" : "check of a handover", Report.nics(list.size()), path);
        try {
            Channel channel = new Channel(connect(path), context.fds());
            new SourceSession(context, channel, c, r, parameters).run(list, moves);
        } catch (IOException e) {
            r.end("failed", e.getMessage());
        } catch (RuntimeException e) {
            LOG.error("handover", e);
            r.end("failed", "unexpected: " + e);
        } finally {
            LOG.info("handover to {}: {}", path, r.summary());
            serving.release();
            synchronized (this) {
                if (cancel == c) {
                    cancel = null;
                }
            }
            c.close();
        }
    }

    @Override
    public synchronized void cancel() {
        if (cancel != null) {
            cancel.now("cancelled");
        }
        if (target != null) {
            target.cancelSession("cancelled at the target");
        }
    }

    @Override
    public synchronized void listen(String uri) throws NicException {
        Path path = path(uri);
        if (target != null) {
            if (target.path().equals(path)) {
                return;
            }
            target.close();
            target = null;
        }
        try {
            target = target(path, new Semaphore(1));
        } catch (IOException e) {
            throw new NicException(e.getMessage(), e);
        }
        LOG.info("waiting for a handover on {}", path);
    }

    private HandoverTarget target(Path path, Semaphore before) throws IOException {
        return new HandoverTarget(context, path, () -> parameters, before, serving, r -> report = r);
    }

    @Override
    public void standBy(String uri, boolean begins, StandbyListener listener) throws NicException {
        StandbyAddress address = StandbyAddress.parse(uri);
        Path path = path(address.uri());
        Pairing p;
        synchronized (this) {
            if (stopped) {
                throw new NicException("this process is ending");
            }
            if (pairing != null) {
                throw new NicException("this process stands by on " + pairing.path() + " already");
            }
            try {
                p = new Pairing(context, path, address.fences(), begins, this::target, listener);
            } catch (IOException e) {
                throw new NicException("cannot stand by on " + path + ": " + e.getMessage(), e);
            }
            pairing = p;
        }
        try {
            if (!p.settle(context.deadlines().prepare())) {
                LOG.warn("standby on {}: not all NICs have been prepared within {} ms", path, context.deadlines().prepare());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public Map<String, Object> standbyStatus() {
        Pairing p;
        synchronized (this) {
            p = pairing;
        }
        return p == null ? Map.of("role", "none") : p.toMap();
    }

    @Override
    public synchronized int restore() throws NicException {
        List<String> problems = new ArrayList<>();
        try {
            List<Found> found = store().adopt(ServiceManager.take(context.fds(), System.getenv(), ProcessHandle.current().pid()), problems);
            int taken = found.isEmpty() ? 0 : new StoreRestore(context).run(found);
            LOG.info("descriptor store: {} found, {} taken", Report.nics(found.size()), taken);
            return taken;
        } catch (IOException e) {
            throw new NicException("descriptor store: " + e.getMessage(), e);
        } finally {
            problems.forEach(p -> LOG.error("descriptor store: {}", p));
        }
    }

    private DescriptorStore store() throws NicException, IOException {
        if (store == null) {
            if (!ServiceManager.isThere(System.getenv())) {
                throw new NicException("descriptor store: NOTIFY_SOCKET is not set, so there is no service manager that keeps it;"
                        + " start this as a service of systemd with NotifyAccess=all and FileDescriptorStoreMax=, or without the store");
            }
            store = new DescriptorStore(context.fds(), ServiceManager.connect(context.fds(), System.getenv()));
        }
        return store;
    }

    @Override
    public synchronized void keep(boolean on) throws NicException {
        try {
            if (on && feed == null && !stopped) {
                feed = new StoreFeed(context, store());
            } else if (!on && feed != null) {
                feed.withdraw();
                feed = null;
            }
        } catch (IOException e) {
            throw new NicException("descriptor store: " + e.getMessage(), e);
        }
    }

    /** Whoever is started next goes on with NICs that are in the store. */
    private synchronized void leaveKept() {
        if (feed != null) {
            feed.close();
            feed = null;
        }
        if (store != null) {
            store.close();
            store = null;
        }
    }

    @Override
    public synchronized void backendTransfer(boolean on) {
        parameters = parameters.withBackendTransfer(on);
    }

    @Override
    public boolean backendTransfer() {
        return parameters.backendTransfer();
    }

    @Override
    public synchronized void breakBeforeMake(boolean on) {
        parameters = parameters.withBreakBeforeMake(on);
    }

    @Override
    public boolean breakBeforeMake() {
        return parameters.breakBeforeMake();
    }

    @Override
    public Map<String, Object> status() {
        Report r = report;
        return r == null ? Map.of("status", "none") : r.toMap();
    }

    /**
     * A standby goes on with the NICs of a process that ends in good order, without a gap. There is no later chance, so what it refuses is
     * offered again: on a busy machine it may still have what it was prepared with as a standby.
     */
    private void bequeath(Path heir) {
        long end = Deadlines.in(BEQUEATH_MILLIS);
        for (int tries = 0; heir != null && tries < BEQUEATH_TRIES && System.nanoTime() < end; tries++) {
            List<TransferableNic> all = context.nics().transferable();
            if (all.isEmpty() || !acquire() || !bequeath(heir, all, end)) {
                return;
            }
        }
    }

    /** Returns whether it may be tried again. */
    private boolean bequeath(Path heir, List<TransferableNic> all, long end) {
        try {
            Cancel c = new Cancel(context.fds());
            Thread t = launch(heir, all, c, true);
            t.join(Math.max(1, (end - System.nanoTime()) / Deadlines.NANOS));
            boolean over = !t.isAlive();
            c.now("this process has to end");
            t.join(context.deadlines().hello());
            return over;
        } catch (IOException e) {
            serving.release();
            LOG.warn("no handover before the end: {}", e.getMessage());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return false;
    }

    @Deactivate
    void stop() {
        if (rehearsal != null) {
            rehearsal.close();
        }
        Thread t;
        Pairing p;
        synchronized (this) {
            stopped = true;
            p = pairing;
        }
        if (p != null) {
            bequeath(p.bequeath());
            p.close();
        }
        synchronized (this) {
            cancel();
            if (target != null) {
                target.close();
                target = null;
            }
            t = source;
        }
        try {
            if (t != null) {
                t.join(context.deadlines().prepare());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        leaveKept();
    }
}
