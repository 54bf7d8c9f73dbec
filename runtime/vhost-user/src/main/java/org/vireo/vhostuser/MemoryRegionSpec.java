// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * "Memory region description": part of the guest's memory. Nothing is checked here: addresses are opaque, sums may overflow.
 *
 * <pre>
 *  0       8      16     24            32
 *  | guest | size | user | mmap offset |
 * </pre>
 *
 * @param guest guest physical address
 * @param size bytes
 * @param user the front-end's own address of it
 * @param offset where it begins in the descriptor's file
 */
public record MemoryRegionSpec(long guest, long size, long user, long offset) {
    /** Its length. */
    public static final int BYTES = 32;

    static MemoryRegionSpec read(MemorySegment p, long at) {
        return new MemoryRegionSpec(p.get(Wire.LONG, at), p.get(Wire.LONG, at + 8), p.get(Wire.LONG, at + 16), p.get(Wire.LONG, at + 24));
    }

    static List<MemoryRegionSpec> readTable(MemorySegment p) {
        int n = p.get(Wire.INT, 0);
        List<MemoryRegionSpec> regions = new ArrayList<>(n);
        for (int i = 0; i < n; i++) {
            regions.add(read(p, 8 + (long) BYTES * i));
        }
        return List.copyOf(regions);
    }

    private void write(MemorySegment p, long at) {
        p.set(Wire.LONG, at, guest);
        p.set(Wire.LONG, at + 8, size);
        p.set(Wire.LONG, at + 16, user);
        p.set(Wire.LONG, at + 24, offset);
    }

    /** The payload of ADD_MEM_REG and REM_MEM_REG. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(8 + BYTES);
        write(p, 8);
        return p;
    }

    /** The payload of SET_MEM_TABLE. */
    public static MemorySegment tablePayload(List<MemoryRegionSpec> regions) {
        MemorySegment p = Wire.bytes(8 + BYTES * regions.size());
        p.set(Wire.INT, 0, regions.size());
        for (int i = 0; i < regions.size(); i++) {
            regions.get(i).write(p, 8 + (long) BYTES * i);
        }
        return p;
    }
}
