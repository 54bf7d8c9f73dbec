// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.EventFd;

class MessageChannelTest {
    private static final MemorySegment EMPTY = Wire.bytes(0);
    private Pair p;

    @BeforeEach
    void connect() throws IOException {
        p = new Pair(40);
    }

    @AfterEach
    void disconnect() {
        p.close();
    }

    private static long soon() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(2);
    }

    private Message whole() throws Exception {
        return assertInstanceOf(Look.Whole.class, p.channel.peek()).message();
    }

    @Test
    void nothingIsNothing() throws Exception {
        assertInstanceOf(Look.Nothing.class, p.channel.peek());
    }

    @Test
    void aMessageStaysUntilItIsConsumed() throws Exception {
        p.write(Request.SET_FEATURES.id(), MessageChannel.u64(0x1_4000_0000L), 0);
        p.write(Request.SET_OWNER.id(), EMPTY, 0);
        for (int look = 0; look < 3; look++) {
            try (Message m = whole()) {
                assertEquals(Request.SET_FEATURES, m.request().orElseThrow());
                assertEquals(0x1_4000_0000L, m.u64());
                m.check();
            }
        }
        p.channel.consume(whole());
        Message second = whole();
        assertEquals(Request.SET_OWNER, second.request().orElseThrow());
        p.channel.consume(second);
        assertInstanceOf(Look.Nothing.class, p.channel.peek());
    }

    @Test
    void looksBringDescriptorsAnewAndLeakNone() throws Exception {
        p.write(Request.SET_VRING_KICK.id(), MessageChannel.u64(1), 1);
        p.write(Request.SET_VRING_CALL.id(), MessageChannel.u64(1), 1);
        int before = Pair.openDescriptors();
        for (int look = 0; look < 20; look++) {
            try (Message m = whole()) {
                m.check();
                assertEquals(1, m.descriptors().size());
                assertEquals(before + 1, Pair.openDescriptors());
            }
        }
        Message m = whole();
        try (Fd kick = m.takeDescriptor()) {
            p.channel.consume(m);
            m.close();
            EventFd.signal(p.spare(1).getFirst().number());
            assertEquals(1, EventFd.drain(kick.number()), "the descriptor that came is the one that was sent");
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void surplusDescriptorsAreRefusedAndClosed() throws Exception {
        int before = Pair.openDescriptors();
        p.write(Request.GET_FEATURES.id(), EMPTY, 40);
        try (Message m = whole()) {
            IOException e = assertThrows(IOException.class, () -> p.channel.consume(m));
            assertEquals("GET_FEATURES: came with 40 descriptors, expected none", e.getMessage());
        }
        p.write(Request.SET_VRING_KICK.id(), MessageChannel.u64(0), 3);
        try (Message m = whole()) {
            assertEquals("SET_VRING_KICK: descriptors is 3, expected one, or none with bit 8 set",
                    assertThrows(MalformedMessageException.class, m::check).getMessage());
            p.channel.consume(m);
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void aMessageThatWasShownTheDescriptorsOfTheNextIsFoundOut() throws Exception {
        int before = Pair.openDescriptors();
        p.write(Request.SET_VRING_KICK.id(), MessageChannel.u64(0), 0);
        p.write(Request.SET_VRING_CALL.id(), MessageChannel.u64(0), 1);
        try (Message m = whole()) {
            IOException e = assertThrows(IOException.class, () -> p.channel.consume(m));
            assertEquals("SET_VRING_KICK: came with 0 descriptors, expected one, or none with bit 8 set", e.getMessage());
        }
        try (Message m = whole()) {
            m.check();
            p.channel.consume(m);
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void aStrayDescriptorThatFrontEndsSendIsClosed() throws Exception {
        int before = Pair.openDescriptors();
        p.write(Request.REM_MEM_REG.id(), new MemoryRegionSpec(0, 4096, 0, 0).payload(), 1);
        try (Message m = whole()) {
            m.check();
            p.channel.consume(m);
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void aLookLeavesTheNextMessagesDescriptorsAlone() throws Exception {
        int before = Pair.openDescriptors();
        p.write(Request.SET_VRING_NUM.id(), new VringState(0, 256).payload(), 0);
        p.write(Request.SET_VRING_CALL.id(), MessageChannel.u64(Message.NO_DESCRIPTOR), 0);
        p.write(Request.SET_VRING_KICK.id(), MessageChannel.u64(0), 1);
        for (Request r : List.of(Request.SET_VRING_NUM, Request.SET_VRING_CALL, Request.SET_VRING_KICK)) {
            try (Message m = whole()) {
                assertEquals(r, m.request().orElseThrow());
                m.check();
                assertEquals(r == Request.SET_VRING_KICK ? 1 : 0, m.descriptors().size());
                p.channel.consume(m);
            }
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void everyPartOfAMessageIsPartial() throws Exception {
        MemorySegment m = Pair.message(Request.SET_VRING_NUM.id(), MessageHeader.VERSION, new VringState(1, 256).payload());
        for (int i = 0; i < m.byteSize(); i++) {
            assertEquals(i == 0 ? new Look.Nothing() : new Look.Partial(i), p.channel.peek());
            p.write(m, i, 1, 0);
        }
        assertEquals(new VringState(1, 256), whole().vringState());
    }

    @Test
    void aMessageInPiecesBehindItsDescriptorsIsWhole() throws Exception {
        MemorySegment m = Pair.message(Request.SET_VRING_KICK.id(), MessageHeader.VERSION, MessageChannel.u64(3));
        int before = Pair.openDescriptors();
        for (int cut = 1; cut < m.byteSize(); cut++) {
            p.write(m, 0, cut, 1);
            assertEquals(new Look.Partial(cut), p.channel.peek());
            p.write(m, cut, m.byteSize() - cut, 0);
            p.write(Request.SET_OWNER.id(), EMPTY, 0);
            for (int look = 0; look < 2; look++) {
                try (Message w = whole()) {
                    w.check();
                    assertEquals(3, w.descriptorRing());
                }
            }
            try (Message w = whole()) {
                p.channel.consume(w);
            }
            Message next = whole();
            assertEquals(Request.SET_OWNER, next.request().orElseThrow());
            p.channel.consume(next);
        }
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void anotherVersionCannotBeFollowed() throws Exception {
        MemorySegment m = Pair.message(Request.SET_OWNER.id(), 2, EMPTY);
        p.write(m, 0, m.byteSize(), 1);
        int before = Pair.openDescriptors();
        MalformedMessageException e = assertThrows(MalformedMessageException.class, p.channel::peek);
        assertEquals("SET_OWNER: version is 2, expected 1", e.getMessage());
        assertEquals(before, Pair.openDescriptors());
    }

    @Test
    void aLongPayloadCannotBeFollowed() throws Exception {
        MemorySegment m = Wire.bytes(MessageHeader.BYTES);
        MessageHeader.write(m, 0, 999, MessageHeader.VERSION, -1);
        p.write(m, 0, m.byteSize(), 0);
        MalformedMessageException e = assertThrows(MalformedMessageException.class, p.channel::peek);
        assertEquals("request 999: payload size is 4294967295, expected at most 4096", e.getMessage());
    }

    @Test
    void theLongestPayloadPasses() throws Exception {
        p.write(999, Wire.bytes(MessageHeader.MAX_PAYLOAD), 0);
        try (Message m = whole()) {
            m.check();
            assertTrue(m.request().isEmpty());
            p.channel.consume(m);
        }
        assertInstanceOf(Look.Nothing.class, p.channel.peek());
    }

    @Test
    void theEndComesAfterWhatWasSent() throws Exception {
        p.write(Request.SET_OWNER.id(), EMPTY, 0);
        p.far.close();
        p.channel.consume(whole());
        assertEquals(new Look.End("the peer closed the connection"), p.channel.peek());
    }

    @Test
    void theEndInAMessageSaysSo() throws Exception {
        p.write(Wire.bytes(5), 0, 5, 0);
        p.far.close();
        assertEquals(new Look.End("the peer closed the connection after 5 bytes of a message"), p.channel.peek());
    }

    @Test
    void aResetIsAnEnd() throws Exception {
        p.channel.send(Request.SET_OWNER, 0, EMPTY, List.of(), soon());
        p.far.close(); // with our message unread
        assertEquals(new Look.End("the connection was reset"), p.channel.peek());
    }

    @Test
    void repliesArriveWithTheirDescriptors() throws Exception {
        MessageChannel front = MessageChannel.of(p.far, Pair.FDS, "test");
        front.send(Request.GET_INFLIGHT_FD, MessageHeader.NEED_REPLY, new InflightSpec(0, 0, 2, 256).payload(), List.of(), soon());
        Message asked = whole();
        asked.check();
        assertTrue(asked.needsReply());
        p.channel.reply(asked, new InflightSpec(8192, 0, 2, 256).payload(), p.spare(1), soon());
        p.channel.consume(asked);
        try (Message m = front.receive(soon()).orElseThrow()) {
            m.checkReply(false);
            assertFalse(m.needsReply());
            assertEquals(new InflightSpec(8192, 0, 2, 256), m.inflight());
            assertEquals(1, m.descriptors().size());
        }
        p.channel.replyU64(asked, 1, soon());
        try (Message m = front.receive(soon()).orElseThrow()) {
            m.checkReply(true);
            assertEquals(1, m.u64());
        }
    }

    @Test
    void receiveKeepsWhatHasArrivedAcrossItsDeadline() throws Exception {
        MemorySegment m = Pair.message(Request.SET_VRING_KICK.id(), MessageHeader.VERSION, MessageChannel.u64(2));
        p.write(m, 0, 7, 1);
        assertTrue(p.channel.receive(System.nanoTime()).isEmpty());
        p.write(m, 7, m.byteSize() - 7, 0);
        try (Message got = p.channel.receive(soon()).orElseThrow()) {
            got.check();
            assertEquals(2, got.descriptorRing());
        }
        p.far.close();
        assertThrows(EOFException.class, () -> p.channel.receive(soon()));
    }

    @Test
    void aPeerThatDoesNotReadFailsTheSendAtTheDeadline() {
        IOException e = assertThrows(IOException.class, () -> {
            for (int i = 0; i < 100_000; i++) {
                p.channel.send(Request.SET_CONFIG, 0, Wire.bytes(MessageHeader.MAX_PAYLOAD), List.of(), System.nanoTime() + 10_000_000);
            }
        });
        assertTrue(e.getMessage().contains("the peer does not read"), e.getMessage());
    }

    @Test
    void sendingToNobodyFails() {
        p.far.close();
        assertThrows(IOException.class, () -> p.channel.send(Request.SET_OWNER, 0, EMPTY, List.of(), soon()));
    }

    @Test
    void backendRequestsHaveNamesOfTheirOwn() throws Exception {
        MessageChannel c = MessageChannel.ofBackendRequests(p.near, Pair.FDS, "test");
        p.write(BackendRequest.CONFIG_CHANGE_MSG.id(), EMPTY, 0);
        try (Message m = assertInstanceOf(Look.Whole.class, c.peek()).message()) {
            assertEquals(BackendRequest.CONFIG_CHANGE_MSG, m.backendRequest().orElseThrow());
            assertTrue(m.request().isEmpty());
            m.check();
        }
    }
}
