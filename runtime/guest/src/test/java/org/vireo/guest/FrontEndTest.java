// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/** Requests that a device rarely gets, against answers that lie ready before they are asked for. */
class FrontEndTest {
    private static final Duration LIMIT = Duration.ofSeconds(5);
    private static final int REPLY = 1 | 4;

    private final Fds fds = new Descriptors();
    private int descriptorsBefore;
    private FrontEnd frontEnd;
    private FrontEnd device;

    @BeforeEach
    void connect() throws IOException {
        descriptorsBefore = OpenFiles.count();
        Fd[] pair = UnixSockets.pair(fds, 1, false, "test");
        frontEnd = new FrontEnd(fds, pair[0], LIMIT);
        device = new FrontEnd(fds, pair[1], LIMIT);
    }

    @AfterEach
    void disconnect() {
        frontEnd.close();
        device.close();
        int now = OpenFiles.count();
        assertTrue(now <= descriptorsBefore, now + " descriptors are open, before the test " + descriptorsBefore);
    }

    private void answer(Request request, MemorySegment payload, Fd... with) throws IOException {
        byte[] p = payload.toArray(ValueLayout.JAVA_BYTE);
        device.raw(FrontEnd.bytes(request.id(), REPLY, p.length, p), List.of(with));
    }

    private void answer(Request request, long value, Fd... with) throws IOException {
        answer(request, MemorySegment.ofArray(new long[] {value}), with);
    }

    /** What the front-end sent, which keeps the rules of its kind. */
    private Message asked(Request request) throws IOException, MalformedMessageException {
        Message m = device.channel().receive(System.nanoTime() + LIMIT.toNanos()).orElseThrow();
        m.check();
        assertEquals(request, m.request().orElseThrow());
        return m;
    }

    private Fd memory(String name) throws IOException {
        return SharedMemory.create(fds, name, 4096, false);
    }

    @Test
    void theDeviceMakesTheInFlightAreaAndTheFrontEndKeepsIt() throws Exception {
        try (Fd made = memory("inflight")) {
            answer(Request.GET_INFLIGHT_FD, new InflightSpec(4096, 0, 2, 256).payload(), made);
        }
        try (InflightArea area = frontEnd.inflight(2, 256).orElseThrow()) {
            assertEquals(new InflightSpec(4096, 0, 2, 256), area.spec());
            assertEquals(4096, SharedMemory.size(area.file()));
            try (Message m = asked(Request.GET_INFLIGHT_FD)) {
                assertEquals(new InflightSpec(0, 0, 2, 256), m.inflight());
            }
            frontEnd.setInflight(area);
        }
        try (Message m = asked(Request.SET_INFLIGHT_FD)) {
            assertEquals(4096, m.inflight().size());
            assertEquals(1, m.descriptors().size());
        }
    }

    @Test
    void aDeviceMayWantNoInFlightArea() throws Exception {
        answer(Request.GET_INFLIGHT_FD, new InflightSpec(0, 0, 2, 256).payload());
        assertTrue(frontEnd.inflight(2, 256).isEmpty());
        answer(Request.GET_INFLIGHT_FD, new InflightSpec(4096, 0, 2, 256).payload());
        assertEquals("GET_INFLIGHT_FD was answered with 0 descriptors, must be one",
                assertThrows(IOException.class, () -> frontEnd.inflight(2, 256)).getMessage());
    }

    /** Bits 0 to 7 are an error, bit 8 says that the device uses what it was given. */
    @Test
    void theStateOfTheDeviceGoesThroughADescriptor() throws Exception {
        DeviceStateTransfer load = new DeviceStateTransfer(1, 0);
        try (Fd given = memory("given"); Fd own = memory("own")) {
            answer(Request.SET_DEVICE_STATE_FD, Message.NO_DESCRIPTOR);
            assertTrue(frontEnd.deviceState(load, given).isEmpty());
            try (Message m = asked(Request.SET_DEVICE_STATE_FD)) {
                assertEquals(load, m.deviceState());
            }
            answer(Request.SET_DEVICE_STATE_FD, 0, own);
            frontEnd.deviceState(load, given).orElseThrow().close();
            answer(Request.SET_DEVICE_STATE_FD, Message.NO_DESCRIPTOR | 5);
            assertEquals("the device refused SET_DEVICE_STATE_FD (acknowledgement 5)",
                    assertThrows(RefusedException.class, () -> frontEnd.deviceState(load, given)).getMessage());
            answer(Request.SET_DEVICE_STATE_FD, 0);
            assertThrows(IOException.class, () -> frontEnd.deviceState(load, given), "neither bit 8 nor a descriptor");
        }
    }

    @Test
    void aStateThatIsNotWholeIsRefused() throws Exception {
        answer(Request.CHECK_DEVICE_STATE, 0);
        frontEnd.checkDeviceState();
        asked(Request.CHECK_DEVICE_STATE).close();
        answer(Request.CHECK_DEVICE_STATE, 1);
        assertEquals("the device refused CHECK_DEVICE_STATE (acknowledgement 1)",
                assertThrows(RefusedException.class, frontEnd::checkDeviceState).getMessage());
    }

    /** REPLY_ACK does not touch requests with an answer of their own, and those of the others can be a refusal. */
    @Test
    void anInFlightAreaCanBeRefused() throws Exception {
        frontEnd.setProtocolFeatures(ProtocolFeatures.REPLY_ACK);
        try (InflightArea area = new InflightArea(new InflightSpec(4096, 0, 2, 256), memory("inflight"))) {
            answer(Request.SET_INFLIGHT_FD, 1);
            assertThrows(RefusedException.class, () -> frontEnd.setInflight(area));
        }
        answer(Request.CHECK_DEVICE_STATE, 0);
        frontEnd.checkDeviceState();
    }
}
