// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.handover.wire.Message;
import org.vireo.handover.wire.RecordType;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.testsupport.Await;

/** A target that has prepared a NIC, and whose source is made by hand: it breaks off, dies, or says only half of what it should. */
@Timeout(60)
class TargetSessionTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);

    private SessionFixture f;
    private FakeBlock block;

    @BeforeEach
    void start() throws Exception {
        f = new SessionFixture();
        Context context = f.context(Deadlines.STANDARD);
        f.start(new TargetSession(context, f.mine(), f.peer(), f.cancel, new Report("target", context.events()), Parameters.STANDARD)::run);
        block = f.prepare("nic0");
    }

    @AfterEach
    void stop() throws InterruptedException {
        f.end();
    }

    @Test
    void theEndOfTheChannelBeforeTheOfferLetsGoWithoutSideEffects() throws Exception {
        f.theirs().close();
        f.awaitEnd();
        assertEquals(List.of("close"), f.host.incoming.get(0).calls);
        assertEquals(1, Ownership.decode(block.word()).epoch(), "the word was not touched");
    }

    /** What cannot be said is no reason to go on as if it had been: the source does not wait for it. */
    @Test
    void aTargetThatCannotAnswerEndsTheChannel() throws Exception {
        long end = Deadlines.in(20_000);
        WireException e = assertThrows(WireException.class, () -> {
            for (long seq = 1L << 32 | 1; System.nanoTime() - end < 0; seq++) {
                // nobody reads the answers
                try (NicImage i = NicImage.of("nic0", 1, seq, List.of(), null)) {
                    f.theirs().send(Message.of(RecordType.CHANGE, i), Deadlines.in(5_000));
                }
            }
        });
        assertTrue(e.getMessage().contains("EPIPE"), e.getMessage());
        f.theirs().close();
        f.awaitEnd();
    }

    @Test
    void aSourceThatDiesBeforeItsOfferIsSucceeded() throws Exception {
        f.kill();
        f.awaitEnd();
        assertEquals(List.of("take", "own"), f.host.incoming.get(0).calls);
        assertEquals(new Ownership(4, Phase.OWNED, 1, Ownership.NONE), Ownership.decode(block.word()));
    }

    @Test
    void theWordAloneIsTheOffer() throws Exception {
        long w = block.word();
        assertTrue(block.compareAndSet(w, WordRules.offer(w, 1)));
        // no OFFER record: the source stopped between the two
        Await.until(LIMIT, "owned", () -> Ownership.decode(block.word()).equals(new Ownership(5, Phase.OWNED, 1, Ownership.NONE)));
        f.theirs().close();
        f.awaitEnd();
        assertEquals(List.of("take", "own"), f.host.incoming.get(0).calls);
    }

    @Test
    void aTargetThatIsBehindDoesNotTake() throws Exception {
        block.seq(block.seq() + 1);
        long w = block.word();
        assertTrue(block.compareAndSet(w, WordRules.offer(w, 1)));
        f.tell(RecordType.OFFER, Message.about(RecordType.OFFER, "nic0").number("seq", 1).build());
        f.theirs().close();
        f.awaitEnd();
        assertEquals(List.of("close"), f.host.incoming.get(0).calls);
        assertEquals(Phase.OFFERED, Ownership.decode(block.word()).phase());
    }
}
