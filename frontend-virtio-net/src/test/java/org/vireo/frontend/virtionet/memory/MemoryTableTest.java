// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.SharedMemory;

/** Guest memory: what is accepted, translated, shared between tables and given back. */
class MemoryTableTest {
    private final Descriptors fds = new Descriptors();

    private MappedRegion region(long guest, long bytes, long user, long offset, long fileBytes) throws IOException, InvalidMemoryException {
        Fd file = SharedMemory.create(fds, "test", fileBytes, false);
        return MappedRegion.map(new MappedRegion.Spec(guest, bytes, user, offset), file, false);
    }

    @Test
    void translates() throws Exception {
        MemoryTable t = MemoryTable.of(List.of(region(0x10000, 0x2000, 0x7000_0000, 0x100, 0x4000),
                region(0, 0x1000, 0x6000_0000, 0, 0x1000)));
        MappedRegion low = t.regions().getFirst();
        MappedRegion high = t.regions().getLast();
        assertEquals(0, low.spec().guest(), "sorted");
        assertEquals(low.host(), t.host(0L, 0x1000));
        assertEquals(MemoryTable.NONE, t.host(0L, 0x1001));
        assertEquals(MemoryTable.NONE, t.host(0x1000L, 1));
        assertEquals(MemoryTable.NONE, t.host(-1L, 1));
        assertEquals(MemoryTable.NONE, t.host(0xffffL, 2));
        assertEquals(high.host() + 0x1fff, t.host(0x11fffL, 1));
        assertEquals(MemoryTable.NONE, t.host(0x11fffL, 2));
        assertEquals(MemoryTable.NONE, t.host(Long.MAX_VALUE, Long.MAX_VALUE));
        assertEquals(high.host() + 5, t.hostOfUser(0x7000_0005, 0x1ffb));
        assertEquals(MemoryTable.NONE, t.hostOfUser(0x7000_0005, 0x1ffc));
        assertEquals(MemoryTable.NONE, t.hostOfUser(0x10000, 1), "guest addresses are not VMM addresses");
        assertEquals(MemoryTable.NONE, t.hostOfUser(0x6fff_ffff, 2));
        assertEquals(0x2000 - 5, t.left(t.find(0x10005), 0x10005));
        assertEquals(-1, t.find(0x12000));
        t.release();
        assertFalse(high.file().isOpen());
    }

    @ParameterizedTest
    @CsvSource({"0,0,0,0", "0,-1,0,0", "-1,4096,0,0", "0,4096,0,-4096", "0,4096,-4095,0", "0,4096,-4096,0", "0,8192,0,0", "0,4096,0,4096",
        "4611686018427387905,4096,0,0", "0,4611686018427387905,0,0", "0,4096,0,9223372036854775807"})
    void numbersOutOfRangeAreRefusedAndTheFileIsClosed(long guest, long bytes, long user, long offset) throws Exception {
        Fd file = SharedMemory.create(fds, "test", 4096, false);
        assertThrows(InvalidMemoryException.class, () -> MappedRegion.map(new MappedRegion.Spec(guest, bytes, user, offset), file, false));
        assertFalse(file.isOpen());
    }

    @Test
    void overlapsAreRefusedInBothAddressSpacesAndAllIsReleased() throws Exception {
        for (long[] second : new long[][] {{0x1000, 0x1000, 0x9000}, {0, 0x1000, 0x1fff}, {0x1fff, 0x1000, 0x100000},
            {0x8000, 0x1000, 0x1000}}) {
            MappedRegion a = region(0, 0x2000, 0x1000, 0, 0x2000);
            MappedRegion b = region(second[0], second[1], second[2], 0, 0x1000);
            InvalidMemoryException e = assertThrows(InvalidMemoryException.class, () -> MemoryTable.of(List.of(a, b)));
            assertTrue(e.getMessage().contains("overlaps"), e.getMessage());
            assertFalse(a.file().isOpen() || b.file().isOpen());
        }
        MemoryTable.of(List.of(region(0, 0x1000, 0x1000, 0, 0x1000), region(0x1000, 0x1000, 0x2000, 0, 0x1000))).release();
    }

