// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;
import org.vireo.posix.TestSupport;

/** sendmsg(2) and recvmsg(2) with descriptors. */
@Timeout(60)
class MessageSocketTest {
    private final Descriptors fds = new Descriptors();
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment memory = arena.allocate(1 << 16);
    private Fd[] pair;
    private MessageSocket left;
    private MessageSocket right;

    @BeforeEach
    void open() throws IOException {
        pair = UnixSockets.pair(fds, 1, false, "pair");
        left = new MessageSocket(pair[0], fds, "to the left");
        right = new MessageSocket(pair[1], fds, "to the right");
    }

    @AfterEach
    void close() {
        left.closeDescriptors();
        right.closeDescriptors();
        pair[0].close();
        pair[1].close();
        arena.close();
    }

    private void sendText(String text, List<Fd> with) throws IOException {
        memory.setString(0, text);
        left.sendAll(memory, text.length(), with);
    }

    private String receiveText(int bytes, int flags) {
        memory.fill((byte) 0);
        long n = right.receive(memory, 1_000, bytes, flags);
        return n < 0 ? Errno.text((int) -n) : memory.getString(1_000).substring(0, (int) n);
    }

    @Test
    void descriptorsAreTheSameOpenFilesInOrder() throws Exception {
        try (Fd a = EventFd.create(fds, "a"); Fd b = EventFd.create(fds, "b")) {
            sendText("hello", List.of(a, b));
            assertEquals("hello", receiveText(64, 0));
            assertEquals(2, right.descriptors().size());
            assertFalse(right.truncated());
            EventFd.signal(a.number());
            assertEquals(1, EventFd.drain(right.descriptors().get(0).number()));
            assertEquals(0, EventFd.drain(right.descriptors().get(1).number()));
            assertTrue(right.descriptors().get(0).toString().contains("to the right"), right.descriptors().get(0).toString());
        }
    }

    @Test
    void eachPeekGivesTheDescriptorsAnewAndLeavesTheBytes() throws Exception {
        try (Fd a = EventFd.create(fds, "a")) {
            sendText("message", List.of(a));
            assertEquals("mess", receiveText(4, MessageSocket.PEEK));
            long open = TestSupport.openDescriptors();
            for (int look = 0; look < 5; look++) {
                assertEquals("message", receiveText(64, MessageSocket.PEEK));
                assertEquals(1, right.descriptors().size());
            }
            TestSupport.assertNoMoreDescriptorsThan(open);
            assertEquals("message", receiveText(64, 0));
            assertEquals(1, right.descriptors().size());
        }
    }

    @Test
    void whatWasTakenOutStaysOpen() throws Exception {
        try (Fd a = EventFd.create(fds, "a")) {
            sendText("x", List.of(a, a));
            receiveText(8, 0);
            Fd kept = right.descriptors().removeFirst();
            Fd surplus = right.descriptors().getFirst();
            sendText("y", List.of());
            receiveText(8, 0);
            assertTrue(kept.isOpen());
            assertFalse(surplus.isOpen());
            assertTrue(right.descriptors().isEmpty());
            kept.close();
        }
    }

    @Test
    void descriptorsComeWithTheirFirstByteOnly() throws Exception {
        try (Fd a = EventFd.create(fds, "a")) {
            sendText("head", List.of(a));
            sendText("tail", List.of());
            assertEquals("he", receiveText(2, 0));
            assertEquals(1, right.descriptors().size());
            assertEquals("adtail", receiveText(6, MessageSocket.WAIT_ALL));
            assertEquals(0, right.descriptors().size());
        }
    }

    @Test
    void asManyAsTheKernelAllowsAndNotOneMore() throws Exception {
        try (Fd a = EventFd.create(fds, "a")) {
            sendText("many", Collections.nCopies(MessageSocket.MAX_DESCRIPTORS, a));
            assertEquals("many", receiveText(8, 0));
            assertEquals(MessageSocket.MAX_DESCRIPTORS, right.descriptors().size());
            assertFalse(right.truncated());
            var tooMany = Collections.nCopies(MessageSocket.MAX_DESCRIPTORS + 1, a);
            assertThrows(IllegalArgumentException.class, () -> left.send(memory, 0, 1, tooMany, 0));
            right.closeDescriptors();
            assertEquals(-Errno.EAGAIN, right.receive(memory, 0, 8, MessageSocket.DONT_WAIT), "nothing was sent");
        }
    }

    @Test
    void nothingThereIsTryAgainAndTheEndIsZero() throws Exception {
        assertEquals(-Errno.EAGAIN, right.receive(memory, 0, 8, MessageSocket.DONT_WAIT));
        pair[0].close();
        assertEquals(0, right.receive(memory, 0, 8, 0));
    }

    @Test
    void sendingToNobodyIsAnErrorNotASignal() throws Exception {
        pair[1].close();
        PosixException e = assertThrows(PosixException.class, () -> sendText("x", List.of()));
        assertEquals(Errno.EPIPE, e.errno());
    }

    @Test
    void fullSocketTakesNothingOrAPartAndDescriptorsOnlyWithTheirByte() throws Exception {
        UnixSockets.sendBuffer(pair[0], 4_096);
        long sent = 0;
        long n;
        while ((n = left.send(memory, 0, memory.byteSize(), List.of(), MessageSocket.DONT_WAIT)) > 0) {
            sent += n;
        }
        assertEquals(-Errno.EAGAIN, n);
        assertTrue(sent > 0);
        try (Fd a = EventFd.create(fds, "a")) {
            assertEquals(-Errno.EAGAIN, left.send(memory, 0, 1, List.of(a), MessageSocket.DONT_WAIT));
        }
        long got = 0;
        while ((n = right.receive(memory, 0, memory.byteSize(), MessageSocket.DONT_WAIT)) > 0) {
            got += n;
            assertTrue(right.descriptors().isEmpty());
        }
        assertEquals(sent, got);
    }

    @Test
    void sendAllWaitsForRoom() throws Exception {
        UnixSockets.sendBuffer(pair[0], 4_096);
        MemorySegment big = arena.allocate(1 << 20);
        for (long i = 0; i < big.byteSize(); i += 8) {
            big.set(ValueLayout.JAVA_LONG, i, i);
        }
        long[] read = new long[1];
        Thread reader = Thread.ofPlatform().start(() -> {
            try (Arena own = Arena.ofConfined()) {
                MemorySegment part = own.allocate(8);
                while (right.receive(part, 0, 8, MessageSocket.WAIT_ALL) == 8 && part.get(ValueLayout.JAVA_LONG, 0) == read[0]) {
                    read[0] += 8;
                }
            }
        });
        left.sendAll(big, big.byteSize(), List.of());
        pair[0].close();
        reader.join();
        assertEquals(big.byteSize(), read[0]);
    }

    @Test
    void lostDescriptorsAreToldAsTruncation() throws Exception {
        assertEquals("8 bytes, 1 descriptors, truncated true; then 3 descriptors, truncated false",
                TestSupport.runWithFewDescriptors(96, ScarceDescriptors.class, "receive"));
    }
}
