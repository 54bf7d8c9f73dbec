// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import java.util.zip.CRC32;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.wire.StateLayout;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.OpenFiles;

/** The stream: what is sent arrives; what breaks a rule is refused with the rule, and no descriptor stays open. */
@Timeout(60)
class ChannelTest {
    private final Descriptors fds = new Descriptors();
    private Fd raw;
    private Channel sender;
    private Channel receiver;
    private int before;

    @BeforeEach
    void connect() throws IOException {
        EventFd.create(fds, "warm").close();
        before = OpenFiles.count();
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        raw = pair[0];
        sender = new Channel(raw, fds);
        receiver = new Channel(pair[1], fds);
    }

    @AfterEach
    void nothingLeaks() throws IOException {
        sender.close();
        receiver.close();
        // what tests before this one left to a thread may have been closed meanwhile
        int now = OpenFiles.count();
        assertTrue(now <= before, now + " descriptors, before the test " + before);
    }

    private static long soon() {
        return System.nanoTime() + 5_000_000_000L;
    }

    private Fd event() {
        try {
            return EventFd.create(fds, "event");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    private NicImage image() throws Exception {
        Section device = Section.builder("device").number("features", -1L).flag("started", true).flag("enabled", false)
                .text("mac", "52:54:00:12:34:56").descriptor("kick", event()).text("hint", "größer").optional("hint").build();
        Section ring = Section.builder("ring 0").number("base", 65535).build();
        Section port = Section.builder("port").text("ifname", "tap0").build();
        Section q0 = Section.builder("queue 0").descriptor("fd", event()).flag("using_vnet_hdr", true).build();
        Section q1 = Section.builder("queue 1").descriptor("fd", event()).flag("using_vnet_hdr", true).build();
        return NicImage.of("nic0", 1, 0x7_0000_0003L, List.of(device, ring), BackendState.of("tap", 2, port, List.of(q0, q1)));
    }

    private Message receive() throws WireException {
        while (true) {
            Optional<Message> m = receiver.receive(soon());
            if (m.isPresent()) {
                return m.get();
            }
        }
    }

    @Test
    void aNicArrivesAsItWasSent() throws Exception {
        try (NicImage sent = image()) {
            sender.send(Message.of(RecordType.PREPARE, sent), soon());
            Message m = receive();
            assertEquals(RecordType.PREPARE, m.type());
            try (NicImage got = m.image()) {
                assertEquals("nic0", got.nic());
                assertEquals(0x7_0000_0003L, got.seq());
                assertEquals(1, got.version());
                Section device = got.section("device").orElseThrow();
                assertEquals(List.copyOf(sent.section("device").orElseThrow().names()), List.copyOf(device.names()));
                assertEquals(-1, device.number("features"));
                assertTrue(device.flag("started"));
                assertEquals("größer", device.text("hint"));
                assertTrue(device.optional("hint"));
                assertEquals(false, device.optional("mac"));
                assertEquals(65535, got.section("ring 0").orElseThrow().number("base"));
                BackendState b = got.backend().orElseThrow();
                assertEquals("tap", b.type());
                assertEquals(2, b.version());
                assertEquals("tap0", b.port().text("ifname"));
                EventFd.signal(b.queues().get(1).descriptor("fd").number());
                assertEquals(1, EventFd.drain(sent.backend().orElseThrow().queues().get(1).descriptor("fd").number()));
            }
        }
    }

    @Test
    void moreDescriptorsThanAMessageTakesComeInPieces() throws Exception {
        try (Fd one = event()) {
            List<Section> sections = new ArrayList<>();
            for (int i = 0; i < 20; i++) {
                Section.Builder b = Section.builder("ring " + i);
                for (int k = 0; k < Section.MAX_DESCRIPTORS; k++) {
                    b.descriptor("fd" + k, one);
                }
                sections.add(b.build());
            }
            sender.send(Message.of(RecordType.PREPARE, NicImage.of("nic0", 1, 1, sections, null)), soon());
            try (Message m = receive()) {
                assertEquals(20, m.sections().size());
                assertTrue(m.sections().get(19).descriptor("fd15").isOpen());
            }
        }
    }

    @Test
    void manyRecordsFollowEachOther() throws Exception {
        for (int i = 0; i < 100; i++) {
            sender.send(Message.of(RecordType.OFFER, Message.about(RecordType.OFFER, "nic" + i).number("seq", i).build()), soon());
        }
        for (int i = 0; i < 100; i++) {
            assertEquals("nic" + i, receive().nic());
        }
        sender.close();
        assertThrows(WireException.Ended.class, this::receive);
    }

    /** The bytes of version 1, as they were when it was released: they must be written and read for ever. */
    @Test
    void goldenFileOfVersion1() throws Exception {
        byte[] golden;
        try (InputStream in = ChannelTest.class.getResourceAsStream("prepare-v1.bin")) {
            golden = in == null ? new byte[0] : in.readAllBytes();
        }
        byte[] now;
        try (NicImage i = image()) {
            now = bytes(Message.of(RecordType.PREPARE, i));
            assertArrayEquals(golden, now);
            List<Section> queues = i.backend().orElseThrow().queues();
            send(golden, List.of(i.section("device").orElseThrow().descriptor("kick"), queues.get(0).descriptor("fd"),
                    queues.get(1).descriptor("fd")));
        }
        try (Message m = receive()) {
            assertEquals("tap0", m.image().backend().orElseThrow().port().text("ifname"));
        }
    }

    /** What the sender writes. */
    private byte[] bytes(Message m) throws IOException {
        Fd[] pair = UnixSockets.pair(fds, 1, false, "bytes");
        try (Channel c = new Channel(pair[0], fds); Fd end = pair[1]; Arena a = Arena.ofConfined()) {
            c.send(m, soon());
            MemorySegment s = a.allocate(RecordLayout.MAX_RECORD);
            MessageSocket in = new MessageSocket(end, fds, "bytes");
            long n = in.receive(s, 0, s.byteSize(), 0);
            in.closeDescriptors();
            return s.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
        }
    }

    private void send(byte[] bytes, List<Fd> descriptors) throws IOException {
        try (Arena a = Arena.ofConfined()) {
            new MessageSocket(raw, fds, "test").sendAll(a.allocateFrom(ValueLayout.JAVA_BYTE, bytes), bytes.length, descriptors);
        }
    }

    private static byte[] checked(byte[] record) {
        CRC32 crc = new CRC32();
        crc.update(record, 0, RecordLayout.CRC_AT);
        crc.update(record, RecordLayout.HEADER_BYTES, record.length - RecordLayout.HEADER_BYTES);
        buffer(record).putInt(RecordLayout.CRC_AT, (int) crc.getValue());
        return record;
    }

    private static ByteBuffer buffer(byte[] b) {
        return ByteBuffer.wrap(b).order(ByteOrder.LITTLE_ENDIAN);
    }

    private byte[] offer(Consumer<ByteBuffer> spoil) throws IOException {
        byte[] b = bytes(Message.of(RecordType.OFFER, Message.about(RecordType.OFFER, "nic0").number("seq", 1).build()));
        spoil.accept(buffer(b));
        return b;
    }

    private void refused(String why) {
        WireException e = assertThrows(WireException.class, this::receive);
        assertTrue(e.getMessage().contains(why), e.getMessage());
    }

    @Test
    void magicTypeNumberLengthAndChecksumAreChecked() throws Exception {
        record Case(Consumer<ByteBuffer> spoil, boolean fix, String why) { }
        for (Case c : List.of(
                new Case(b -> b.put(0, (byte) 'G'), true, "not a handover stream"),
                new Case(b -> b.putShort(RecordLayout.TYPE_AT, (short) 999), true,
                        "record of type 999 is not known here, and it is critical"),
                new Case(b -> b.putInt(RecordLayout.NUMBER_AT, 5), true, "it has number 5, expected was 0"),
                new Case(b -> b.putInt(RecordLayout.LENGTH_AT, 1 << 20), true, "larger than the 1048576 that are allowed"),
                new Case(b -> b.putInt(RecordLayout.LENGTH_AT, -1), true, "larger than"),
                new Case(b -> b.putShort(RecordLayout.DESCRIPTORS_AT, (short) 2), true, "2 descriptors announced, 0 came"),
                new Case(b -> b.put(40, (byte) (b.get(40) ^ 1)), false, "checksum"),
                new Case(b -> b.putShort(RecordLayout.FLAGS_AT, (short) 3), false, "checksum"))) {
            byte[] record = offer(c.spoil);
            send(c.fix ? checked(record) : record, List.of());
            refused(c.why);
            sender.close();
            receiver.close();
            connect();
        }
    }

    @Test
    void anUnknownRecordThatIsNotCriticalIsSkippedWithItsDescriptors() throws Exception {
        try (Fd one = event()) {
            byte[] unknown = checked(offer(b -> b.putShort(RecordLayout.TYPE_AT, (short) 999).putShort(RecordLayout.FLAGS_AT, (short) 0)
                    .putShort(RecordLayout.DESCRIPTORS_AT, (short) 1)));
            send(unknown, List.of(one));
            send(checked(offer(b -> b.putInt(RecordLayout.NUMBER_AT, 1))), List.of());
            assertEquals(RecordType.OFFER, receive().type());
        }
    }

    @Test
    void surplusAndMissingDescriptorsAreRefusedAndClosed() throws Exception {
        try (Fd one = event()) {
            // not announced
            send(offer(b -> { }), Collections.nCopies(3, one));
            refused("0 descriptors announced, 3 came");
            reconnect();
            // announced, but of no field
            send(checked(offer(b -> b.putShort(RecordLayout.DESCRIPTORS_AT, (short) 3))), Collections.nCopies(3, one));
            refused("surplus descriptors");
            reconnect();
            send(offer(b -> { }), Collections.nCopies(200, one));
            refused("200 descriptors at byte 0");
            reconnect();
            // inside a record
            byte[] b = offer(x -> { });
            send(java.util.Arrays.copyOf(b, 30), List.of());
            send(java.util.Arrays.copyOfRange(b, 30, b.length), List.of(one));
            refused("at most 128 come with its first byte");
            reconnect();
            // a descriptor's index that is too large
            byte[] hello = bytes(Message.of(RecordType.HELLO, Section.builder("HELLO").descriptor("pidfd", one).build()));
            buffer(hello).putInt(hello.length - 4, 1);
            send(checked(hello), List.of(one));
            refused("descriptor 1 is missing; 1 came");
        }
    }

    private void reconnect() throws IOException {
        sender.close();
        receiver.close();
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        raw = pair[0];
        sender = new Channel(raw, fds);
        receiver = new Channel(pair[1], fds);
    }

    @Test
    void halfARecordThenSilenceHasADeadline() throws Exception {
        send(java.util.Arrays.copyOf(offer(b -> { }), 30), List.of());
        WireException e = assertThrows(WireException.class, () -> receiver.receive(System.nanoTime() + 50_000_000L));
        assertTrue(e.getMessage().contains("half a record came (30 bytes), then silence"), e.getMessage());
        sender.close();
        reconnect();
        send(java.util.Arrays.copyOf(offer(b -> { }), 30), List.of());
        sender.close();
        refused("the stream ended inside a record, after 30 bytes");
    }

    @Test
    void aPeerThatDoesNotReadHasADeadline() throws Exception {
        Message big = Message.of(RecordType.REFUSED, Message.about(RecordType.REFUSED, "nic0").text("why", "x".repeat(60_000)).build());
        WireException e = assertThrows(WireException.class, () -> {
            for (int i = 0; i < 1_000; i++) {
                sender.send(big, System.nanoTime() + 20_000_000L);
            }
        });
        assertTrue(e.getMessage().contains("does not read"), e.getMessage());
    }

    @Test
    void whatIsOverALimitIsNotSent() throws Exception {
        Section text = Section.builder("s").text("t", "x".repeat(StateLayout.MAX_TEXT + 1)).build();
        Message m = Message.of(RecordType.CHANGE, NicImage.of("n", 1, 1, List.of(text), null));
        assertThrows(WireException.class, () -> sender.send(m, soon()));
        List<Section> many = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            many.add(Section.builder("s" + i).text("t", "x".repeat(60_000)).build());
        }
        WireException e = assertThrows(WireException.class,
                () -> sender.send(Message.of(RecordType.CHANGE, NicImage.of("n", 1, 1, many, null)), soon()));
        assertTrue(e.getMessage().contains("larger than the 1048576"), e.getMessage());
        // nothing of it was sent
        sender.send(Message.of(RecordType.END, Message.about(RecordType.END, "").text("why", "").build()), soon());
        assertEquals(RecordType.END, receive().type());
    }

    @Test
    void fieldsOfTheFuture() throws Exception {
        Section optional = Message.about(RecordType.OFFER, "n").number("seq", 1).number("new", 1).optional("new").build();
        sender.send(Message.of(RecordType.OFFER, optional), soon());
        assertEquals("n", receive().nic());
        sender.send(Message.of(RecordType.OFFER, Message.about(RecordType.OFFER, "n").number("seq", 1).number("new", 1).build()), soon());
        refused("field new");
    }

    @Test
    void unknownKindsAndItemsAreSkippedIfTheyMayBe() throws Exception {
        byte[] b = bytes(Message.of(RecordType.OFFER, Message.about(RecordType.OFFER, "n").number("seq", 1).optional("seq").build()));
        // the last field: kind, flags, name length, value length, "seq", 8 bytes
        int field = b.length - 8 - 3 - 8;
        b[field] = 77;
        send(checked(b), List.of());
        assertEquals(false, receive().head().has("seq"));
        reconnect();
        b[field + 1] = 0;
        send(checked(b), List.of());
        refused("unknown kind 77, and the field is critical");
        reconnect();
        byte[] item = java.util.Arrays.copyOf(offer(x -> { }), offer(x -> { }).length + 12);
        ByteBuffer i = buffer(item);
        i.putInt(RecordLayout.LENGTH_AT, item.length - RecordLayout.HEADER_BYTES);
        i.putShort(item.length - 12, (short) 55).putShort(item.length - 10, (short) 0).putInt(item.length - 8, 4);
        send(checked(item), List.of());
        assertEquals("nic0", receive().nic());
        reconnect();
        i.putShort(item.length - 10, (short) RecordLayout.CRITICAL);
        send(checked(item), List.of());
        refused("unknown item 55, which is critical");
    }

    /** Every byte of a real record spoilt in many ways, its checksum right: an error that says what, or a record; never anything else. */
    @Test
    void spoiltRecordsNeverDoMoreThanFail() throws Exception {
        byte[] whole;
        List<Fd> three = new ArrayList<>();
        try (NicImage i = image()) {
            whole = bytes(Message.of(RecordType.PREPARE, i));
        }
        for (int i = 0; i < 3; i++) {
            three.add(event());
        }
        Random random = new Random(42);
        int refused = 0;
        for (int i = 0; i < 3_000; i++) {
            byte[] b = whole.clone();
            for (int k = random.nextInt(3); k >= 0; k--) {
                b[RecordLayout.HEADER_BYTES + random.nextInt(b.length - RecordLayout.HEADER_BYTES)] = (byte) random.nextInt(256);
            }
            send(checked(b), three);
            try (Message m = receive()) {
                m.image().close();
            } catch (WireException e) {
                refused++;
            }
            reconnect();
        }
        three.forEach(Fd::close);
        assertTrue(refused > 1_000, refused + " refused");
    }
}
