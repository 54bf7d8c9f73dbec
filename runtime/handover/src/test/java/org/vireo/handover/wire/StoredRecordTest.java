// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

/** The file of a NIC in the descriptor store: what was written is read, and nothing else is. */
class StoredRecordTest {
    private final Descriptors fds = new Descriptors();

    private StoredRecord record(Fd kick) throws IOException {
        try (NicImage image = NicImage.of("nic0", 1, 7, List.of(Section.builder("ring 0").descriptor("kick", kick.duplicate()).build()),
                null)) {
            StoredRecord.Encoded e = StoredRecord.encode(image, 0);
            assertEquals(1, e.descriptors().size());
            return new StoredRecord(3, 0, List.of(12L), e.payload());
        }
    }

    @Test
    void whatWasWrittenIsRead() throws Exception {
        try (Fd kick = EventFd.create(fds, "kick"); Fd file = record(kick).write(fds, "nic")) {
            StoredRecord r = StoredRecord.read(file);
            assertEquals(3, r.generation());
            assertEquals(0, r.index());
            assertEquals(List.of(12L), r.numbers());
            assertArrayEquals(record(kick).payload(), r.payload());
            try (NicImage image = r.image(List.of(kick.duplicate()))) {
                assertEquals("nic0", image.nic());
                assertEquals(7, image.seq());
                assertTrue(image.section("ring 0").orElseThrow().descriptor("kick").isOpen());
            }
        }
    }

    @Test
    void eachBitCounts() throws Exception {
        try (Fd kick = EventFd.create(fds, "kick"); Fd file = record(kick).write(fds, "nic")) {
            long size = SharedMemory.size(file);
            long at = SharedMemory.map(file, 0, size);
            for (long bit = 0; bit < 8 * size; bit++) {
                flip(at, bit);
                assertThrows(WireException.class, () -> StoredRecord.read(file), "bit " + bit);
                flip(at, bit);
            }
            StoredRecord.read(file);
            SharedMemory.unmap(at, size);
        }
    }

    private static void flip(long at, long bit) {
        byte b = SharedMemory.addressSpace().get(ValueLayout.JAVA_BYTE, at + bit / 8);
        SharedMemory.addressSpace().set(ValueLayout.JAVA_BYTE, at + bit / 8, (byte) (b ^ 1 << bit % 8));
    }

    @Test
    void otherFilesAreRefused() throws Exception {
        try (Fd small = SharedMemory.create(fds, "small", 8, true); Fd open = SharedMemory.create(fds, "not sealed", 100, false);
                Fd zeros = SharedMemory.create(fds, "zeros", 100, true); Fd large = SharedMemory.create(fds, "large", 1L << 30, true)) {
            for (Fd f : List.of(small, open, large)) {
                assertTrue(assertThrows(WireException.class, () -> StoredRecord.read(f)).getMessage().contains("is not one of a NIC"));
            }
            assertTrue(assertThrows(WireException.class, () -> StoredRecord.read(zeros)).getMessage().contains("it begins with 0"));
        }
    }

    /** Its descriptors are closed when the record cannot be read, the image's when they are too many. */
    @Test
    void aSurplusDescriptorIsRefused() throws Exception {
        try (Fd kick = EventFd.create(fds, "kick")) {
            Fd one = kick.duplicate();
            Fd two = kick.duplicate();
            WireException e = assertThrows(WireException.class, () -> record(kick).image(List.of(one, two)));
            assertTrue(e.getMessage().contains("surplus"), e.getMessage());
            assertTrue(!one.isOpen() && !two.isOpen());
        }
    }
}
