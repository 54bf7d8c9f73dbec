// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.SplitInflightLayout;

/**
 * A ring's part of a VMM's in-flight memory. What both layouts begin with is the same: features, version, number of entries.
 *
 * @param at its address, a multiple of 8
 * @param bytes its length
 * @param entries of the largest ring that it is for
 */
public record InflightSlot(long at, long bytes, int entries) {
    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle SHORT = JAVA_SHORT.varHandle();

    /**
     * A ring's part.
     *
     * @param region the VMM's memory, or null
     * @param ring the ring's number
     * @return its part; null: the ring has none
     */
    public static InflightSlot of(InflightRegion region, int ring) {
        return region == null || ring >= region.spec().queues() ? null
                : new InflightSlot(region.at(ring), region.stride(), region.spec().queueSize());
    }

    /** Forgets what it says: the ring begins where the VMM says. */
    public void forget() {
        SHORT.setRelease(MEMORY, at + SplitInflightLayout.VERSION, (short) 0);
    }

    /** Whether nobody has written it, so that a ring begins where the VMM says. */
    boolean isNew() {
        return (short) SHORT.getAcquire(MEMORY, at + SplitInflightLayout.VERSION) == 0;
    }

    /** The last store of what a new ring writes. */
    void initialized() {
        MEMORY.set(JAVA_LONG, at + SplitInflightLayout.FEATURES, 0L);
        MEMORY.set(JAVA_SHORT, at + SplitInflightLayout.DESC_NUM, (short) entries);
        SHORT.setRelease(MEMORY, at + SplitInflightLayout.VERSION, (short) SplitInflightLayout.VERSION_1);
    }

    /**
     * For how many entries somebody has written it.
     *
     * @param ring for messages
     * @param size the ring's entries
     * @param needed bytes that it has to have
     * @return 0: nobody has, the ring is new
     * @throws MalformedRingException it is not what a ring of this size needs, or of another version
     */
    int written(String ring, int size, long needed) throws MalformedRingException {
        if (size > entries || bytes < needed) {
            throw new MalformedRingException(Rule.INFLIGHT, ring + ": has " + size + " entries, but the VMM's in-flight memory is for "
                    + entries + " and has " + bytes + " bytes for it, of " + needed);
        }
        int version = (short) SHORT.getAcquire(MEMORY, at + SplitInflightLayout.VERSION) & 0xffff;
        if (version == 0) {
            return 0;
        }
        int told = MEMORY.get(JAVA_SHORT, at + SplitInflightLayout.DESC_NUM) & 0xffff;
        long features = MEMORY.get(JAVA_LONG, at + SplitInflightLayout.FEATURES);
        if (version != SplitInflightLayout.VERSION_1 || features != 0) {
            throw wrong(ring, "has version " + version + " and features 0x" + Long.toHexString(features) + "; version 1 without features"
                    + " is known here");
        }
        // it is the ring's size, which the VMM says with the memory
        if (told != entries && told != size) {
            throw wrong(ring, "was written for " + told + " entries, but the VMM says " + entries);
        }
        return told;
    }

    static MalformedRingException wrong(String ring, String what) {
        return new MalformedRingException(Rule.INFLIGHT, ring + ": the VMM's in-flight memory " + what);
    }
}
