// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vireo.net.api.Fd;

/** The rule of each request: payload sizes and numbers of descriptors. */
class MessageRulesTest {
    private static final Fd STAND_IN = new Fd() {
        @Override
        public int number() {
            return 0;
        }

        @Override
        public Fd duplicate() {
            return this;
        }

        @Override
        public boolean isOpen() {
            return true;
        }

        @Override
        public void close() {
            // nothing is open
        }
    };

    private static boolean passes(MessageKind kind, MemorySegment payload, int descriptors) {
        List<Fd> fds = new ArrayList<>(Collections.nCopies(descriptors, STAND_IN));
        try {
            new Message(kind.id(), MessageHeader.VERSION, Optional.of(kind), payload, fds).check();
            return true;
        } catch (MalformedMessageException e) {
            assertTrue(e.getMessage().startsWith(kind.name() + ": "), e.getMessage());
            assertTrue(e.field().equals("payload size") || e.field().equals("descriptors"), e.field());
            return false;
        }
    }

    /** A payload of the shape's own right size. */
    private static MemorySegment right(MessageKind kind) {
        return switch (kind.shape()) {
            case EMPTY, ANY -> Wire.bytes(0);
            case U64, VRING_STATE, DEVICE_STATE -> Wire.bytes(8);
            case VRING_ADDRESS, MEMORY_REGION -> Wire.bytes(40);
            case MEMORY_TABLE -> MemoryRegionSpec.tablePayload(List.of(new MemoryRegionSpec(1, 2, 3, 4), new MemoryRegionSpec(5, 6, 7, 8)));
            case LOG, UUID -> Wire.bytes(16);
            case CONFIG -> new DeviceConfig(0, 0, Wire.bytes(6)).payload();
            case INFLIGHT, VRING_AREA -> Wire.bytes(24);
            case IOTLB -> Wire.bytes(32);
        };
    }

    private static int rightDescriptors(MessageKind kind) {
        return switch (kind.descriptors()) {
            case NONE, OPTIONAL, ANY -> 0;
            case ONE, ONE_A_LOG, UNLESS_BIT_8 -> 1;
            case ONE_A_REGION -> 2;
        };
    }

    @ParameterizedTest
    @EnumSource(Request.class)
    void everyOtherSizeIsRefused(Request r) {
        IntPredicate right = switch (r.shape()) {
            case ANY -> n -> true;
            case EMPTY -> n -> n == 0 || n == 8;
            case LOG -> n -> n == 8 || n == 16;
            case INFLIGHT -> n -> n == 20 || n == 24;
            default -> n -> n == right(r).byteSize();
        };
        for (int n = 0; n <= 300; n++) {
            MemorySegment p = Wire.bytes(n);
            MemorySegment.copy(right(r), 0, p, 0, Math.min(n, right(r).byteSize()));
            assertEquals(right.test(n), passes(r, p, rightDescriptors(r)), r + " with " + n + " bytes");
        }
    }

    @ParameterizedTest
    @EnumSource(Request.class)
    void everyOtherNumberOfDescriptorsIsRefused(Request r) {
        for (int n = 0; n <= 40; n++) {
            boolean right = switch (r.descriptors()) {
                case ANY -> true;
                case OPTIONAL -> n <= 1;
                default -> n == rightDescriptors(r);
            };
            assertEquals(right, passes(r, right(r), n), r + " with " + n + " descriptors");
        }
    }

    @Test
    void aLogWithoutLogShmfdHasNoFile() {
        assertTrue(passes(Request.SET_LOG_BASE, Wire.bytes(8), 0));
        assertTrue(passes(Request.SET_LOG_BASE, Wire.bytes(8), 1), "a stray one is closed");
        assertFalse(passes(Request.SET_LOG_BASE, Wire.bytes(8), 2));
        assertFalse(passes(Request.SET_LOG_BASE, Wire.bytes(16), 0));
    }

    @ParameterizedTest
    @EnumSource(BackendRequest.class)
    void backendRequestsHaveRulesToo(BackendRequest r) {
        assertEquals(r, BackendRequest.of(r.id()).orElseThrow());
        assertTrue(passes(r, right(r), 0));
        assertEquals(r.shape() == PayloadShape.ANY, passes(r, Wire.bytes(9), 0));
    }

    @Test
    void bit8MeansNoDescriptor() {
        for (Request r : List.of(Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR)) {
            assertTrue(passes(r, MessageChannel.u64(0x101), 0));
            assertEquals(false, passes(r, MessageChannel.u64(0x101), 1));
            assertEquals(false, passes(r, MessageChannel.u64(1), 0));
        }
    }

