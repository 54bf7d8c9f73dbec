// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import org.osgi.framework.BundleContext;
import org.osgi.framework.ServiceReference;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Deactivate;
import org.osgi.service.component.annotations.Reference;
import org.osgi.service.component.annotations.ReferenceCardinality;
import org.osgi.service.component.annotations.ReferencePolicy;
import org.osgi.service.component.annotations.ReferencePolicyOption;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.session.Poller;
import org.vireo.frontend.virtionet.slot.BackendServices;
import org.vireo.frontend.virtionet.slot.Slots;
import org.vireo.frontend.virtionet.worker.Watchdog;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.nic.EventSink;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NetdevConfigurations;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.TransferableNic;

/** All NICs of the process: the frontend's service. */
@Component(service = Nics.class, immediate = true)
public final class NicRegistry implements Nics {
    /** Framework property: worker threads. */
    public static final String WORKERS = "vireo.workers";

    /** How much longer a netdev is waited for whose backend is being activated. */
    private static final long ACTIVATION_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long GONE_NANOS = TimeUnit.SECONDS.toNanos(3);
    private static final Logger LOG = LoggerFactory.getLogger(NicRegistry.class);

    private final Map<String, Nic> nics = new LinkedHashMap<>();
    private final Map<String, NicOptions> awaiting = new LinkedHashMap<>();
    private final Set<String> busy = new HashSet<>();
    private final List<EventSink> sinks = new CopyOnWriteArrayList<>();
    private final List<Runnable> watchers = new CopyOnWriteArrayList<>();
    private final ControlThreads executor;
    private final ScheduledThreadPoolExecutor timer;
    private final Watchdog watchdog = new Watchdog();
    private final Environment env;
    private final BackendServices backends;
    private volatile NetdevConfigurations configurations;

    /**
     * Starts the workers.
     *
     * @param fds makes descriptors
     * @param context tells {@link #WORKERS}
     * @throws IOException no descriptor left
     */
    @Activate
    public NicRegistry(@Reference Fds fds, BundleContext context) throws IOException {
        executor = new ControlThreads();
        timer = new ScheduledThreadPoolExecutor(1, r -> daemon(r, "vireo-timer"));
        timer.setRemoveOnCancelPolicy(true);
        String n = context == null ? null : context.getProperty(WORKERS);
        List<Worker> workers = new ArrayList<>();
        int count = n == null ? Math.max(1, Runtime.getRuntime().availableProcessors()) : Integer.parseInt(n);
        for (int i = 0; i < count; i++) {
            workers.add(new Worker("vireo-worker-" + i, fds, watchdog, Worker.Urgency.FRAMES));
        }
        env = new Environment(fds, new Slots(fds), new Poller(fds), List.copyOf(workers), executor, timer, this::event,
                new AtomicInteger(), new LoadedMemory(), new AtomicBoolean(), false);
        backends = env.slots().services(context);
    }

    private static Thread daemon(Runnable r, String name) {
        Thread t = new Thread(r, name);
        t.setDaemon(true);
        return t;
    }

    /** Ends all NICs. */
    @Deactivate
    public void stop() {
        List<Nic> all;
        synchronized (this) {
            all = new ArrayList<>(nics.values());
            nics.clear();
        }
        all.forEach(n -> n.close(Disposal.RELEASE));
        env.slots().end();
        env.workers().forEach(Worker::close);
        watchdog.close();
        env.poller().close();
        timer.shutdownNow();
        executor.shutdown();
    }

