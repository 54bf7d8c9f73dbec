// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.GuestRam;
import org.vireo.guest.InflightArea;
import org.vireo.guest.RefusedException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.PackedInflightLayout;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.SplitInflightLayout;
import org.vireo.vhostuser.VirtioNet;

/** GET_INFLIGHT_FD and SET_INFLIGHT_FD: what a VMM may say of the memory that it keeps, and what rings make of it. */
class InflightSessionTest {
    private static final long PROTOCOL = GuestNic.PROTOCOL | ProtocolFeatures.INFLIGHT_SHMFD;
    private static final int SIZE = 64;

    private Harness h;
    private FakeNetwork net;
    private FakeBackend backend;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        backend = h.backend("neta", net);
        h.nic("a");
    }

    @AfterEach
    void stop() {
        h.close();
    }

    private GuestNic guest(boolean packed) throws IOException {
        return h.guest("a", GuestNic.options().packed(packed).inflight(true).ringSize(SIZE));
    }

    private FrontEnd vmm(long features) throws IOException {
        FrontEnd f = h.vmm("a");
        f.negotiate(features, PROTOCOL);
        return f;
    }

    private InflightArea area(long size, long offset, int queues, int entries, long fileBytes) throws IOException {
        Fd file = SharedMemory.create(h.fds, "in-flight memory", fileBytes, false);
        h.atEnd(file::close);
        return new InflightArea(new InflightSpec(size, offset, queues, entries), file);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void memoryIsMadeAsPeersMakeIt(boolean packed) throws Exception {
        FrontEnd f = vmm(GuestNic.RING_FEATURES | (packed ? VirtioNet.RING_PACKED : 0));
        try (InflightArea a = f.inflight(2, 250).orElseThrow()) {
            long stride = packed ? PackedInflightLayout.stride(250) : SplitInflightLayout.stride(250);
            assertEquals(new InflightSpec(2 * stride, 0, 2, 250), a.spec());
            assertEquals(2 * stride, SharedMemory.size(a.file()));
            assertTrue(SharedMemory.isSealed(a.file()), "it cannot be cut off");
            f.setInflight(a);
        }
        assertEquals(0, PackedInflightLayout.stride(250) % 64);
    }

    @ParameterizedTest
    @CsvSource({"4096, 0, 0, 64", "4096, 0, 3, 64", "4096, 0, 2, 0", "4096, 0, 2, 32769", "2079, 0, 2, 64", "4096, 4, 2, 64",
        "4096, -8, 2, 64", "4096, 9223372036854775800, 2, 64", "-1, 0, 2, 64", "4097, 0, 2, 64", "4104, 0, 2, 64", "8192, 8, 2, 64"})
    void whatIsNotRightIsRefusedAndNothingChanges(long size, long offset, int queues, int entries) throws Exception {
        FrontEnd f = vmm(GuestNic.RING_FEATURES);
        long before = OpenFiles.count();
        InflightArea a = area(size, offset, queues, entries, 8192);
        assertThrows(RefusedException.class, () -> f.setInflight(a));
        Await.until(Harness.LIMIT, "no descriptor left over", () -> OpenFiles.count() <= before + 1);
        f.setInflight(area(4096, 4096, 2, SIZE, 8192));
    }

    @Test
    void packedRingsNeedMore() throws Exception {
        FrontEnd f = vmm(GuestNic.RING_FEATURES | VirtioNet.RING_PACKED);
        long bytes = 2 * PackedInflightLayout.bytes(SIZE);
        assertThrows(RefusedException.class, () -> f.setInflight(area(bytes - 16, 0, 2, SIZE, bytes)));
        f.setInflight(area(bytes, 0, 2, SIZE, bytes));
    }

    @Test
    void whoDidNotAcknowledgeItCannotUseIt() throws Exception {
        FrontEnd f = h.vmm("a");
        f.negotiate(GuestNic.RING_FEATURES, GuestNic.PROTOCOL);
        assertThrows(RefusedException.class, () -> f.setInflight(area(4096, 0, 2, SIZE, 4096)));
    }

    /** QEMU acknowledges it for a net device and never uses it. */
    @Test
    void whoAcknowledgesItNeedNotUseIt() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options().protocol(PROTOCOL));
        assertTrue(g.inflight().isEmpty());
        net.passBothWays(g, 1);
    }

    @Test
    void notWhileRingsRun() throws Exception {
        GuestNic g = guest(false);
        net.passBothWays(g, 1);
        assertThrows(RefusedException.class, () -> g.frontEnd().setInflight(g.inflight().orElseThrow()));
        net.passBothWays(g, 2);
    }

    /** A ring's part of the memory, mapped until the end. */
    private MemorySegment part(GuestNic g, int ring) throws IOException {
        InflightArea a = g.inflight().orElseThrow();
        long at = SharedMemory.map(a.file(), 0, SharedMemory.size(a.file()));
        h.atEnd(() -> SharedMemory.unmap(at, a.spec().size()));
        long stride = a.spec().size() / a.spec().queues();
        return GuestRam.MEMORY.asSlice(at + ring * stride, stride);
    }

    private static int splitUsed(MemorySegment part) {
        return part.get(ValueLayout.JAVA_SHORT, SplitInflightLayout.USED_INDEX) & 0xffff;
    }

    /** Posted buffers are with the device, sent frames are not. */
    @Test
    void itSaysWhatIsWithTheDevice() throws Exception {
        GuestNic g = guest(false);
        for (int i = 0; i < 5; i++) {
            net.passBothWays(g, i);
        }
        MemorySegment receive = part(g, 0);
        MemorySegment transmit = part(g, 1);
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        // a guest that looks sees a frame before that is written down
        Await.until(Harness.LIMIT, "it is written down", () -> splitUsed(receive) == 5 && splitUsed(transmit) == 5);
        assertTrue(marked(receive) > 0);
        assertEquals(0, marked(transmit));
        g.frontEnd().stop(0);
        assertEquals(0, marked(receive), "look-ahead is undone");
    }

    private static int marked(MemorySegment part) {
        int n = 0;
        for (int i = 0; i < SIZE; i++) {
            n += part.get(ValueLayout.JAVA_BYTE, SplitInflightLayout.HEADER + (long) i * SplitInflightLayout.ENTRY);
        }
        return n;
    }

    /** A ring that was stopped in good order begins where the VMM says, as one of a driver that begins anew. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void afterAStopTheVmmSaysWhereARingGoesOn(boolean packed) throws Exception {
        GuestNic g = guest(packed);
        for (int i = 0; i < 3; i++) {
            net.passBothWays(g, i);
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        int base = g.frontEnd().stop(1);
        MemorySegment part = part(g, 1);
        // of another life
        part.asSlice(SplitInflightLayout.HEADER).fill((byte) 1);
        g.frontEnd().start(g.transmit(0), base);
        g.frontEnd().enable(1, true);
        for (int i = 0; i < 100; i++) {
            net.passBothWays(g, i);
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertEquals(SIZE, g.transmit(0).freeDescriptors());
    }

    /** Who was asked to stop a ring has died while it gave something back; its successor finds it marked as stopped. */
    @Test
    void whatNobodyHasStoppedIsNotForgotten() throws Exception {
        GuestNic g = guest(true);
        net.passBothWays(g, 1);
        int base = g.frontEnd().stop(1);
        long journal = ((NicBlockMemory) h.registry.transferable("a").orElseThrow().block()).journal(1);
        GuestRam.MEMORY.set(ValueLayout.JAVA_LONG, journal, RingJournal.word(base, 1, 1));
        part(g, 1).set(ValueLayout.JAVA_SHORT, SplitInflightLayout.VERSION, (short) 3);
        assertThrows(IOException.class, () -> g.frontEnd().start(g.transmit(0), base));
        awaitWrongVersion();
    }

    /** A ring that goes on here keeps what only the memory knows: no VMM is told where it is. */
    @Test
    void anotherKickGivesNothingBack() throws Exception {
        GuestNic g = guest(false);
        net.passBothWays(g, 1);
        g.frontEnd().close();
        h.awaitState("a", NicState.LISTENING);
        MemorySegment receive = part(g, 0);
        // the next buffer was taken by who died
        receive.set(ValueLayout.JAVA_BYTE, SplitInflightLayout.HEADER + (long) SplitInflightLayout.ENTRY, (byte) 1);
        g.reconnect(FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT));
        assertEquals(1, splitUsed(receive));
        g.frontEnd().vringDescriptor(Request.SET_VRING_KICK, 0, g.receive(0).kickFd());
        assertEquals(1, splitUsed(receive));
        net.passBothWays(g, 2);
        Await.until(Harness.LIMIT, "it is written down", () -> splitUsed(receive) == 2);
    }

    private void reconnect(GuestNic g) throws IOException {
        g.frontEnd().close();
        h.awaitState("a", NicState.LISTENING);
        g.reconnect(FrontEnd.connect(h.fds, h.socket("a"), Harness.LIMIT));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theNextVmmSessionGoesOnWhereTheMemorySays(boolean packed) throws Exception {
        GuestNic g = guest(packed);
        for (int round = 0; round < 40; round++) {
            net.passBothWays(g, round);
            reconnect(g);
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        assertEquals(SIZE, g.transmit(0).freeDescriptors());
    }

    @Test
    void memoryOfAnotherVersionFailsTheStart() throws Exception {
        GuestNic g = guest(false);
        net.passBothWays(g, 1);
        part(g, 1).set(ValueLayout.JAVA_SHORT, SplitInflightLayout.VERSION, (short) 3);
        assertThrows(IOException.class, () -> reconnect(g));
        awaitWrongVersion();
        assertNextVmmIsServed();
    }

    /** The connection is closed before that is said. */
    private void awaitWrongVersion() {
        Await.until(Harness.LIMIT, "the reason", () -> h.events.stream().anyMatch(e -> e.contains("has version 3")));
    }

    private void assertNextVmmIsServed() throws IOException {
        GuestNic g = h.guest("a", GuestNic.options());
        while (net.poll(0) != null) {
            // of those before
        }
        net.passBothWays(g, 99);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void memoryThatIsCutOffFailsTheNicAndNoMore(boolean packed) throws Exception {
        GuestNic g = guest(packed);
        InflightArea a = unsealed(g);
        SharedMemory.resize(a.file(), 0);
        g.transmit(0).send(FakeBackend.frame(0, 60, 3), Harness.soon());
        h.awaitState("a", NicState.FAILED);
        assertTrue(h.status("a").why().contains("was truncated: in-flight memory of " + a.spec().size()), h.status("a").why());
        g.frontEnd().close();
        assertNextVmmIsServed();
    }

    /** The NIC goes on with in-flight memory that can be cut off, and has buffers for received frames. */
    private InflightArea unsealed(GuestNic g) throws IOException {
        net.passBothWays(g, 1);
        InflightArea a = h.unsealed(g);
        net.passBothWays(g, 2);
        return a;
    }

    /** Nothing but the stop touches it. The next VMM has a receive ring when it has started one. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aRingThatFaultsWhileItStopsIsGone(boolean packed) throws Exception {
        GuestNic g = guest(packed);
        InflightArea a = unsealed(g);
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        int base = g.frontEnd().stop(1);
        SharedMemory.resize(a.file(), 0);
        assertThrows(IOException.class, () -> g.frontEnd().stop(0));
        h.awaitState("a", NicState.LISTENING);
        FrontEnd next = vmm(GuestNic.RING_FEATURES | (packed ? VirtioNet.RING_PACKED : 0));
        next.memoryTable(g.ram());
        next.enable(0, true);
        next.enable(1, true);
        next.start(g.transmit(0), base);
        long received = h.counter("a", "receive-frames");
        net.sendSurely(0, FakeBackend.frame(12, 60, 4));
        for (int i = 5; i < 10; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            assertEquals(i, FakeBackend.number(net.take(0), 12));
        }
        assertEquals(received, h.counter("a", "receive-frames"));
        next.close();
        h.awaitState("a", NicState.LISTENING);
        byte[] waited = h.guest("a", GuestNic.options()).receive(0).take(Harness.soon());
        assertEquals(4, FakeBackend.number(waited, 12));
    }

    @Test
    void ringsOfSomebodyElseAreNotTracked() throws Exception {
        FakeRings rings = new FakeRings(net);
        h.bind("netb", rings, 0, "rings");
        h.nic("b");
        FrontEnd f = h.vmm("b");
        assertEquals(0, f.getProtocolFeatures() & ProtocolFeatures.INFLIGHT_SHMFD);
        assertTrue((h.vmm("a").getProtocolFeatures() & ProtocolFeatures.INFLIGHT_SHMFD) != 0);
    }

    /** Split rings move: whoever runs them leaves what the used ring says. Of packed ones nobody could say anything. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void ringsThatAreTrackedAndGivenToSomebodyElse(boolean packed) throws Exception {
        h.unbind(backend);
        h.bind("neta", backend, 0, "frames");
        GuestNic g = guest(packed);
        net.passBothWays(g, 1);
        FakeRings rings = new FakeRings(net);
        rings.features |= VirtioNet.RING_PACKED;
        h.bind("neta", rings, 0, "rings");
        if (packed) {
            NicException e = assertThrows(NicException.class, () -> h.registry.swap("neta", "rings", 0, Harness.soon()));
            assertTrue(e.getMessage().contains("cannot be given to an external back-end"), e.getMessage());
            net.passBothWays(g, 2);
            return;
        }
        MemorySegment transmit = part(g, 1);
        for (int i = 0; i < 3; i++) {
            h.registry.swap("neta", "rings", 0, Harness.soon());
            assertEquals(0, transmit.get(ValueLayout.JAVA_SHORT, SplitInflightLayout.VERSION));
            net.passBothWays(g, 2);
            h.registry.swap("neta", "frames", 0, Harness.soon());
            assertEquals(1, transmit.get(ValueLayout.JAVA_SHORT, SplitInflightLayout.VERSION));
            net.passBothWays(g, 3);
        }
    }
}
