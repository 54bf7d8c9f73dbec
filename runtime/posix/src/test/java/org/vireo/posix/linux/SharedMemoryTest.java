// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.TestSupport;

/** memfd_create(2), mmap(2), seals, and what a mapping is after its memory was revoked. */
@Timeout(60)
class SharedMemoryTest {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final long PAGE = 4096;

    private final Descriptors fds = new Descriptors();

    @Test
    void twoMappingsSeeTheSameBytes() throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", 4 * PAGE, false)) {
            long whole = SharedMemory.map(fd, 0, 4 * PAGE);
            long third = SharedMemory.map(fd, 2 * PAGE, PAGE);
            MEMORY.set(ValueLayout.JAVA_LONG, third + 8, 0x0123_4567_89ab_cdefL);
            assertEquals(0x0123_4567_89ab_cdefL, MEMORY.get(ValueLayout.JAVA_LONG, whole + 2 * PAGE + 8));
            SharedMemory.unmap(third, PAGE);
            assertEquals(0x0123_4567_89ab_cdefL, MEMORY.get(ValueLayout.JAVA_LONG, whole + 2 * PAGE + 8));
            SharedMemory.unmap(whole, 4 * PAGE);
        }
    }

    @Test
    void mappingOutlivesItsDescriptor() throws Exception {
        Fd fd = SharedMemory.create(fds, "guest", PAGE, true);
        long at = SharedMemory.map(fd, 0, PAGE);
        fd.close();
        MEMORY.set(ValueLayout.JAVA_INT, at, 42);
        assertEquals(42, MEMORY.get(ValueLayout.JAVA_INT, at));
        SharedMemory.unmap(at, PAGE);
    }

    @Test
    void aFileIsTheSameHoweverItWasOpened() throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", PAGE, false); Fd other = SharedMemory.create(fds, "guest", PAGE, false)) {
            int n = Posix.check(Posix.open("/proc/self/fd/" + fd.number(), Posix.O_RDONLY | Posix.O_CLOEXEC), "open");
            Fd again = fds.adopt(n, "again");
            assertTrue(SharedMemory.isSameFile(fd, again));
            assertFalse(SharedMemory.isSameFile(fd, other));
            again.close();
        }
    }

    @Test
    void revokedItReadsZeroAndWritesHarmNobody() throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", 2 * PAGE, false)) {
            long mine = SharedMemory.map(fd, 0, 2 * PAGE);
            long theirs = SharedMemory.map(fd, 0, 2 * PAGE);
            MEMORY.set(ValueLayout.JAVA_INT, mine + PAGE, 1);
            SharedMemory.revoke(mine, 2 * PAGE);
            assertEquals(0, MEMORY.get(ValueLayout.JAVA_INT, mine + PAGE));
            MEMORY.set(ValueLayout.JAVA_INT, mine + PAGE, 2);
            assertEquals(1, MEMORY.get(ValueLayout.JAVA_INT, theirs + PAGE));
            SharedMemory.unmap(mine, 2 * PAGE);
            SharedMemory.unmap(theirs, 2 * PAGE);
        }
    }

    @Test
    void sealedItKeepsItsSize() throws Exception {
        try (Fd sealed = SharedMemory.create(fds, "block", 4 * PAGE, true); Fd open = SharedMemory.create(fds, "open", PAGE, false)) {
            assertTrue(SharedMemory.isSealed(sealed));
            assertFalse(SharedMemory.isSealed(open));
            for (long bytes : new long[] {0, PAGE, 5 * PAGE}) {
                assertEquals(Errno.EPERM, assertThrows(PosixException.class, () -> SharedMemory.resize(sealed, bytes)).errno());
            }
            assertEquals(4 * PAGE, SharedMemory.size(sealed));
            SharedMemory.resize(open, 3 * PAGE);
            assertEquals(3 * PAGE, SharedMemory.size(open));
        }
    }

    @Test
    void readOnlyFileCannotBeMappedForWriting() throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", PAGE, false)) {
            int n = Posix.check(Posix.open("/proc/self/fd/" + fd.number(), Posix.O_RDONLY), "open");
            try (Fd readOnly = fds.adopt(n, "read-only memory")) {
                PosixException e = assertThrows(PosixException.class, () -> SharedMemory.map(readOnly, 0, PAGE));
                assertEquals(Errno.EACCES, e.errno());
                assertTrue(e.getMessage().contains("read-only memory"), e.getMessage());
            }
        }
    }

    @Test
    void badRangesAreRefused() throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", PAGE, false)) {
            assertEquals(Errno.EINVAL, assertThrows(PosixException.class, () -> SharedMemory.map(fd, 1, PAGE)).errno());
            assertEquals(Errno.EINVAL, assertThrows(PosixException.class, () -> SharedMemory.map(fd, 0, 0)).errno());
            assertThrows(PosixException.class, () -> SharedMemory.map(fd, 0, Long.MAX_VALUE));
        }
    }

    @Test
    void fileSystemTellsMemoryFromDisk(@TempDir Path folder) throws Exception {
        try (Fd fd = SharedMemory.create(fds, "guest", PAGE, false)) {
            assertEquals(SharedMemory.TMPFS, SharedMemory.fileSystem(fd));
            assertEquals(PAGE, SharedMemory.blockSize(fd));
        }
        Path file = Files.writeString(folder.resolve("file"), "12345");
        try (Fd fd = fds.adopt(Posix.check(Posix.open(file.toString(), Posix.O_RDWR), "open"), "file")) {
            assertEquals(5, SharedMemory.size(fd));
            String type = Files.getFileStore(file).type();
            assertEquals(type.equals("tmpfs"), SharedMemory.fileSystem(fd) == SharedMemory.TMPFS, type);
        }
        try (Fd proc = fds.adopt(Posix.check(Posix.open("/proc/self/stat", Posix.O_RDONLY), "open"), "proc")) {
            assertEquals(0x9fa0, SharedMemory.fileSystem(proc));
        }
    }

    @Test
    void failedCreationLeavesNoDescriptor() throws Exception {
        assertThrows(PosixException.class, () -> SharedMemory.create(fds, "x", -1, true));
        long before = TestSupport.openDescriptors();
        for (int i = 0; i < 20; i++) {
            assertThrows(PosixException.class, () -> SharedMemory.create(fds, "x", -1, true));
        }
        TestSupport.assertNoMoreDescriptorsThan(before);
    }
}