    @Test
    void moreRegionsThanEightAreRefused() {
        List<MemoryRegionSpec> nine = Collections.nCopies(9, new MemoryRegionSpec(0, 1, 0, 0));
        assertEquals(false, passes(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(nine), 9));
        assertTrue(passes(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(nine.subList(0, 8)), 8));
        MemorySegment huge = MemoryRegionSpec.tablePayload(nine.subList(0, 1));
        huge.set(Wire.INT, 0, 0x0800_0001); // times 32 it is 32 again in 32 bits
        assertEquals(false, passes(Request.SET_MEM_TABLE, huge, 1));
    }

    @Test
    void aConfigurationPieceThatLiesAboutItsSizeIsRefused() {
        MemorySegment p = new DeviceConfig(0, 0, Wire.bytes(6)).payload();
        for (int lie : new int[] {0, 5, 7, 256, -6, Integer.MAX_VALUE}) {
            p.set(Wire.INT, 4, lie);
            assertEquals(false, passes(Request.GET_CONFIG, p, 0), "size " + lie);
        }
        assertTrue(passes(Request.GET_CONFIG, new DeviceConfig(0, 0, Wire.bytes(256)).payload(), 0));
        assertEquals(false, passes(Request.GET_CONFIG, new DeviceConfig(0, 0, Wire.bytes(257)).payload(), 0));
    }

    @Test
    void idsAreFoundAndStrangersAreNot() {
        for (Request r : Request.values()) {
            assertEquals(r, Request.of(r.id()).orElseThrow());
        }
        for (int stranger : new int[] {-1, 0, 46, 1000, Integer.MIN_VALUE, Integer.MAX_VALUE}) {
            assertTrue(Request.of(stranger).isEmpty());
            assertTrue(BackendRequest.of(stranger).isEmpty());
        }
        assertEquals("request 4294967295", Request.name(-1));
        assertEquals("SET_OWNER", Request.name(3));
    }

    @Test
    void aReplyIsNotARequest() {
        Message m = new Message(3, MessageHeader.VERSION | MessageHeader.REPLY, Request.of(3), Wire.bytes(0), List.of());
        assertThrows(MalformedMessageException.class, m::check);
        Message answered = new Message(3, MessageHeader.VERSION | MessageHeader.REPLY, Request.of(3), Wire.bytes(8), List.of());
        assertThrows(MalformedMessageException.class, () -> answered.checkReply(false), "SET_OWNER has no reply");
    }

    @Test
    void whatIsWrittenIsRead() throws Exception {
        assertEquals(new VringState(3, 4), VringState.read(new VringState(3, 4).payload()));
        VringAddress a = new VringAddress(1, 1, 0x10, 0x20, 0x30, 0x40);
        assertEquals(a, VringAddress.read(a.payload()));
        MemoryRegionSpec r = new MemoryRegionSpec(-1, 2, Long.MIN_VALUE, 4);
        assertEquals(r, MemoryRegionSpec.read(r.payload(), 8));
        assertEquals(List.of(r, r), MemoryRegionSpec.readTable(MemoryRegionSpec.tablePayload(List.of(r, r))));
        assertEquals(new LogSpec(5, 6), LogSpec.read(new LogSpec(5, 6).payload()));
        assertEquals(new InflightSpec(5, 6, 65535, 32768), InflightSpec.read(new InflightSpec(5, 6, 65535, 32768).payload()));
        assertEquals(new DeviceStateTransfer(1, 0), DeviceStateTransfer.read(new DeviceStateTransfer(1, 0).payload()));
        DeviceConfig c = DeviceConfig.read(new DeviceConfig(7, 1, MessageChannel.u64(0x1122334455667788L)).payload());
        assertEquals(7, c.offset());
        assertEquals(1, c.flags());
        assertEquals(0x1122334455667788L, c.bytes().get(Wire.LONG, 0));
    }

    @Test
    void masksHaveNames() {
        assertEquals("none", VirtioNet.names(0));
        assertEquals("CSUM bit 4 MRG_RXBUF VERSION_1 HOST_USO SPEED_DUPLEX",
                VirtioNet.names(VirtioNet.CSUM | 1L << 4 | VirtioNet.MRG_RXBUF | VirtioNet.VERSION_1 | VirtioNet.HOST_USO | 1L << 63));
        assertEquals("MQ REPLY_ACK GET_VRING_BASE_SKIP_DRAIN bit 40", ProtocolFeatures.names(1 | 1L << 3 | 1L << 23 | 1L << 40));
        assertEquals(10, VirtioNet.headerBytes(VirtioNet.CSUM));
        assertEquals(12, VirtioNet.headerBytes(VirtioNet.MRG_RXBUF));
        assertEquals(12, VirtioNet.headerBytes(VirtioNet.VERSION_1));
    }
}
