// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntUnaryOperator;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.osgi.framework.Bundle;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.osgi.framework.Version;
import org.vireo.frontend.virtionet.nic.FaultyBackend.Fault;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;

/**
 * Whatever a backend does wrong, in whichever call, it is named with its bundle and version, its own NIC alone is lost, and that works
 * again when it is made anew with a backend that does nothing wrong. On the same worker a neighbour moves numbered frames all the time,
 * from the first case to the last: none is lost, doubled or out of order. What hangs in the data path: {@link WatchdogProofTest}.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(60)
class IsolationTest {
    private static final String NAME = "org.example.faulty 1.2.3";
    private static final List<String> CALLS = List.of("validate", "open", "profile", "queue", "events", "load", "stateFormat", "check",
            "save", "quiesce", "resume", "apply", "statistics", "transmit", "receive", "close");
    private static final AtomicInteger SERVICE_ID = new AtomicInteger(1_000_000);

    private Harness h;
    private NumberedTraffic neighbour;
    private FakeBackend neighbourBackend;
    private final AtomicInteger next = new AtomicInteger();
    private final Map<NetBackend, ServiceReference<NetBackend>> bound = new java.util.IdentityHashMap<>();
    private final List<String> log = new CopyOnWriteArrayList<>();
    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord r) {
            log.add(String.valueOf(r.getMessage()));
        }

        @Override
        public void flush() {
            // nothing is kept back
        }

        @Override
        public void close() {
            // nothing to close
        }
    };

    @BeforeAll
    void start() throws Exception {
        h = new Harness(1);
        FakeNetwork other = h.network(1);
        neighbourBackend = h.backend("netb", other);
        h.nic("b");
        neighbour = new NumberedTraffic(h.guest("b", GuestNic.options()), other);
        Logger.getLogger("org.vireo").addHandler(handler);
    }

    /** The neighbour goes on after each case. */
    @AfterEach
    void goesOn() {
        neighbour.more(5);
        assertEquals(NicState.RUNNING, h.status("b").state());
        log.clear();
    }

    @AfterAll
    void stop() throws Exception {
        Logger.getLogger("org.vireo").removeHandler(handler);
        neighbour.end();
        h.close();
    }

    /** A NIC of its own with a backend of its own. */
    private final class Culprit implements AutoCloseable {
        final String id = "x" + next.incrementAndGet();
        final FakeNetwork net = h.network(1);
        final FaultyBackend backend = new FaultyBackend(net);
        private GuestNic guest;

        Culprit() throws IOException {
            bind(backend);
        }

        void bind(NetBackend b) {
            ServiceReference<NetBackend> r = reference("net" + id);
            bound.put(b, r);
            h.registry.bindBackend(b, r);
        }

        void unbind(NetBackend b) {
            h.registry.unbindBackend(b, bound.remove(b));
        }

        GuestNic run() throws Exception {
            h.nic(id);
            guest = GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket(id), Harness.LIMIT));
            pass();
            return guest;
        }

        /** A frame out and one in; what is left of frames before them does not count. */
        void pass() {
            int number = 1_000 + next.incrementAndGet();
            assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, number), Harness.soon()));
            while (FakeBackend.number(net.take(0), 12) != number) {
                Thread.onSpinWait();
            }
            net.sendSurely(0, FakeBackend.frame(12, 60, number));
            byte[] in;
            do {
                in = guest.receive(0).take(Harness.soon());
                assertNotNull(in);
            } while (FakeBackend.number(in, 12) != number);
        }

        void fail(String call, Fault fault) {
            backend.fault(call, fault);
        }

        void frameOut() {
            assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, 7), Harness.soon()));
        }

        String awaitFailed() {
            h.awaitState(id, NicState.FAILED);
            String why = h.status(id).why();
            assertTrue(why.contains(NAME), why);
            return why;
        }

        /** What an operator does: the NIC and its netdev anew. */
        void recover() throws Exception {
            hangUp();
            if (h.registry.list().stream().anyMatch(n -> n.id().equals(id))) {
                Await.until(Harness.LIMIT, "the end of what was tried with " + id, this::isRemoved);
            }
            unbind(backend);
            FakeBackend good = new FakeBackend(net);
            bind(good);
            run();
            hangUp();
            h.registry.remove(id);
            unbind(good);
        }

        /** The end of a handover is only posted. */
        private boolean isRemoved() {
            try {
                h.registry.remove(id);
                return true;
            } catch (NicException e) {
                assertTrue(e.getMessage().contains("is in a handover"), e.getMessage());
                return false;
            }
        }

        private void hangUp() {
            if (guest != null) {
                guest.close();
                guest = null;
            }
        }

        @Override
        public void close() {
            hangUp();
            backend.released.countDown();
        }
    }

    private static ServiceReference<NetBackend> reference(String netdev) {
        Bundle bundle = proxy(Bundle.class, Map.of("getSymbolicName", "org.example.faulty", "getVersion", Version.parseVersion("1.2.3"),
                "getBundleId", 77L));
        Map<String, Object> properties = new LinkedHashMap<>();
        properties.put(NetBackend.NETDEV_ID, netdev);
        properties.put(NetBackend.NETDEV_TYPE, "faulty");
        properties.put(Constants.SERVICE_ID, (long) SERVICE_ID.incrementAndGet());
        @SuppressWarnings("unchecked")
        ServiceReference<NetBackend> r = (ServiceReference<NetBackend>) Proxy.newProxyInstance(IsolationTest.class.getClassLoader(),
                new Class<?>[] {ServiceReference.class}, (p, m, a) -> switch (m.getName()) {
                    case "getProperty" -> properties.get(a[0]);
                    case "getPropertyKeys" -> properties.keySet().toArray(String[]::new);
                    case "getBundle" -> bundle;
                    default -> null;
                });
        return r;
    }

    private static <T> T proxy(Class<T> type, Map<String, Object> answers) {
        return type.cast(Proxy.newProxyInstance(IsolationTest.class.getClassLoader(), new Class<?>[] {type},
                (p, m, a) -> answers.get(m.getName())));
    }

    static Stream<Arguments> matrix() {
        List<String> withAnswer = List.of("open", "profile", "queue", "events", "load", "stateFormat", "save");
        return CALLS.stream().flatMap(c -> Stream.of(Fault.values())
                .filter(f -> f != Fault.HANG && (f != Fault.NULL || withAnswer.contains(c))).map(f -> Arguments.of(c, f)));
    }

    @ParameterizedTest(name = "{0} {1}")
    @MethodSource("matrix")
    void aCallThatGoesWrong(String call, Fault fault) throws Exception {
        try (Culprit x = new Culprit()) {
            switch (call) {
                case "validate" -> {
                    x.fail(call, fault);
                    NicException e = assertThrows(NicException.class, () -> h.registry.awaitNetdev("net" + x.id, Harness.soon()));
                    assertTrue(e.getMessage().contains(NAME), e.getMessage());
                }
                case "open", "profile", "queue", "events" -> {
                    x.fail(call, fault);
                    NicException e = assertThrows(NicException.class, () -> h.nic(x.id));
                    assertTrue(e.getMessage().contains(NAME), e.getMessage());
                    assertTrue(call.equals("open") || x.backend.real.calls.contains("close RELEASE"), "its port stays open");
                }
                case "load" -> loadGoesWrong(x, fault);
                case "check", "save", "stateFormat" -> saveGoesWrong(x, call, fault);
                case "quiesce", "resume" -> {
                    x.run();
                    x.fail(call, fault);
                    standsStill(x, call, "threw");
                }
                case "apply" -> {
                    h.nic(x.id);
                    x.fail(call, fault);
                    assertThrows(Exception.class, () -> GuestNic.options().start(h.fds, FrontEnd.connect(h.fds, h.socket(x.id),
                            Harness.LIMIT)).close());
                    x.awaitFailed();
                }
                case "transmit", "receive" -> {
                    x.run();
                    x.fail(call, fault);
                    x.frameOut();
                    x.net.sendSurely(0, FakeBackend.frame(12, 60, 2));
                    x.awaitFailed();
                }
                case "statistics" -> {
                    x.run();
                    x.fail(call, fault);
                    assertTrue(h.registry.measure().size() >= 2);
                    assertTrue(log.stream().anyMatch(l -> l.contains("statistics of " + NAME)), log.toString());
                    x.pass();
                }
                default -> {
                    x.run();
                    x.fail(call, fault);
                    x.hangUp();
                    h.registry.remove(x.id);
                    // when no worker uses it any more
                    Await.until(Harness.LIMIT, "the close to be told", () -> log.stream().anyMatch(l -> l.contains("close of " + NAME)));
                }
            }
            neighbour.more(1);
            x.recover();
        }
    }

    /** What was parked stays, and the guest goes on with the next backend as if nothing had happened. */
    private void loadGoesWrong(Culprit x, Fault fault) throws Exception {
        x.unbind(x.backend);
        FakeBackend good = new FakeBackend(x.net);
        x.bind(good);
        x.run();
        x.fail("load", fault);
        x.unbind(good);
        x.bind(x.backend);
        x.awaitFailed();
        x.unbind(x.backend);
        FakeBackend next = new FakeBackend(x.net);
        x.bind(next);
        h.awaitState(x.id, NicState.RUNNING);
        x.pass();
        assertTrue(next.calls.contains("load"), next.calls.toString());
        x.unbind(next);
        x.bind(x.backend);
    }

    /** It cannot be handed over; it runs on, and whoever looks at the netdevs sees them all. */
    private void saveGoesWrong(Culprit x, String call, Fault fault) throws Exception {
        x.run();
        x.fail(call, fault);
        NicException e = assertThrows(NicException.class,
                () -> h.registry.transferable(x.id).orElseThrow().begin(1, true, false, i -> i.close()));
        assertTrue(e.getMessage().contains(NAME), e.getMessage());
        assertTrue(h.registry.netdevs().stream().map(NetdevStatus::id).toList().containsAll(List.of("netb", "net" + x.id)));
        x.pass();
    }

    /** If it does not stand still it runs on, and is not handed over; if it does not go on afterwards it has failed. */
    private String standsStill(Culprit x, String call, String how) throws Exception {
        TransferableNic t = h.registry.transferable(x.id).orElseThrow();
        t.begin(1, true, false, i -> i.close()).close();
        try {
            if (call.equals("quiesce")) {
                String said = Harness.freezeRefused(t, "quiesce of " + NAME + " " + how);
                x.pass();
                return said;
            }
            Harness.freeze(t);
            t.resume();
            return x.awaitFailed();
        } finally {
            t.end();
        }
    }

    /** Calls that hang, all at the same time: each NIC has its own deadline. */
    @Test
    void callsThatHang() throws Exception {
        List<Culprit> all = new ArrayList<>();
        try {
            List<CompletableFuture<Void>> cases = new ArrayList<>();
            for (String call : List.of("validate", "profile", "queue", "events", "check", "stateFormat", "quiesce", "resume", "load")) {
                Culprit x = new Culprit();
                all.add(x);
                cases.add(CompletableFuture.runAsync(() -> {
                    try {
                        hangs(x, call);
                    } catch (Exception e) {
                        throw new AssertionError(call, e);
                    }
                }, r -> Thread.ofPlatform().daemon().start(r)));
            }
            for (CompletableFuture<Void> c : cases) {
                c.get(40, TimeUnit.SECONDS);
            }
        } finally {
            all.forEach(Culprit::close);
        }
    }

    private void hangs(Culprit x, String call) throws Exception {
        String said;
        switch (call) {
            case "validate" -> {
                x.fail(call, Fault.HANG);
                said = assertThrows(NicException.class, () -> h.registry.awaitNetdev("net" + x.id, System.nanoTime() + 10_000_000_000L))
                        .getMessage();
            }
            case "profile", "queue", "events" -> {
                x.fail(call, Fault.HANG);
                said = assertThrows(NicException.class, () -> h.nic(x.id)).getMessage();
            }
            case "load" -> {
                x.unbind(x.backend);
                FakeBackend good = new FakeBackend(x.net);
                x.bind(good);
                x.run();
                x.fail(call, Fault.HANG);
                x.unbind(good);
                x.bind(x.backend);
                said = x.awaitFailed();
            }
            case "quiesce", "resume" -> {
                x.run();
                x.fail(call, Fault.HANG);
                said = standsStill(x, call, "did not return");
            }
            default -> {
                x.run();
                x.fail(call, Fault.HANG);
                said = assertThrows(NicException.class,
                        () -> h.registry.transferable(x.id).orElseThrow().begin(1, true, false, i -> i.close())).getMessage();
                x.pass();
            }
        }
        assertTrue(said.contains(NAME) && said.contains("did not return"), said);
        assertTrue(x.backend.hangs.await(15, TimeUnit.SECONDS));
        // the netdev's service anew works while the call of the former one still hangs
        x.recover();
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, 1_000_000, 0})
    void aCountThatCannotBe(int count) throws Exception {
        try (Culprit x = new Culprit()) {
            x.run();
            IntUnaryOperator answer = n -> count;
            x.backend.count = answer;
            x.frameOut();
            String why = x.awaitFailed();
            assertTrue(why.contains("transmit returned " + count), why);
            x.recover();
        }
    }

    @Test
    void aQueueThatClosesTheDescriptorThatIsPolled() throws Exception {
        try (Culprit x = new Culprit()) {
            x.run();
            x.backend.beside = () -> x.backend.real.port.queue(0).events().close();
            x.frameOut();
            String why = x.awaitFailed();
            assertTrue(why.contains("still registered with epoll"), why);
            x.recover();
        }
    }

    @Test
    void descriptorsToPollThatAreNone() throws Exception {
        try (Culprit x = new Culprit()) {
            Fd closed = x.net.nearEnd(0).duplicate();
            closed.close();
            x.backend.events = closed;
            NicException e = assertThrows(NicException.class, () -> h.nic(x.id));
            assertTrue(e.getMessage().contains(NAME) && e.getMessage().contains("is closed"), e.getMessage());
            x.recover();
        }
        try (Culprit x = new Culprit()) {
            // its own class: whatever it does in number() would be done on a worker
            x.backend.events = proxy(Fd.class, Map.of("number", 1, "isOpen", true));
            NicException e = assertThrows(NicException.class, () -> h.nic(x.id));
            assertTrue(e.getMessage().contains(NAME) && e.getMessage().contains("not made by OpenContext.fds()"), e.getMessage());
            x.recover();
        }
    }

    @Test
    void descriptorsThatAreLeftOpenAreNamed() throws Exception {
        try (Culprit x = new Culprit(); Fd mine = x.net.nearEnd(0).duplicate()) {
            x.backend.events = mine;
            x.run();
            x.hangUp();
            h.registry.remove(x.id);
            assertTrue(log.stream().anyMatch(l -> l.contains(NAME) && l.contains("left 1 descriptors open")
                    && l.contains("fake network queue 0")), log.toString());
            x.recover();
        }
    }

    /** From many threads, before and after the close; the port that comes next is not its business. */
    @Test
    void newsWithoutEnd() throws Exception {
        try (Culprit x = new Culprit()) {
            x.run();
            PortListener before = x.backend.listener();
            List<Thread> threads = new ArrayList<>();
            AtomicBoolean stop = new AtomicBoolean();
            for (int i = 0; i < 4; i++) {
                threads.add(Thread.ofPlatform().daemon().start(() -> {
                    boolean up = false;
                    while (!stop.get()) {
                        before.link(up);
                        before.stateChanged();
                        up = !up;
                    }
                }));
            }
            try {
                neighbour.more(50);
                x.pass();
                before.failed(null);
                assertTrue(x.awaitFailed().contains("gives no reason"));
                threads.add(Thread.ofPlatform().daemon().start(() -> {
                    while (!stop.get()) {
                        before.failed(new IllegalStateException("said after the close"));
                    }
                }));
                // the same service opens again, and the former port's news go on
                x.hangUp();
                h.registry.remove(x.id);
                x.run();
                neighbour.more(50);
                x.pass();
                h.awaitState(x.id, NicState.RUNNING);
            } finally {
                stop.set(true);
                for (Thread t : threads) {
                    t.join(10_000);
                }
            }
            x.recover();
        }
    }

    @Test
    void countersWithoutEndOrName() throws Exception {
        try (Culprit x = new Culprit()) {
            x.run();
            x.backend.beside = () -> {
                for (int i = 0;; i++) {
                    x.backend.sink.counter("faulty-" + i, i);
                }
            };
            assertTrue(h.registry.measure().size() >= 2);
            x.backend.beside = () -> x.backend.sink.counter(null, 1);
            assertTrue(h.registry.measure().size() >= 2);
            assertTrue(log.stream().anyMatch(l -> l.contains(NAME) && l.contains("more than 256 counters")), log.toString());
            assertTrue(log.stream().anyMatch(l -> l.contains(NAME) && l.contains("counter null")), log.toString());
            // kept, and told more from another thread
            x.backend.beside = () -> { };
            NicStatus measured = h.registry.measure().stream().filter(n -> n.id().equals(x.id)).findFirst().orElseThrow();
            x.backend.sink.counter("late", 1);
            assertFalse(measured.counters().containsKey("port-late"));
            assertEquals(7, measured.counters().get("port-fake"));
            x.recover();
        }
    }

    /** An interrupt of the worker would close the channels of the neighbour's backend. */
    @Test
    void theWorkerIsNotLeftInterrupted() throws Exception {
        AtomicBoolean interrupted = new AtomicBoolean();
        neighbourBackend.transmitError = () -> {
            if (Thread.currentThread().isInterrupted()) {
                interrupted.set(true);
            }
            return 0;
        };
        try (Culprit x = new Culprit()) {
            x.run();
            AtomicInteger times = new AtomicInteger();
            x.backend.beside = () -> {
                times.incrementAndGet();
                Thread.currentThread().interrupt();
            };
            for (int i = 0; i < 100; i++) {
                x.frameOut();
            }
            assertTrue(x.guest.transmit(0).awaitAll(Harness.soon()));
            neighbour.more(50);
            assertTrue(times.get() > 0);
            assertFalse(interrupted.get());
            x.recover();
        } finally {
            neighbourBackend.transmitError = () -> 0;
        }
    }

    /** A close that comes while another call hangs is not left out: what the port holds is free when that has returned. */
    @Test
    void aCloseBehindACallThatHangs() throws Exception {
        try (Culprit x = new Culprit()) {
            x.run();
            x.fail("check", Fault.HANG);
            assertThrows(NicException.class, () -> h.registry.transferable(x.id).orElseThrow().begin(1, true, false, i -> i.close()));
            x.hangUp();
            h.registry.remove(x.id);
            assertNotNull(x.backend.real.port);
            x.backend.released.countDown();
            Await.until(Harness.LIMIT, "the port to be closed", () -> x.backend.real.port == null);
            x.recover();
        }
    }
}
