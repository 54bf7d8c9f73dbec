// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.osgi.framework.BundleContext;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.InflightArea;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.PackedInflightLayout;

/** The real frontend in this JVM, without a framework. */
final class Harness implements AutoCloseable {
    static final Duration LIMIT = Duration.ofSeconds(15);
    private static final AtomicLong SERVICE_ID = new AtomicLong();
    /** What a busy machine makes of a backend's call. */
    private static final Pattern LATE = Pattern.compile("was not begun in time|waited in vain for|did not return in time|has not returned");

    final Descriptors fds = new Descriptors();
    final NicRegistry registry;
    final Path folder;
    /** Events: name, nic, state after, reason. */
    final List<String> events = new CopyOnWriteArrayList<>();
    /** Of backends that are bound from now on. */
    final Map<String, String> netdevOptions = new LinkedHashMap<>();
    private final List<Runnable> closing = new ArrayList<>();
    private final List<FakeNetwork> networks = new ArrayList<>();
    private final Map<NetBackend, ServiceReference<NetBackend>> references = new HashMap<>();

    Harness(int workers) throws IOException {
        folder = Files.createTempDirectory("vf");
        BundleContext context = (BundleContext) Proxy.newProxyInstance(Harness.class.getClassLoader(), new Class<?>[] {BundleContext.class},
                (p, m, a) -> m.getName().equals("getProperty") && NicRegistry.WORKERS.equals(a[0]) ? String.valueOf(workers) : null);
        registry = new NicRegistry(fds, context);
        registry.bindSink((name, data) -> events.add(name + " " + data.get("nic") + " " + data.get("to") + " " + data.get("reason")));
    }

    FakeNetwork network(int queues) throws IOException {
        networks.add(new FakeNetwork(fds, queues));
        return networks.getLast();
    }

    /** A backend for a netdev, bound. */
    FakeBackend backend(String netdev, FakeNetwork network) {
        FakeBackend b = new FakeBackend(network);
        bind(netdev, b, 0);
        return b;
    }

    void bind(String netdev, NetBackend b, int ranking) {
        bind(netdev, b, ranking, "fake");
    }

    /** As a backend of a type. */
    void bind(String netdev, NetBackend b, int ranking, String type) {
        bind(netdev, b, ranking, type, 0);
    }

    /** As a backend with a configuration of a revision. */
    void bind(String netdev, NetBackend b, int ranking, String type, int revision) {
        ServiceReference<NetBackend> r = reference(netdev, ranking, type, revision);
        references.put(b, r);
        registry.bindBackend(b, r);
    }

    void unbind(NetBackend b) {
        registry.unbindBackend(b, references.remove(b));
    }

    @SuppressWarnings("unchecked")
    private ServiceReference<NetBackend> reference(String netdev, int ranking, String type, int revision) {
        Map<String, Object> properties = new LinkedHashMap<>(netdevOptions);
        properties.put(NetBackend.NETDEV_ID, netdev);
        properties.put(NetBackend.NETDEV_TYPE, type);
        properties.put(Constants.SERVICE_ID, SERVICE_ID.incrementAndGet());
        properties.put(Constants.SERVICE_RANKING, ranking);
        properties.put(NetBackend.NETDEV_REVISION, revision);
        return (ServiceReference<NetBackend>) Proxy.newProxyInstance(Harness.class.getClassLoader(),
                new Class<?>[] {ServiceReference.class}, (p, m, a) -> switch (m.getName()) {
                    case "getProperty" -> properties.get(a[0]);
                    case "getPropertyKeys" -> properties.keySet().toArray(String[]::new);
                    case "hashCode" -> System.identityHashCode(p);
                    case "equals" -> p == a[0];
                    default -> null;
                });
    }

    Map<String, String> options(String id, String... more) {
        Map<String, String> o = new LinkedHashMap<>();
        o.put("id", id);
        o.put("netdev", "net" + id);
        o.put("socket", socket(id).toString());
        for (int i = 0; i < more.length; i += 2) {
            o.put(more[i], more[i + 1]);
        }
        o.values().removeIf(String::isEmpty);
        return o;
    }

    Path socket(String id) {
        return folder.resolve(id);
    }

    /** Adds a NIC whose netdev is "net" and its id. */
    void nic(String id, String... more) throws NicException {
        registry.add(options(id, more), false);
    }

    FrontEnd vmm(String id) throws IOException {
        FrontEnd f = FrontEnd.connect(fds, socket(id), LIMIT);
        closing.add(f::close);
        return f;
    }

    GuestNic guest(String id, GuestNic.Options o) throws IOException {
        GuestNic g = o.start(fds, FrontEnd.connect(fds, socket(id), LIMIT));
        closing.add(g::close);
        return g;
    }

    NicStatus status(String id) {
        return registry.list().stream().filter(s -> s.id().equals(id)).findFirst().orElseThrow(() -> new AssertionError("no NIC " + id));
    }

    /** In-flight memory that its VMM can cut off; a guest with one pair goes on with it. */
    InflightArea unsealed(GuestNic g) throws IOException {
        FrontEnd f = g.frontEnd();
        int[] at = g.stop();
        int size = g.receive(0).ringSize();
        long bytes = 2 * PackedInflightLayout.stride(size);
        Fd file = SharedMemory.create(fds, "in-flight memory", bytes, false);
        closing.add(file::close);
        InflightArea a = new InflightArea(new InflightSpec(bytes, 0, 2, size), file);
        f.setInflight(a);
        for (DriverQueue q : List.of(g.receive(0), g.transmit(0))) {
            f.start(q, at[q.index()]);
            f.enable(q.index(), true);
        }
        return a;
    }

    void awaitState(String id, NicState state) {
        Await.until(LIMIT, "NIC " + id + " to be " + state, () -> status(id).state() == state);
    }

    /**
     * Freezes a NIC as its owner does, who tries again: its port's own threads have no longer to stand still than a frozen guest may
     * wait, and a busy machine may not even have begun by then.
     */
    static void freeze(TransferableNic nic) {
        Await.until(LIMIT, "the threads of the NIC's port to stand still", () -> {
            try {
                nic.freeze(soon());
                return true;
            } catch (NicException e) {
                if (!LATE.matcher(e.getMessage()).find()) {
                    throw e;
                }
                return false;
            }
        });
    }

    /** A freeze that is refused for a reason, and what is said of it. */
    static String freezeRefused(TransferableNic nic, String why) {
        String said = Await.value(LIMIT, "a freeze that is refused: " + why, () -> {
            String m = assertThrows(NicException.class, () -> nic.freeze(soon())).getMessage();
            return m.contains(why) || !LATE.matcher(m).find() ? m : null;
        });
        assertTrue(said.contains(why), said);
        return said;
    }

    long counter(String id, String name) {
        return status(id).counters().get(name);
    }

    /** Does something at the end. */
    void atEnd(Runnable what) {
        closing.add(what);
    }

    static long soon() {
        return System.nanoTime() + LIMIT.toNanos();
    }

    @Override
    public void close() {
        references.keySet().stream().filter(FakeBackend.class::isInstance).map(FakeBackend.class::cast).forEach(b -> {
            for (String call : List.of("transmit", "receive", "open", "load", "apply", "close", "save", "statistics", "profile")) {
                b.wake(call);
            }
        });
        closing.reversed().forEach(Runnable::run);
        registry.stop();
        networks.forEach(FakeNetwork::close);
        try (Stream<Path> files = Files.list(folder)) {
            for (Path f : files.toList()) {
                Files.delete(f);
            }
            Files.delete(folder);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
