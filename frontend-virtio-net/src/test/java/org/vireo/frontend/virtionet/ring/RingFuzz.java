// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.guest.GuestRam;

/** Rings full of anything: each chain ends in a result that lies in guest memory, or in a {@link MalformedRingException}. */
final class RingFuzz implements AutoCloseable {
    private static final int SIZE = 8;
    private static final int CAPACITY = 64;
    private final RingFixture f;
    private final boolean packed;

    /** Split rings. */
    RingFuzz() throws Exception {
        this(false);
    }

    RingFuzz(boolean packed) throws Exception {
        this.packed = packed;
        f = new RingFixture(SIZE, 1 << 16, 4096);
    }

    /**
     * One input.
     *
     * @param data the first byte chooses, the next ones are descriptors, the driver's area and an indirect table
     * @return whether all chains were good
     */
    boolean run(byte[] data) {
        if (data.length == 0) {
            return true;
        }
        int choice = data[0];
        MemorySegment in = MemorySegment.ofArray(data);
        long at = 1;
        at = fill(f.ram.address(f.driver.descriptorsGuest()), 16 * SIZE, in, at);
        at = fill(f.ram.address(f.driver.availableGuest()), 6 + 2 * SIZE, in, at);
        fill(f.ram.address(f.ram.specs().getFirst().guest() + 0x8000), 256, in, at);
        try {
            boolean eventIndex = (choice & 1) != 0;
            boolean deviceWrites = (choice & 2) != 0;
            Virtqueue q = packed ? f.packedDevice(eventIndex, deviceWrites, choice >> 4 & 15 | choice << 12 & 0x8000)
                    : f.device(eventIndex, deviceWrites, f.driver.availableIndex() - (choice >> 4 & 15) & 0xffff);
            // a packed ring tells one at a time; what was available once is not available again in the same lap
            for (int i = 0; i < 2 * SIZE && q.look() > 0; i++) {
                int iovecs = q.gather(f.iovecs(), CAPACITY, (choice & 4) != 0 ? 12 : 0);
                if (iovecs < 0) {
                    q.discard();
                    continue;
                }
                check(iovecs, q.chainBytes());
                q.put(q.chain(), 0);
            }
            q.record();
            q.publish();
            q.kicksOn();
            return true;
        } catch (MalformedRingException e) {
            if (e.getMessage().isEmpty() || !e.getMessage().startsWith(e.rule().name())) {
                throw new AssertionError("no name", e);
            }
            return false;
        }
    }

    private static long fill(long to, int bytes, MemorySegment from, long at) {
        long n = Math.min(bytes, from.byteSize() - at);
        MemorySegment target = GuestRam.MEMORY.asSlice(to, bytes);
        target.fill((byte) 0);
        if (n > 0) {
            MemorySegment.copy(from, JAVA_BYTE, at, target, JAVA_BYTE, 0, n);
        }
        return at + Math.max(n, 0);
    }

    private void check(int iovecs, int chainBytes) {
        long sum = 0;
        for (int i = 0; i < iovecs; i++) {
            long base = Virtqueue.base(f.iovecs() + 16L * i);
            long length = Virtqueue.length(f.iovecs() + 16L * i);
            sum += length;
            if (length <= 0 || !inside(f.table, base, length)) {
                throw new AssertionError("iovec " + i + " at 0x" + Long.toHexString(base) + ", " + length + " bytes, is not guest memory");
            }
        }
        if (sum > chainBytes) {
            throw new AssertionError(sum + " bytes of a chain of " + chainBytes);
        }
    }

    private static boolean inside(MemoryTable table, long base, long length) {
        for (MappedRegion r : table.regions()) {
            if (base >= r.host() && base + length <= r.host() + r.spec().bytes()) {
                return true;
            }
        }
        return false;
    }

    /** Guest address of the first region: so that random inputs have something to point at. */
    long memory() {
        return f.ram.specs().getFirst().guest();
    }

    @Override
    public void close() {
        f.close();
    }
}
