// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.VirtioNet;

/** A NIC moves whose backend only one process can have open: the source closes it, the target opens it, and there is a way back. */
class BreakBeforeMakeTest {
    private Harness source;
    private Harness target;
    private FakeNetwork net;
    private FakeBackend sourceBackend;
    private FakeBackend targetBackend;
    private GuestNic guest;

    @BeforeEach
    void start() throws Exception {
        source = new Harness(1);
        target = new Harness(1);
        net = source.network(1);
        net.exclusive();
        sourceBackend = source.backend("neta", net);
        targetBackend = target.backend("neta", net);
        source.nic("a");
        guest = source.guest("a", GuestNic.options().features(GuestNic.RING_FEATURES | VirtioNet.CSUM));
        bothWays(1);
    }

    @AfterEach
    void stop() {
        target.close();
        source.close();
    }

    private static long deadline() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(15);
    }

    private void send(int number) {
        assertTrue(guest.transmit(0).send(FakeBackend.frame(0, 60, number), Harness.soon()));
        net.sendSurely(0, FakeBackend.frame(12, 60, number));
    }

    private void expect(int number) {
        assertEquals(number, FakeBackend.number(net.take(0), 12));
        byte[] b = guest.receive(0).take(Harness.soon());
        assertNotNull(b);
        assertEquals(number, FakeBackend.number(b, 12));
    }

    private void bothWays(int number) {
        send(number);
        expect(number);
    }

    private TransferableNic outgoing() {
        return source.registry.transferable("a").orElseThrow();
    }

    private IncomingNic prepare(TransferableNic out) throws NicException {
        return target.registry.prepare(out.begin(1, false, true, NicImage::close), false, deadline());
    }

    /** While nobody has it open, frames wait in the rings and in the network. */
    private void sendInTheGap(int from, int count) {
        for (int i = 0; i < count; i++) {
            send(from + i);
        }
        assertNull(net.poll(0));
        assertEquals(0, guest.receive(0).pending());
    }

    private void expectAll(int from, int count) {
        for (int i = 0; i < count; i++) {
            expect(from + i);
        }
    }

    @Test
    void theSourceClosesAndThenTheTargetOpens() throws Exception {
        TransferableNic out = outgoing();
        NicImage image = out.begin(1, false, true, NicImage::close);
        assertTrue(image.backend().isEmpty());
        IncomingNic in = target.registry.prepare(image, false, deadline());
        assertEquals(List.of("validate"), targetBackend.calls, "touched before it was taken");
        bothWays(2);
        out.freeze(deadline());
        assertTrue(sourceBackend.calls.contains("close LEAVE"), sourceBackend.calls.toString());
        sendInTheGap(100, 20);
        in.take();
        assertEquals(List.of("validate", "open", "apply"), targetBackend.calls);
        expectAll(100, 20);
        in.giveBack();
        out.resume();
        bothWays(3);
        HandoverInsideTest.handOver(out, in);
        target.awaitState("a", NicState.RUNNING);
        bothWays(4);
        assertEquals(sourceBackend.applied, targetBackend.applied);
        assertFalse(sourceBackend.calls.contains("close RELEASE") || targetBackend.calls.contains("close RELEASE"),
                "a duty of the end was run by who only makes room");
        assertTrue(source.registry.list().isEmpty());
    }

    @Test
    void aTargetThatCannotOpenGivesBackAndNoFrameIsLost() throws Exception {
        targetBackend.openFails = true;
        for (int round = 0; round < 5; round++) {
            TransferableNic out = outgoing();
            try (IncomingNic in = prepare(out)) {
                out.freeze(deadline());
                sendInTheGap(100 * round, 20);
                NicException e = assertThrows(NicException.class, in::take);
                assertTrue(e.getMessage().contains("EBUSY"), e.getMessage());
                assertNull(targetBackend.port);
            }
            out.resume();
            out.end();
            expectAll(100 * round, 20);
            source.awaitState("a", NicState.RUNNING);
            bothWays(50);
            assertTrue(target.registry.list().isEmpty());
        }
        // and again at once, with a target that can
        targetBackend.openFails = false;
        TransferableNic again = outgoing();
        HandoverInsideTest.handOver(again, prepare(again));
        bothWays(51);
    }

    /** What it can is known only when it is open: too little is a reason to give back, with nothing held. */
    @Test
    void aTargetThatLacksAFeatureGivesBack() throws Exception {
        targetBackend.features = 0;
        TransferableNic out = outgoing();
        try (IncomingNic in = prepare(out)) {
            out.freeze(deadline());
            NicException e = assertThrows(NicException.class, in::take);
            assertTrue(e.getMessage().contains("CSUM"), e.getMessage());
            in.giveBack();
            assertNull(targetBackend.port, "it keeps the source from opening");
        }
        out.resume();
        out.end();
        bothWays(2);
        assertFalse(targetBackend.calls.contains("close RELEASE"), targetBackend.calls.toString());
    }

    @Test
    void anOfferThatIsWithdrawnOpensAgain() throws Exception {
        TransferableNic out = outgoing();
        IncomingNic in = prepare(out);
        for (int round = 0; round < 10; round++) {
            out.freeze(deadline());
            sendInTheGap(100 * round, 20);
            out.resume();
            expectAll(100 * round, 20);
        }
        in.close();
        out.end();
        assertEquals(List.of("validate"), targetBackend.calls);
        assertEquals(11, sourceBackend.calls.stream().filter("open"::equals).count());
        source.awaitState("a", NicState.RUNNING);
    }

    @Test
    void aSourceThatCannotOpenAgainSaysSoAndGoesOnWithTheNextBackend() throws Exception {
        TransferableNic out = outgoing();
        IncomingNic in = prepare(out);
        out.freeze(deadline());
        sourceBackend.openFails = true;
        sendInTheGap(100, 5);
        out.resume();
        source.awaitState("a", NicState.FAILED);
        assertTrue(source.status("a").why().contains("EBUSY"), source.status("a").why());
        in.close();
        out.end();
        source.backend("neta", net);
        source.awaitState("a", NicState.RUNNING);
        expectAll(100, 5);
    }

    /** A bundle that comes while nobody may use the NIC opens nothing. */
    @Test
    void aBackendThatArrivesInTheGapWaits() throws Exception {
        TransferableNic out = outgoing();
        IncomingNic in = prepare(out);
        out.freeze(deadline());
        source.unbind(sourceBackend);
        FakeBackend next = source.backend("neta", net);
        assertThrows(NicException.class, () -> out.begin(1, false, true, NicImage::close));
        sendInTheGap(100, 5);
        in.close();
        out.resume();
        expectAll(100, 5);
        Await.until(Harness.LIMIT, "the new backend", () -> next.calls.contains("open"));
        out.end();
    }

    @Test
    void withoutItTheRefusalNamesIt() throws Exception {
        TransferableNic out = outgoing();
        NicImage image = out.begin(1, false, false, NicImage::close);
        NicException e = assertThrows(NicException.class, () -> target.registry.prepare(image, false, deadline()));
        assertTrue(e.getMessage().contains("EBUSY") && e.getMessage().contains("break-before-make=on"), e.getMessage());
        out.end();
        bothWays(2);
    }

    /** With its state, a backend moves without a gap, whatever the parameter says. */
    @Test
    void aBackendWhoseStateTravelsIsNotClosed() throws Exception {
        TransferableNic out = outgoing();
        IncomingNic in = target.registry.prepare(out.begin(1, true, true, NicImage::close), true, deadline());
        assertTrue(targetBackend.calls.contains("load"), targetBackend.calls.toString());
        out.freeze(deadline());
        assertFalse(sourceBackend.calls.contains("close"), sourceBackend.calls.toString());
        in.close();
        out.resume();
        out.end();
        bothWays(2);
    }

    @Test
    void aStandbyKeepsTheBackendOpenSoItIsRefused() throws Exception {
        TransferableNic standby = outgoing();
        standby.follow(1, NicImage::close).close();
        TransferableNic out = outgoing();
        NicException e = assertThrows(NicException.class, () -> out.begin(1, false, true, NicImage::close));
        assertTrue(e.getMessage().contains("standby") && e.getMessage().contains("break-before-make"), e.getMessage());
        standby.end();
        out.begin(1, false, true, NicImage::close).close();
        e = assertThrows(NicException.class, () -> standby.follow(1, NicImage::close));
        assertTrue(e.getMessage().contains("break-before-make"), e.getMessage());
        out.end();
        standby.follow(1, NicImage::close).close();
    }
}
