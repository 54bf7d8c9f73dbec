// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortSettings;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.Poll;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestTap;

/** What the kit does not look at: offloads, VLAN tags, frames that this machine itself sends, an interface that goes. */
class OffloadTest {
    private static final Duration LIMIT = Duration.ofSeconds(10);
    private static final int HEADER = 12;
    private static final int ROOM = 70_000;

    private TestTap veth;
    private RawSocket other;
    private FramePort port;

    private record Context(Fds fds, int pairs) implements OpenContext {
        @Override
        public PortListener listener() {
            throw new AssertionError("nothing is to be told");
        }

        @Override
        public long deadlineNanos() {
            return System.nanoTime() + LIMIT.toNanos();
        }

        @Override
        public boolean rehearsal() {
            return false;
        }
    }

    @BeforeEach
    void open() throws Exception {
        Requirements.root();
        Requirements.tap();
        veth = TestTap.veth(null).up();
        other = new RawSocket(veth.peer());
        port = (FramePort) new PacketBackend("net0", Map.of("ifname", veth.name())).open(new Context(new Descriptors(), 1));
        acknowledged(0);
    }

    @AfterEach
    void close() {
        if (port != null) {
            port.close(NetPort.Disposal.RELEASE);
        }
        if (other != null) {
            other.close();
        }
        if (veth != null) {
            veth.close();
        }
    }

    private void acknowledged(long offloads) throws NetdevException {
        BitSet first = new BitSet();
        first.set(0);
        port.apply(PortSettings.of(HEADER, offloads, first));
    }

    private GuestMemory receive(int room) throws NetdevException {
        assertTrue(Poll.readable((int) LIMIT.toMillis(), port.queue(0).events().number()) != 0, "nothing arrived");
        GuestMemory m = new GuestMemory(room, 8, 7);
        port.queue(0).receive(m);
        return m;
    }

    private Map<String, Long> counters() {
        Map<String, Long> all = new TreeMap<>();
        port.statistics(all::put);
        return all;
    }

    /** A UDP datagram of IPv4 whose checksum holds the pseudo header's sum, as a sender with offloads leaves it. */
    private static byte[] udp(int payload) {
        ByteBuffer b = ByteBuffer.allocate(42 + payload);
        b.put(new byte[] {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}).putShort((short) 0x0800);
        b.put((byte) 0x45).put((byte) 0).putShort((short) (28 + payload)).putInt(0).put((byte) 64).put((byte) 17).putShort((short) 0);
        b.putInt(0xc0000201).putInt(0xc0000202);
        b.putShort((short) 1111).putShort((short) 2222).putShort((short) (8 + payload)).putShort((short) 0);
        for (int i = 0; i < payload; i++) {
            b.put((byte) (7 * i + 1));
        }
        long pseudo = 0xc000 + 0x0201 + 0xc000 + 0x0202 + 17 + 8 + payload;
        b.putShort(40, (short) ((pseudo & 0xffff) + (pseudo >> 16)));
        return b.array();
    }

    private static byte[] checksumMissing() {
        return header(1, 0, 0, 0, 34, 6);
    }

    private static byte[] header(int flags, int gso, int headerBytes, int segment, int start, int offset) {
        return ByteBuffer.allocate(10).order(ByteOrder.nativeOrder()).put((byte) flags).put((byte) gso).putShort((short) headerBytes)
                .putShort((short) segment).putShort((short) start).putShort((short) offset).array();
    }

