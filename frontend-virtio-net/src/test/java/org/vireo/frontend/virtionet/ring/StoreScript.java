// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.vireo.guest.GuestRam;

/**
 * Memory, and the stores that change it in the order of a specification: to see what is there when a process dies between any two of them.
 * That a process which lives stores the same is checked with {@link #sameAs}.
 */
final class StoreScript {
    private final List<MemorySegment> areas = new ArrayList<>();
    private final List<byte[]> before = new ArrayList<>();
    private final List<Store> stores = new ArrayList<>();

    private record Store(long at, int bytes, long value) {
        void apply() {
            switch (bytes) {
                case 1 -> GuestRam.MEMORY.set(ValueLayout.JAVA_BYTE, at, (byte) value);
                case 2 -> GuestRam.MEMORY.set(ValueLayout.JAVA_SHORT_UNALIGNED, at, (short) value);
                case 4 -> GuestRam.MEMORY.set(ValueLayout.JAVA_INT_UNALIGNED, at, (int) value);
                default -> GuestRam.MEMORY.set(ValueLayout.JAVA_LONG_UNALIGNED, at, value);
            }
        }
    }

    /** Keeps what is there now; more than one area may be kept. */
    void keep(long at, long bytes) {
        areas.add(GuestRam.MEMORY.asSlice(at, bytes));
        before.add(areas.getLast().toArray(ValueLayout.JAVA_BYTE));
    }

    void store(long at, int bytes, long value) {
        stores.add(new Store(at, bytes, value));
    }

    /** How many there are. */
    int size() {
        return stores.size();
    }

    /** All is as it was kept, and so many stores were done. */
    void replay(int n) {
        for (int i = 0; i < areas.size(); i++) {
            areas.get(i).copyFrom(MemorySegment.ofArray(before.get(i)));
        }
        stores.subList(0, n).forEach(Store::apply);
    }

    /** What is there now is what all stores make of it. */
    void sameAs(String what) {
        List<byte[]> now = areas.stream().map(a -> a.toArray(ValueLayout.JAVA_BYTE)).toList();
        replay(size());
        for (int i = 0; i < areas.size(); i++) {
            assertArrayEquals(areas.get(i).toArray(ValueLayout.JAVA_BYTE), now.get(i), what + ": area " + i);
        }
    }
}
