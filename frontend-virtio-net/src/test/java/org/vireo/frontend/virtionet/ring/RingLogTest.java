// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.BitSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.SharedMemory;

/** Which pages a split ring marks for a VMM that migrates its VM (vhost-user, "Migration"). */
class RingLogTest {
    private static final int SIZE = 1024;
    /** Entries begin 4 bytes behind it: at page 10; the event field is in page 12. */
    private static final long USED_AT = 10 * 4096 - 4;
    private static final int BYTES = 1 << 17;

    private final RingFixture f;
    private final DirtyLog log;
    private final long mapped;

    RingLogTest() throws Exception {
        f = new RingFixture(SIZE, 1 << 20);
        Fd file = SharedMemory.create(new Descriptors(), "log", BYTES, false);
        mapped = SharedMemory.map(file, 0, BYTES);
        log = DirtyLog.map(BYTES, 0, file, false);
    }

    @BeforeEach
    void post() {
        for (int i = 0; i < SIZE; i++) {
            f.driver.descriptor(i, f.ram.specs().getFirst().guest(), 64, 0, 0);
        }
    }

    @AfterEach
    void close() {
        log.close();
        SharedMemory.unmap(mapped, BYTES);
        f.close();
    }

    private String marked() {
        MemorySegment s = SharedMemory.addressSpace().asSlice(mapped, BYTES);
        BitSet b = BitSet.valueOf(s.toArray(ValueLayout.JAVA_BYTE));
        s.fill((byte) 0);
        return b.toString();
    }

    private SplitVirtqueue ring(boolean eventIndex, int at) throws MalformedRingException {
        f.driver.publishAvailable(at + SIZE);
        for (int i = 0; i < SIZE; i++) {
            f.driver.available(at + i, i);
        }
        SplitVirtqueue q = f.device(eventIndex, false, at);
        q.publish();
        q.log(new RingLog(log, false, USED_AT, RingLog.NO_EVENT));
        assertFalse(q.logsBuffers());
        return q;
    }

    private static void put(SplitVirtqueue q, int n) throws MalformedRingException {
        q.look();
        for (int i = 0; i < n; i++) {
            q.discard();
        }
        q.record();
    }

    @Test
    void entriesAndIndexAreMarkedWhenTheyArePublished() throws Exception {
        SplitVirtqueue q = ring(true, 0);
        put(q, 1);
        assertEquals("{}", marked(), "before it is published");
        q.publish();
        assertEquals("{9, 10}", marked());
        put(q, 511);
        q.publish();
        assertEquals("{9, 10}", marked());
        put(q, 1);
        q.publish();
        assertEquals("{9, 11}", marked());
        q.publish();
        assertEquals("{}", marked());
    }

    @Test
    void entriesThatWrapAreMarkedAtBothEnds() throws Exception {
        SplitVirtqueue q = ring(true, 65_536 - 2);
        put(q, 4);
        q.publish();
        assertEquals("{9, 10, 11}", marked());
        put(q, 600);
        q.publish();
        assertEquals("{9, 10, 11}", marked());
    }

    @Test
    void flagsAndEventAreMarked() throws Exception {
        SplitVirtqueue q = ring(true, 0);
        q.kicksOff();
        assertEquals("{}", marked());
        q.kicksOn();
        assertEquals("{12}", marked());
        SplitVirtqueue flags = ring(false, 0);
        flags.kicksOff();
        assertEquals("{9}", marked());
        flags.kicksOn();
        assertEquals("{9}", marked());
    }

    @Test
    void buffersAreMarkedByGuestAddress() throws Exception {
        SplitVirtqueue q = ring(true, 0);
        q.log(new RingLog(log, true, -1, RingLog.NO_EVENT));
        assertTrue(q.logsBuffers());
        long guest = f.ram.specs().getFirst().guest();
        q.written(f.table.host(guest, 1) + 4000, 97);
        assertEquals("{" + guest / 4096 + ", " + (guest / 4096 + 1) + "}", marked());
        put(q, 5);
        q.publish();
        q.kicksOn();
        assertEquals("{}", marked(), "the used ring is not logged");
    }

    /** The descriptors of a packed ring are written by the device too, and logged as buffers are; what it wants is logged apart. */
    @Test
    void packedRings() throws Exception {
        Virtqueue q = f.packedDevice(true, false, PackedRingLayout.WRAP);
        q.publish();
        q.log(new RingLog(log, true, USED_AT, RingLog.NO_EVENT));
        long first = f.driver.descriptorsGuest() / 4096;
        for (int i = 0; i < SIZE; i++) {
            f.driver.descriptor(i, f.ram.specs().getFirst().guest(), 64, 0, PackedRingLayout.AVAILABLE);
        }
        discard(q, 1);
        assertEquals("{" + first + "}", marked());
        discard(q, 255);
        marked();
        discard(q, 1);
        assertEquals("{" + (first + 1) + "}", marked());
        discard(q, SIZE - 257);
        marked();
        q.publish();
        assertEquals("{}", marked());
        q.kicksOn();
        assertEquals("{9}", marked());
        q.kicksOn();
        assertEquals("{}", marked(), "it stands there already");
        q.kicksOff();
        assertEquals("{9}", marked());
    }

    /** What finishes a predecessor's work is written before anybody looks at the ring. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatASuccessorCompletesIsMarked(boolean receive) throws Exception {
        int flags = PackedRingLayout.AVAILABLE | (receive ? PackedRingLayout.WRITE : 0);
        for (int i = 0; i < SIZE; i++) {
            f.driver.descriptor(i, f.ram.specs().getFirst().guest(), 64, 0, flags);
        }
        if (receive) {
            // the second of two chains of a frame is given back, the first one is not
            f.driver.descriptor(1, f.ram.specs().getFirst().guest(), 64, 0, PackedRingLayout.usedFlags(PackedRingLayout.WRAP));
        }
        f.journal(RingJournal.word(PackedRingLayout.WRAP, 2, 1));
        Virtqueue q = f.packedDevice(true, receive, PackedRingLayout.WRAP, new RingLog(log, true, USED_AT, RingLog.NO_EVENT));
        assertEquals(PackedRingLayout.WRAP + 2, q.used());
        assertEquals("{" + f.driver.descriptorsGuest() / 4096 + "}", marked());
    }

    private static void discard(Virtqueue q, int n) throws MalformedRingException {
        for (int i = 0; i < n; i++) {
            assertEquals(1, q.look());
            q.discard();
        }
        q.record();
    }

    @Test
    void whatIsLogged() {
        assertEquals(RingLog.NONE, RingLog.of(null, true, true, 5, RingLog.NO_EVENT));
        assertEquals(RingLog.NONE, RingLog.of(log, false, false, 5, RingLog.NO_EVENT));
        assertEquals(new RingLog(log, true, -1, RingLog.NO_EVENT), RingLog.of(log, true, false, 5, RingLog.NO_EVENT));
        assertEquals(new RingLog(log, false, 5, RingLog.NO_EVENT), RingLog.of(log, false, true, 5, RingLog.NO_EVENT));
    }
}
