// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.SharedMemory;

/** The log of written pages (vhost-user, "Migration"): which bits are set, and that nothing else is. */
class DirtyLogTest {
    private static final long FILE = 8192;

    private final Descriptors fds = new Descriptors();
    private final List<Runnable> atEnd = new ArrayList<>();
    private MemorySegment file;

    @AfterEach
    void close() {
        atEnd.reversed().forEach(Runnable::run);
    }

    private DirtyLog log(long bytes, long offset, long fileBytes) throws IOException, InvalidMemoryException {
        Fd fd = SharedMemory.create(fds, "log", fileBytes, false);
        long mapped = fileBytes + 4095 & -4096;
        long at = SharedMemory.map(fd, 0, mapped);
        atEnd.add(() -> SharedMemory.unmap(at, mapped));
        file = SharedMemory.addressSpace().asSlice(at, mapped);
        DirtyLog log = DirtyLog.map(bytes, offset, fd, false);
        atEnd.add(log::close);
        return log;
    }

    /** Bits that are set in the file, counted from a byte. */
    private BitSet bits(long from) {
        return BitSet.valueOf(file.asSlice(from).toArray(ValueLayout.JAVA_BYTE));
    }

    private static BitSet range(int from, int to) {
        BitSet b = new BitSet();
        b.set(from, to);
        return b;
    }

    @ParameterizedTest
    @CsvSource({"0,1,0,1", "4095,1,0,1", "4095,2,0,2", "4096,4096,1,2", "0,262144,0,64", "258048,4097,63,65", "258047,262147,62,128",
        "262144,1,64,65", "1,1000000,0,245"})
    void aBitForEachPageThatARangeTouches(long guest, long bytes, int from, int to) throws Exception {
        DirtyLog l = log(FILE, 0, FILE);
        l.mark(guest, bytes);
        assertEquals(range(from, to), bits(0));
    }

    /** The log begins and ends anywhere in its file: what lies beside it is not changed, and what lies behind it is not touched. */
    @ParameterizedTest
    @CsvSource({"10,4091,8192", "1,0,1", "13,3,16", "7,4089,4096", "1,8191,8192", "9,4095,4104"})
    void nothingIsWrittenOutside(int bytes, long offset, long fileBytes) throws Exception {
        DirtyLog l = log(bytes, offset, fileBytes);
        l.mark(0, Long.MAX_VALUE);
        assertEquals(range(0, 8 * bytes), bits(offset));
        assertEquals(8 * bytes, bits(0).cardinality());
        file.fill((byte) 0);
        l.mark(8L * bytes * 4096 - 1, 2);
        assertEquals(range(8 * bytes - 1, 8 * bytes), bits(offset));
        l.mark(8L * bytes * 4096, 4096);
        assertEquals(1, bits(0).cardinality());
    }

    @ParameterizedTest
    @CsvSource({"-1,1", "0,0", "0,-1", "-9223372036854775808,9223372036854775807", "9223372036854775807,1",
        "9223372036854775807,9223372036854775807", "4611686018427387904,4096"})
    void hostileRangesMarkNothing(long guest, long bytes) throws Exception {
        DirtyLog l = log(FILE, 0, FILE);
        l.mark(guest, bytes);
        assertTrue(bits(0).isEmpty());
    }

    @Test
    void covers() throws Exception {
        DirtyLog l = log(10, 0, FILE);
        long end = 80L * 4096;
        assertTrue(l.covers(0, end));
        assertTrue(l.covers(end - 1, 1));
        assertFalse(l.covers(0, end + 1));
        assertFalse(l.covers(end, 1));
        assertFalse(l.covers(-1, 1));
        assertFalse(l.covers(5, 0));
        assertFalse(l.covers(1, Long.MAX_VALUE));
    }

    /** Several workers write into one log, and the VMM takes bits out at the same time: none is lost. */
    @Test
    void noBitIsLostBetweenThreads() throws Exception {
        DirtyLog l = log(64, 0, FILE);
        int pages = 512;
        int rounds = 20_000;
        long[] mark = new long[pages];
        Thread[] workers = new Thread[2];
        for (int t = 0; t < workers.length; t++) {
            Random r = new Random(t);
            int odd = t;
            workers[t] = Thread.ofPlatform().start(() -> {
                for (int i = 0; i < rounds; i++) {
                    // neighbouring bits of the same words
                    int page = 2 * r.nextInt(pages / 2) + odd;
                    mark[page]++;
                    l.mark(4096L * page, 1);
                }
            });
        }
        for (Thread w : workers) {
            w.join(30_000);
            assertFalse(w.isAlive());
        }
        BitSet expected = new BitSet();
        for (int i = 0; i < pages; i++) {
            expected.set(i, mark[i] > 0);
        }
        assertEquals(expected, bits(0));
    }

    @Test
    void allOfTheMemoryAndNoHole() throws Exception {
        DirtyLog l = log(FILE, 0, FILE);
        List<MappedRegion> regions = new ArrayList<>();
        for (long guest : new long[] {0x1000, 0x10000}) {
            regions.add(MappedRegion.map(new MappedRegion.Spec(guest, 0x2000, guest, 0), SharedMemory.create(fds, "m", 0x2000, false),
                    false));
        }
        MemoryTable t = MemoryTable.of(regions);
        atEnd.add(t::release);
        l.markAll(t);
        BitSet expected = range(1, 3);
        expected.set(16, 18);
        assertEquals(expected, bits(0));
        assertEquals(0x12000, t.guestEnd());
        assertEquals(0x11fff, t.guestOfHost(t.host(0x11fffL, 1)));
        assertEquals(MemoryTable.NONE, t.guestOfHost(8));
    }

    @ParameterizedTest
    @CsvSource({"0,0", "-1,0", "1,-1", "8193,0", "1,8192", "1,9223372036854775807", "9223372036854775807,1",
        "4611686018427387904,4611686018427387904"})
    void whatIsNoLogIsRefusedAndTheFileIsClosed(long bytes, long offset) throws Exception {
        Fd fd = SharedMemory.create(fds, "log", FILE, false);
        assertThrows(InvalidMemoryException.class, () -> DirtyLog.map(bytes, offset, fd, false));
        assertFalse(fd.isOpen());
    }

    @Test
    void aFileThatMayNotBeWrittenIsRefusedByName() throws Exception {
        try (Fd file = SharedMemory.create(fds, "log", FILE, false)) {
            Fd readOnly = fds.adopt(
                    Posix.check(Posix.open("/proc/self/fd/" + file.number(), Posix.O_RDONLY | Posix.O_CLOEXEC), "open"), "read-only");
            InvalidMemoryException e = assertThrows(InvalidMemoryException.class, () -> DirtyLog.map(64, 0, readOnly, false));
            assertTrue(e.getMessage().startsWith("log of 0x40 bytes"), e.getMessage());
            assertFalse(readOnly.isOpen());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 63, 64, 65, 4096})
    void truncatedIsNotIntact(int bytes) throws Exception {
        DirtyLog l = log(bytes, 0, FILE);
        assertTrue(l.intact());
        SharedMemory.resize(l.file(), bytes - 1);
        assertFalse(l.intact());
    }
}
