// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.guest.GuestNic;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestTap;

/** Backends of third parties: they build and pass the kit by themselves, and serve guests. */
final class ThirdPartyIT {
    private static final Duration LIMIT = Duration.ofSeconds(40);
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
    private static final int HEADER = 12;
    private static final byte[] GUEST = {2, 0, 0, 0, 0, 9};

    @TempDir
    private Path folder;
    @RegisterExtension
    final OnTap on = new OnTap();
    private final Descriptors fds = new Descriptors();
    private final ExecutorService traffic = Executors.newSingleThreadExecutor();

    @BeforeAll
    static void build() throws IOException {
        Requirements.root();
        Requirements.tap();
        ThirdParty.begin();
        ThirdParty.copyExample("backend-packet");
        ThirdParty.copyExample("backend-tap-meter");
        ThirdParty.generate("my-net", "my-net");
        ThirdParty.verify("backend-packet", "backend-tap-meter", "my-net");
    }

    @AfterEach
    void endTraffic() throws InterruptedException {
        traffic.shutdownNow();
        assertTrue(traffic.awaitTermination(LIMIT.toSeconds(), TimeUnit.SECONDS), "the traffic does not end");
    }

    /** Sends until it is told to stop: how many frames. */
    private Future<Integer> sending(GuestNic g, AtomicBoolean stop) {
        return traffic.submit(() -> {
            int n = 0;
            while (!stop.get() && !Thread.currentThread().isInterrupted()) {
                Guests.send(g, 10, LIMIT);
                n += 10;
                LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(1));
            }
            return n;
        });
    }

    private static byte[] frame(String to, int type, int bytes) {
        ByteBuffer b = ByteBuffer.allocate(bytes);
        for (int i = 0; i < 12; i += 2) {
            b.put((byte) Integer.parseInt(to.substring(i, i + 2), 16));
        }
        return b.put(GUEST).putShort((short) type).array();
    }

    private static void send(GuestNic g, byte[] frame, int count) {
        for (int i = 0; i < count; i++) {
            assertTrue(g.transmit(0).send(frame, System.nanoTime() + LIMIT.toNanos()), "a frame is taken");
        }
    }

    /** The counters of the only NIC, those that its backend tells among them. */
    private static Map<String, Long> counters(Vireo v) {
        Map<String, Long> all = new HashMap<>();
        Matcher m = Pattern.compile("\"(port-[a-z0-9-]+)\": ?(\\d+)").matcher(String.join("\n", v.client("qmp", "query-nics")));
        while (m.find()) {
            all.put(m.group(1), Long.parseLong(m.group(2)));
        }
        return all;
    }

    private static void awaitServing(Vireo v, String bundle) {
        Await.until(LIMIT, bundle + " to serve net0", () -> String.join("\n", v.client("netdev", "list")).contains(bundle));
    }

    /** Three pings to the guest, which does not answer. */
    private void ping(String ifname, GuestNic g) {
        on.namespace().run("ip", "addr", "add", "192.0.2.1/24", "dev", ifname);
        on.namespace().run("ip", "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:09", "dev", ifname);
        on.namespace().run("sh", "-c", "ping -q -c 3 -i 0.01 -W 1 192.0.2.2 || true");
        for (int i = 0; i < 3; i++) {
            byte[] f = g.receive(0).take(System.nanoTime() + LIMIT.toNanos());
            assertTrue(f != null && (f.length == 98 || f.length == HEADER + 98), "an echo request, not " + (f == null ? 0 : f.length));
        }
    }

    @Test
    void eachHasPassedTheKit() throws IOException {
        ThirdParty.expectTested("backend-packet", 35, 0);
        ThirdParty.expectTested("backend-tap-meter", 30, 0);
        // it has one queue pair
        ThirdParty.expectTested("my-net", 28, 1);
    }

    @Test
    void aMeterIsPutBehindARunningGuestsNicAndTakenAway() throws Exception {
        Path down = Files.writeString(folder.resolve("down"), "#!/bin/sh\necho \"$1\" >" + folder.resolve("was-down") + "\n");
        Files.setPosixFilePermissions(down, PosixFilePermissions.fromString("rwxr-xr-x"));
        try (Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"), "--netdev",
                "tap,id=net0,ifname=" + on.tap() + ",downscript=" + down, "--nic", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
                GuestNic guest = Guests.connect(fds, folder.resolve("nic0"))) {
            v.client("backend", "install", ThirdParty.jar("backend-tap-meter").toString());
            AtomicBoolean stop = new AtomicBoolean();
            Future<Integer> sent = sending(guest, stop);
            v.client("backend", "swap", "net0", "--to", "tap-meter");
            awaitServing(v, "com.example.vireo.tapmeter");
            stop.set(true);
            int total = sent.get();
            Map<String, Long> before = counters(v);
            send(guest, frame("ffffffffffff", 0x0806, 60), 10);
            send(guest, frame("020000000001", 0x0800, 1000), 20);
            send(guest, frame("333300000001", 0x86dd, 100), 30);
            ping(on.tap(), guest);
            total += 60;
            Map<String, Long> more = counters(v);
            before.forEach((name, n) -> more.merge(name, -n, Long::sum));
            more.values().removeIf(n -> n == 0);
            more.keySet().removeIf(n -> !n.startsWith("port-transmit-") && !n.startsWith("port-receive-"));
            assertEquals(Map.ofEntries(Map.entry("port-transmit-broadcast-frames", 10L), Map.entry("port-transmit-broadcast-bytes", 600L),
                    Map.entry("port-transmit-arp-frames", 10L), Map.entry("port-transmit-arp-bytes", 600L),
                    Map.entry("port-transmit-unicast-frames", 20L), Map.entry("port-transmit-unicast-bytes", 20_000L),
                    Map.entry("port-transmit-ipv4-frames", 20L), Map.entry("port-transmit-ipv4-bytes", 20_000L),
                    Map.entry("port-transmit-multicast-frames", 30L), Map.entry("port-transmit-multicast-bytes", 3_000L),
                    Map.entry("port-transmit-ipv6-frames", 30L), Map.entry("port-transmit-ipv6-bytes", 3_000L),
                    Map.entry("port-receive-unicast-frames", 3L), Map.entry("port-receive-unicast-bytes", 294L),
                    Map.entry("port-receive-ipv4-frames", 3L), Map.entry("port-receive-ipv4-bytes", 294L)), more);
            stop.set(false);
            sent = sending(guest, stop);
            v.client("backend", "swap", "net0", "--to", "tap");
            awaitServing(v, TapBundle.NAME);
            stop.set(true);
            int all = total + sent.get();
            Await.until(LIMIT, "all " + all + " frames on the TAP, none lost", () -> on.arrived() == all);
            v.client("nic", "del", "nic0");
            Await.until(LIMIT, "the downscript, which came through both swaps", () -> Files.exists(folder.resolve("was-down")));
        }
    }

    @Test
    void anInterfacesFramesMoveToAnotherProcess() throws Exception {
        Path backends = ThirdParty.folder("backend-packet");
        String nic = "id=nic0,netdev=net0,socket=" + folder.resolve("nic0");
        try (TestTap veth = TestTap.veth(on.namespace()).up();
                Vireo one = Vireo.run(on.namespace(), folder.resolve("qmp1"), "--backends", backends.toString(), "--netdev",
                        "packet,id=net0,ifname=" + veth.name(), "--nic", nic);
                Vireo other = Vireo.run(on.namespace(), folder.resolve("qmp2"), "--backends", backends.toString(), "--incoming",
                        "unix:" + folder.resolve("handover"), "--nic", nic);
                GuestNic guest = Guests.connect(fds, folder.resolve("nic0"))) {
            AtomicBoolean stop = new AtomicBoolean();
            Guests.send(guest, 100, LIMIT);
            Await.until(LIMIT, "frames at the other end", () -> on.namespace().framesReceived(veth.peer()) == 100);
            Future<Integer> sent = sending(guest, stop);
            one.client("migrate", "unix:" + folder.resolve("handover"));
            one.client("qmp", "quit");
            stop.set(true);
            int all = 100 + sent.get();
            Await.until(LIMIT, "all " + all + " frames at the other end, none lost",
                    () -> on.namespace().framesReceived(veth.peer()) == all);
            awaitServing(other, "com.example.vireo.packet");
            ping(veth.peer(), guest);
            assertTrue(other.client("nic", "list").stream().anyMatch(l -> l.startsWith("nic0") && l.contains("running")));
        }
    }

    @Test
    void whatTheArchetypeGeneratesIsReplacedByItsNextVersionUnderTwoGuests() throws Exception {
        String a = folder.resolve("a").toString();
        String b = folder.resolve("b").toString();
        try (Vireo v = Vireo.run(on.namespace(), folder.resolve("qmp"))) {
            v.client("backend", "install", ThirdParty.jar("my-net").toString());
            v.client("netdev", "add", "my-net,id=net0,path=" + a + ",peer=" + b);
            v.client("netdev", "add", "my-net,id=net1,path=" + b + ",peer=" + a);
            v.client("nic", "add", "id=nic0,netdev=net0,socket=" + folder.resolve("nic0"));
            v.client("nic", "add", "id=nic1,netdev=net1,socket=" + folder.resolve("nic1"));
            try (GuestNic one = Guests.connect(fds, folder.resolve("nic0")); GuestNic other = Guests.connect(fds, folder.resolve("nic1"))) {
                AtomicBoolean stop = new AtomicBoolean();
                Future<Integer> sent = sending(one, stop);
                Future<Void> swap = Executors.newVirtualThreadPerTaskExecutor().submit(() -> {
                    v.client("backend", "install", ThirdParty.version("my-net", "1.1.0").toString());
                    awaitServing(v, "com.example.my-net 1.1.0");
                    stop.set(true);
                    return null;
                });
                int got = 0;
                long end = System.nanoTime() + LIMIT.toNanos();
                while (!sent.isDone() || got < sent.get()) {
                    // who reads too slowly holds the sender up: nothing is lost to a full socket
                    got += other.receive(0).take(System.nanoTime() + LOOK_NANOS) == null ? 0 : 1;
                    assertTrue(System.nanoTime() < end, "only " + got + " frames have come");
                }
                assertEquals(sent.get(), got);
                swap.get();
                Await.until(LIMIT, "the log of both swaps",
                        () -> v.process().lines().stream().filter(l -> l.contains("rings stood still for")).count() == 2);
                send(other, frame("ffffffffffff", 0x88b5, 70), 3);
                for (int i = 0; i < 3; i++) {
                    assertTrue(one.receive(0).take(System.nanoTime() + LIMIT.toNanos()) != null, "and in the other direction");
                }
            }
        }
    }
}