    @Reference(cardinality = ReferenceCardinality.MULTIPLE, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    void addBackend(ServiceReference<NetBackend> reference) {
        // the object would be made, and its component activated, on the framework's thread
        backends.add(reference);
    }

    void removeBackend(ServiceReference<NetBackend> reference) {
        backends.remove(reference);
    }

    /** A backend whose object is there: for frontends without a framework. */
    void bindBackend(NetBackend backend, ServiceReference<NetBackend> reference) {
        env.slots().add(backend, reference);
    }

    void unbindBackend(NetBackend backend, ServiceReference<NetBackend> reference) {
        env.slots().remove(reference);
    }

    @Reference(cardinality = ReferenceCardinality.MULTIPLE, policy = ReferencePolicy.DYNAMIC)
    void bindSink(EventSink sink) {
        sinks.add(sink);
    }

    void unbindSink(EventSink sink) {
        sinks.remove(sink);
    }

    @Reference(cardinality = ReferenceCardinality.OPTIONAL, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    void bindConfigurations(NetdevConfigurations service) {
        configurations = service;
    }

    void unbindConfigurations(NetdevConfigurations service) {
        if (configurations == service) {
            configurations = null;
        }
    }

    private void event(String name, Map<String, ?> data) {
        sinks.forEach(s -> s.event(name, data));
        changed();
    }

    private void changed() {
        watchers.forEach(Runnable::run);
    }

    @Override
    public Registration watch(Runnable what) {
        watchers.add(what);
        return () -> watchers.remove(what);
    }

    @Override
    public Map<String, String> check(Map<String, String> options) throws NicException {
        return NicOptions.parse(options).effective();
    }

    @Override
    public void add(Map<String, String> options, boolean awaits) throws NicException {
        NicOptions o = NicOptions.parse(options);
        synchronized (this) {
            if (nics.containsKey(o.id()) || awaiting.containsKey(o.id()) || busy.contains(o.id())) {
                throw new NicException("NIC " + o.id() + ": this id is taken");
            }
            if (awaits) {
                awaiting.put(o.id(), o);
                return;
            }
            busy.add(o.id());
        }
        begin(o);
    }

    private void begin(NicOptions o) throws NicException {
        try {
            Nic nic = new Nic(o, env, NicBlockMemory.create(env.fds(), o.id()));
            nic.realize();
            synchronized (this) {
                nics.put(o.id(), nic);
            }
        } catch (IOException e) {
            throw new NicException("NIC " + o.id() + ": " + e.getMessage(), e);
        } finally {
            synchronized (this) {
                busy.remove(o.id());
            }
        }
        changed();
    }

    @Override
    public List<String> startAwaiting() {
        List<NicOptions> all;
        synchronized (this) {
            all = List.copyOf(awaiting.values());
            awaiting.clear();
            all.forEach(o -> busy.add(o.id()));
        }
        List<String> problems = new ArrayList<>();
        for (NicOptions o : all) {
            try {
                begin(o);
            } catch (NicException e) {
                LOG.error("{}; it does not start", e.getMessage());
                problems.add(e.getMessage());
            }
        }
        return problems;
    }

    @Override
    public void remove(String id) throws NicException {
        Nic nic;
        synchronized (this) {
            if (awaiting.remove(id) != null) {
                return;
            }
            nic = nics.get(id);
            if (nic == null) {
                throw new NicException("NIC " + id + ": there is none of this id");
            }
            if (nic.inHandover()) {
                throw new NicException("NIC " + id + ": is in a handover; wait for its end or cancel it");
            }
            nics.remove(id);
        }
        nic.close(Disposal.RELEASE);
        nic.awaitReleased();
        changed();
    }

    @Override
    public List<NicStatus> list() {
        return list(Nic::status);
    }

    @Override
    public List<NicStatus> measure() {
        return list(Nic::measure);
    }

    private List<NicStatus> list(Function<Nic, NicStatus> look) {
        List<Nic> all;
        List<NicStatus> result = new ArrayList<>();
        synchronized (this) {
            all = new ArrayList<>(nics.values());
            awaiting.values().forEach(o -> result.add(new NicReport.Snapshot(o.id(), o.netdev(), NicState.AWAITING, "", o.effective(),
                    0, 0, 0, Map.of())));
        }
        all.forEach(n -> result.add(look.apply(n)));
        return result;
    }

    @Override
    public List<NetdevStatus> netdevs() {
        return env.slots().status();
    }

    @Override
    public void awaitNetdev(String netdev, long deadlineNanos) throws NicException {
        try {
            env.slots().await(netdev, deadlineNanos, deadlineNanos + ACTIVATION_NANOS);
        } catch (NetdevException e) {
            throw new NicException(e.getMessage(), e);
        }
    }

    @Override
    public void awaitNetdevGone(String netdev, long deadlineNanos) {
        env.slots().awaitGone(netdev, deadlineNanos);
    }

    @Override
    public synchronized List<TransferableNic> transferable() {
        return nics.values().stream().filter(NicRegistry::owned).<TransferableNic>map(this::source).toList();
    }

    @Override
    public synchronized Optional<TransferableNic> transferable(String id) {
        return Optional.ofNullable(nics.get(id)).filter(NicRegistry::owned).map(this::source);
    }

    private static boolean owned(Nic nic) {
        return nic.block().ownership().filter(o -> o.phase() == Ownership.Phase.OWNED && o.holder() == nic.block().self()).isPresent();
    }

    @Override
    public synchronized List<TransferableNic> fenced() {
        return nics.values().stream().filter(NicRegistry::isFenced).<TransferableNic>map(this::source).toList();
    }

    @Override
    public void swap(String netdev, String type, int revision, long deadlineNanos) throws NicException {
        try {
            env.slots().swapTo(netdev, type, revision, deadlineNanos);
        } catch (NetdevException e) {
            throw new NicException(e.getMessage(), e);
        }
    }

    private static boolean isFenced(Nic nic) {
        return nic.block().ownership().filter(o -> o.phase() == Ownership.Phase.FENCED && o.peer() == nic.block().self()).isPresent();
    }

    private SourceNic source(Nic nic) {
        return new SourceNic(nic, () -> {
            synchronized (this) {
                nics.remove(nic.id(), nic);
            }
            changed();
        });
    }

    @Override
    public IncomingNic prepare(NicImage image, boolean backendTransfer, long deadlineNanos) throws NicException {
        try (image) {
            NicOptions waiting;
            synchronized (this) {
                if (nics.containsKey(image.nic()) || busy.contains(image.nic())) {
                    throw new NicException("NIC " + image.nic() + ": already initialised, cannot receive incoming descriptors");
                }
                waiting = awaiting.get(image.nic());
            }
            boolean made = configure(image, deadlineNanos);
            try {
                return ReceivedNic.build(image, waiting, backendTransfer, deadlineNanos, env, this::owned, () -> unconfigure(image, made));
            } catch (Exception e) {
                unconfigure(image, made);
                throw e;
            }
        } catch (NicException e) {
            throw e;
        } catch (Exception e) {
            throw new NicException("NIC " + image.nic() + ": " + e.getMessage(), e);
        }
    }

    private void owned(ReceivedNic received) {
        synchronized (this) {
            awaiting.remove(received.id());
            nics.put(received.id(), received.nic());
        }
        changed();
    }

    /** Makes the netdev's configuration if this process has none for it, or replaces it if it was changed where the NIC comes from. */
    private boolean configure(NicImage image, long deadlineNanos) throws Exception {
        String netdev = NicImages.options(NicImages.require(image, "nic"), "option.").getOrDefault("netdev", "");
        if (netdev.isEmpty()) {
            return false;
        }
        NetdevConfigurations c = configurations;
        boolean make = !env.slots().slot(netdev).servable() && c != null;
        String type = NicImages.require(image, "nic").text("netdev-type");
        int revision = NicImages.netdevRevision(image);
        if (make) {
            c.create(type, netdev, ReceivedNic.netdevOptions(image));
        } else if (revision > 0 && c != null) {
            c.follow(type, netdev, revision, ReceivedNic.netdevOptions(image));
            env.slots().swapTo(netdev, type, revision, deadlineNanos);
        }
        try {
            env.slots().await(netdev, deadlineNanos, deadlineNanos);
        } catch (NetdevException e) {
            unconfigure(image, make);
            throw e;
        }
        return make;
    }

    private void unconfigure(NicImage image, boolean made) {
        NetdevConfigurations c = configurations;
        if (made && c != null) {
            try {
                String netdev = NicImages.options(NicImages.require(image, "nic"), "option.").get("netdev");
                c.delete(netdev);
                // whoever tries again comes at once
                awaitNetdevGone(netdev, System.nanoTime() + GONE_NANOS);
            } catch (NicException | NetdevException e) {
                event("NETDEV_ERROR", Map.of("nic", image.nic(), "reason", e.getMessage()));
            }
        }
    }

    @Override
    public String rehearse(long deadlineNanos) throws NicException {
        DressRehearsal r = DressRehearsal.ofAny(env);
        FutureTask<String> task = new FutureTask<>(() -> r.run(deadlineNanos));
        // on a thread that is not interrupted, so that nothing is left half done
        Thread.ofPlatform().daemon().name("vireo-rehearsal-run").start(task);
        try (r) {
            return task.get();
        } catch (ExecutionException e) {
            throw new NicException("rehearsal: " + e.getCause().getMessage(), e.getCause());
        } catch (InterruptedException e) {
            r.end();
            Thread.currentThread().interrupt();
            throw new NicException("rehearsal: interrupted", e);
        }
    }

    @Override
    public StateFormat imageFormat() {
        return NicImages.FORMAT;
    }
}
