// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;

/**
 * Whatever a front-end sends: a message, or {@link MalformedMessageException}, or an IOException that ends the connection; nothing else,
 * in bounded memory, and each descriptor that came is closed. {@code mvn verify} tries the kept inputs; the profile fuzz
 * makes new ones.
 *
 * <p>An input's first byte: in bits 0-1 how many descriptors come with it, bit 2 set for the back-end's requests. The rest is the stream.
 */
class MessageChannelFuzzTest {
    /** So that the socket takes it in one go. */
    private static final int LONGEST = 32 * 1024;

    private final List<Fd> arrived = new ArrayList<>();
    private final Fds counting = (number, purpose) -> {
        Fd fd = new Descriptors().adopt(number, purpose);
        arrived.add(fd);
        return fd;
    };

    private interface Reader {
        /** What was read, written again; null if it cannot be written. */
        MemorySegment read(Message m) throws MalformedMessageException;
    }

    private static final List<Reader> READERS = List.of(
            m -> MessageChannel.u64(m.u64()),
            m -> m.vringState().payload(),
            m -> m.vringAddress().payload(),
            m -> MemoryRegionSpec.tablePayload(m.memoryTable()),
            m -> m.memoryRegion().payload(),
            m -> m.config().payload(),
            m -> m.log().payload(),
            m -> m.inflight().payload(),
            m -> {
                m.deviceState();
                return null;
            },
            m -> {
                assertTrue(m.descriptorRing() >= 0 && m.descriptorRing() < 256);
                return null;
            },
            m -> {
                m.check();
                return null;
            },
            m -> {
                m.checkReply(false);
                return null;
            },
            m -> {
                m.checkReply(true);
                return null;
            });

    @FuzzTest(maxExecutions = 3_000)
    void whateverComesIsAMessageOrRefused(byte[] input) throws IOException {
        if (input.length == 0) {
            return;
        }
        byte[] stream = Arrays.copyOfRange(input, 1, Math.min(input.length, LONGEST));
        if (stream.length >= MessageHeader.BYTES) {
            readAsIs(stream);
        }
        throughASocket(stream, input[0] & 3, (input[0] & 4) != 0);
    }

    /** The typed readers have their own rules: they hold for a payload that no channel would have let through. */
    private static void readAsIs(byte[] stream) {
        MemorySegment s = MemorySegment.ofArray(stream);
        int id = MessageHeader.request(s, 0);
        for (var kind : List.of(Request.of(id), BackendRequest.of(id))) {
            MemorySegment payload = MemorySegment.ofArray(Arrays.copyOfRange(stream, MessageHeader.BYTES, stream.length));
            try (Message m = new Message(id, MessageHeader.flags(s, 0), kind, payload, List.of())) {
                read(m);
            }
        }
    }

    private static void read(Message m) {
        for (Reader r : READERS) {
            try {
                MemorySegment again = r.read(m);
                if (again != null) {
                    assertTrue(again.byteSize() <= MessageHeader.MAX_PAYLOAD, "what was read is larger than a payload");
                }
            } catch (MalformedMessageException e) {
                assertTrue(e.getMessage().startsWith(m.name()) && !e.field().isEmpty(), e.getMessage());
            }
        }
        assertTrue(m.toString().startsWith(m.name()));
    }

    private void throughASocket(byte[] stream, int descriptors, boolean backendRequests) throws IOException {
        arrived.clear();
        try (Pair p = new Pair(descriptors)) {
            MessageChannel channel = backendRequests ? MessageChannel.ofBackendRequests(p.near, counting, "fuzz")
                    : MessageChannel.of(p.near, counting, "fuzz");
            if (stream.length > 0) {
                p.write(MemorySegment.ofArray(stream), 0, stream.length, descriptors);
            }
            p.far.close();
            int most = stream.length / MessageHeader.BYTES + 1;
            int seen = 0;
            while (next(channel)) {
                seen++;
                assertTrue(seen <= most, "more messages than were sent");
            }
        }
        assertEquals(List.of(), arrived.stream().filter(Fd::isOpen).toList(), "descriptors that stay open");
    }

    private static boolean next(MessageChannel channel) throws IOException {
        Look look;
        try {
            look = channel.peek();
        } catch (MalformedMessageException e) {
            return false;
        }
        if (!(look instanceof Look.Whole(Message m))) {
            assertTrue(look instanceof Look.End, "the peer is gone, and this shows " + look);
            return false;
        }
        try (m) {
            read(m);
            try (Fd one = m.takeDescriptor()) {
                assertTrue(one.isOpen());
            } catch (MalformedMessageException e) {
                assertTrue(m.descriptors().isEmpty(), e.getMessage());
            }
            channel.consume(m);
            return true;
        } catch (IOException e) {
            // descriptors that do not belong to it: the documented end
            assertTrue(e.getMessage().contains("descriptors, expected"), e.getMessage());
            return false;
        }
    }
}