    /** A VMM that adds one region leaves the mappings of the others alone. */
    @Test
    void regionsAreSharedBetweenTables() throws Exception {
        MemoryTable one = MemoryTable.EMPTY.with(region(0, 0x1000, 0x1000, 0, 0x1000));
        MemoryTable two = one.with(region(0x10000, 0x1000, 0x10000, 0, 0x1000));
        assertSame(one.regions().getFirst(), two.regions().getFirst());
        one.release();
        assertTrue(two.regions().getFirst().file().isOpen());
        SharedMemory.addressSpace().set(java.lang.foreign.ValueLayout.JAVA_BYTE, two.host(0L, 1), (byte) 1);
        MemoryTable rest = two.without(0, 0x1000, 0x1000);
        Fd gone = two.regions().getFirst().file();
        assertSame(two, two.without(0, 0x1000, 0x1001), "there is no such region");
        assertSame(rest, rest.without(0, 0x1000, 0x1000), "there is no such region any more");
        InvalidMemoryException e = assertThrows(InvalidMemoryException.class, () -> rest.with(region(0x10800, 0x1000, 0, 0, 0x1000)));
        assertTrue(e.getMessage().contains("overlaps"), e.getMessage());
        assertTrue(rest.regions().getFirst().file().isOpen(), "a refused region took the others along");
        two.release();
        assertFalse(gone.isOpen());
        rest.release();
    }

    /** The same numbers with another file are another region. */
    @Test
    void aRegionIsKnownByItsNumbersAndItsFile() throws Exception {
        MemoryTable t = MemoryTable.of(List.of(region(0, 0x1000, 0x1000, 0, 0x4000)));
        Fd first = t.regions().getFirst().file();
        int again = Posix.check(Posix.open("/proc/self/fd/" + first.number(), Posix.O_RDWR | Posix.O_CLOEXEC), "open");
        try (Fd same = fds.adopt(again, "same"); Fd other = SharedMemory.create(fds, "test", 0x4000, false)) {
            assertTrue(t.has(new MappedRegion.Spec(0, 0x1000, 0x1000, 0), same));
            assertFalse(t.has(new MappedRegion.Spec(0, 0x1000, 0x1000, 0), other));
            assertFalse(t.has(new MappedRegion.Spec(0, 0x1000, 0x1000, 0x1000), same));
            assertFalse(t.has(new MappedRegion.Spec(0, 0x2000, 0x1000, 0), same));
            assertFalse(MemoryTable.EMPTY.has(new MappedRegion.Spec(0, 0x1000, 0x1000, 0), same));
        }
        t.release();
    }

    @Test
    void memoryHasToBeSharedForWriting() throws Exception {
        try (Fd file = SharedMemory.create(fds, "test", 4096, false)) {
            Fd readOnly = fds.adopt(
                    Posix.check(Posix.open("/proc/self/fd/" + file.number(), Posix.O_RDONLY | Posix.O_CLOEXEC), "open"), "read-only");
            InvalidMemoryException e = assertThrows(InvalidMemoryException.class,
                    () -> MappedRegion.map(new MappedRegion.Spec(0, 4096, 0, 0), readOnly, false));
            assertTrue(e.getMessage().contains("share=on") && e.getMessage().contains("shared=on"), e.getMessage());
            assertFalse(readOnly.isOpen());
        }
    }

    @Test
    void memoryOnADiskIsRefusedUnlessItIsWanted() throws Exception {
        Path disk = Files.createTempFile(Path.of(System.getProperty("user.dir")), "memory", ".tmp");
        try {
            Files.write(disk, new byte[4096]);
            Fd a = fds.adopt(Posix.check(Posix.open(disk.toString(), Posix.O_RDWR | Posix.O_CLOEXEC), "open"), "disk");
            if (SharedMemory.fileSystem(a) == SharedMemory.TMPFS) {
                a.close();
                org.junit.jupiter.api.Assumptions.abort("the build folder is on tmpfs itself");
            }
            InvalidMemoryException e = assertThrows(InvalidMemoryException.class,
                    () -> MappedRegion.map(new MappedRegion.Spec(0, 4096, 0, 0), a, false));
            assertTrue(e.getMessage().contains("guest-memory=any"), e.getMessage());
            Fd b = fds.adopt(Posix.check(Posix.open(disk.toString(), Posix.O_RDWR | Posix.O_CLOEXEC), "open"), "disk");
            MappedRegion.map(new MappedRegion.Spec(0, 4096, 0, 0), b, true).release();
            assertFalse(b.isOpen());
        } finally {
            Files.delete(disk);
        }
    }

    @Test
    void aFileThatWasCutShortIsFound() throws Exception {
        MemoryTable t = MemoryTable.of(List.of(region(0, 0x2000, 0x1000, 0, 0x2000)));
        assertNull(t.truncated());
        SharedMemory.resize(t.regions().getFirst().file(), 0x1fff);
        assertSame(t.regions().getFirst(), t.truncated());
        t.revoke();
        assertEquals(0, SharedMemory.addressSpace().get(java.lang.foreign.ValueLayout.JAVA_BYTE, t.host(0x1fffL, 1)), "no fault any more");
        t.release();
    }
}