    /** The sum over the pseudo header and the datagram: all ones if the checksum is right. */
    private static int sum(byte[] frame) {
        ByteBuffer b = ByteBuffer.wrap(Arrays.copyOf(frame, frame.length + frame.length % 2));
        long sum = 17 + frame.length - 34;
        for (int i = 26; i < b.capacity(); i += 2) {
            sum += Short.toUnsignedInt(b.getShort(i));
        }
        while (sum >> 16 != 0) {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        return (int) sum;
    }

    @Test
    void aChecksumIsCompletedForAGuestThatHasNotAcknowledgedTheOffload() throws Exception {
        byte[] frame = udp(101);
        assertTrue(sum(frame) != 0xffff);
        other.send(checksumMissing(), frame);
        byte[] got = receive(ROOM).received();
        assertArrayEquals(new byte[HEADER], Arrays.copyOf(got, HEADER), "virtio 1.2, section 5.1.6.4.1: flags are 0");
        byte[] rest = Arrays.copyOfRange(got, HEADER, got.length);
        assertEquals(0xffff, sum(rest));
        rest[40] = frame[40];
        rest[41] = frame[41];
        assertArrayEquals(frame, rest);
    }

    @Test
    void aChecksumIsLeftToAGuestThatWantsIt() throws Exception {
        acknowledged(PacketFacts.GUEST_CSUM);
        byte[] frame = udp(100);
        other.send(checksumMissing(), frame);
        byte[] got = receive(ROOM).received();
        assertEquals(1, got[0], "NEEDS_CSUM");
        assertEquals(34, ByteBuffer.wrap(got).order(ByteOrder.nativeOrder()).getShort(6));
        assertArrayEquals(frame, Arrays.copyOfRange(got, HEADER, got.length));
    }

    @Test
    void aVlanTagIsWhereItWas() throws Exception {
        byte[] plain = udp(101);
        byte[] tagged = new byte[plain.length + 4];
        System.arraycopy(plain, 0, tagged, 0, 12);
        ByteBuffer.wrap(tagged).putShort(12, (short) 0x8100).putShort(14, (short) 0x6064);
        System.arraycopy(plain, 12, tagged, 16, plain.length - 12);
        other.send(tagged);
        assertArrayEquals(tagged, Arrays.copyOfRange(receive(ROOM).received(), HEADER, HEADER + tagged.length));
        acknowledged(PacketFacts.GUEST_CSUM);
        other.send(header(1, 0, 0, 0, 38, 6), tagged);
        byte[] got = receive(ROOM).received();
        assertArrayEquals(tagged, Arrays.copyOfRange(got, HEADER, got.length));
        assertEquals(38, ByteBuffer.wrap(got).order(ByteOrder.nativeOrder()).getShort(6), "what is summed begins behind the tag");
        assertEquals(2, counters().get("vlan-tags"));
    }

    @Test
    void aFrameOfSegmentsReachesOnlyAGuestThatTakesThem() throws Exception {
        byte[] big = udp(4000);
        // TCP: the kernel looks at the header's length and at the checksum's place
        big[23] = 6;
        byte[] tso = header(1, 1, 54, 1000, 34, 16);
        big[46] = 0x50;
        other.send(tso, big);
        other.send(udp(10));
        GuestMemory m = receive(ROOM);
        assertEquals(List.of(DropReason.TOO_LONG), m.dropped());
        assertEquals(HEADER + 52, m.received().length, "the next one");
        assertEquals(1, counters().get("guest-lacks-offload"));
        acknowledged(PacketFacts.GUEST_CSUM | PacketFacts.GUEST_TSO4);
        other.send(tso, big);
        byte[] got = receive(ROOM).received();
        assertEquals(HEADER + big.length, got.length);
        assertEquals(1, got[1], "VIRTIO_NET_HDR_GSO_TCPV4");
        assertEquals(1000, ByteBuffer.wrap(got).order(ByteOrder.nativeOrder()).getShort(4));
    }

    @Test
    void aFrameThatIsLongerThanTheRoomIsDroppedWithItsReason() throws Exception {
        other.send(udp(1000));
        other.send(udp(10));
        GuestMemory m = receive(500);
        assertEquals(List.of(DropReason.TOO_LONG), m.dropped());
        assertEquals(HEADER + 52, m.received().length);
    }

    @Test
    void whatTheGuestAndThisMachineSendDoesNotComeBack() throws Exception {
        GuestMemory own = new GuestMemory(HEADER + 60, 8, 7).holding(new byte[HEADER], udp(18));
        assertEquals(1, port.queue(0).transmit(own));
        assertArrayEquals(udp(18), other.take(LIMIT));
        try (RawSocket same = new RawSocket(veth.name())) {
            same.send(udp(20));
            assertArrayEquals(udp(20), other.take(LIMIT));
        }
        other.send(udp(30));
        assertEquals(HEADER + 72, receive(ROOM).received().length, "the first that arrives is the one from outside");
    }

    @Test
    void aFrameInAsManyPiecesAsThereMayBeGoesOut() throws Exception {
        byte[] frame = udp(1400);
        GuestMemory m = new GuestMemory(HEADER + frame.length, 1024, 1).holding(new byte[HEADER], frame);
        assertEquals(1, port.queue(0).transmit(m));
        assertEquals(List.of(), m.dropped());
        assertArrayEquals(frame, other.take(LIMIT));
        // the header ends within a piece: one piece more than the kernel takes
        GuestMemory split = new GuestMemory(HEADER + frame.length, 1024, 1).holding(new byte[HEADER], frame);
        GuestMemory whole = new GuestMemory(HEADER + frame.length, 1, 1).holding(new byte[HEADER], frame);
        assertEquals(1, port.queue(0).transmit(split));
        assertEquals(1, port.queue(0).transmit(whole));
        assertArrayEquals(frame, other.take(LIMIT));
        assertArrayEquals(frame, other.take(LIMIT));
    }

    @Test
    void tooLongForTheInterfaceIsDroppedWithItsReason() throws Exception {
        byte[] frame = udp(3000);
        GuestMemory m = new GuestMemory(HEADER + frame.length, 2, HEADER).holding(new byte[HEADER], frame);
        assertEquals(1, port.queue(0).transmit(m));
        assertEquals(List.of(DropReason.TOO_LONG), m.dropped());
    }

    @Test
    void anInterfaceThatIsDownDropsAndOneThatIsDeletedEndsThePort() throws Exception {
        veth.down();
        GuestMemory m = new GuestMemory(HEADER + 60, 2, HEADER).holding(new byte[HEADER], udp(18));
        assertEquals(1, port.queue(0).transmit(m));
        assertEquals(List.of(DropReason.LINK_DOWN), m.dropped());
        assertNull(receive(ROOM).received());
        veth.up();
        Await.until(LIMIT, "frames pass again", () -> {
            GuestMemory again = new GuestMemory(HEADER + 60, 2, HEADER).holding(new byte[HEADER], udp(18));
            port.queue(0).transmit(again);
            return again.dropped().isEmpty();
        });
        other.send(udp(40));
        assertEquals(HEADER + 82, receive(ROOM).received().length);
        other.close();
        veth.close();
        NetdevException e = assertThrows(NetdevException.class, () -> port.queue(0).transmit(m));
        assertTrue(e.getMessage().contains("was deleted"), e.getMessage());
        assertFalse(TestTap.exists(veth.name()));
    }

    @Test
    void whatCannotBeOpenedSaysWhyAndWhatToDo() {
        refused(Map.of("ifname", "nosuch0"), "there is no such interface");
        refused(Map.of("ifname", "lo"), "is no Ethernet interface");
        veth.down();
        refused(Map.of("ifname", veth.name()), "ip link set " + veth.name() + " up");
    }

    private static void refused(Map<String, String> options, String why) {
        NetdevException e = assertThrows(NetdevException.class, () -> new PacketBackend("net0", options)
                .open(new Context(new Descriptors(), 1)));
        assertTrue(e.getMessage().contains(why), e.getMessage());
    }
}
