// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;
import org.vireo.vhostuser.PackedBase;

/**
 * Where rings go on: by what a back-end says when it gives one back, by the rings themselves, and by in-flight memory, whichever tells.
 *
 * @param prefix of messages
 * @param packed whether the driver has packed rings
 * @param memory the guest's, or null
 * @param inflight the back-ends' in-flight memory, or null
 */
record RingPositions(String prefix, boolean packed, Kept.Memory memory, Inflight inflight) {
    private static final Logger LOG = LoggerFactory.getLogger(RingPositions.class);

    /** Where a ring goes on that is to run. */
    RingPosition of(Ring r) throws NetdevException, IOException {
        return settled(r.position == null ? found(r, r.spec) : r.position, r.spec);
    }

    /** Where a ring goes on that the last back-end left without a word. */
    RingPosition found(Ring r, VringSpec spec) throws NetdevException, IOException {
        if (!packed) {
            int used = SharedBytes.usedIndex(memory, spec.device());
            return RingPosition.of(used, used);
        }
        if (inflight == null) {
            throw new NetdevException(prefix + notFound(r));
        }
        RingPosition at;
        try {
            at = inflight.packedPosition(r, spec, memory);
        } catch (IOException e) {
            throw new NetdevException(prefix + e.getMessage(), e);
        }
        if (at == null) {
            throw new NetdevException(prefix + notFound(r));
        }
        return at;
    }

    /** What is told of a ring, or of rings, that cannot go on. */
    static String notFound(Object what) {
        return "where " + what + " goes on is not known: it is packed, and the back-end that had it has gone and had no INFLIGHT_SHMFD";
    }

    /**
     * What GET_VRING_BASE means. Back-ends finish what they have taken before they answer, and some say nothing of the used position of a
     * packed ring, since it is the same then ({@link PackedBase}); of a split ring's the used ring tells the truth in any case.
     */
    RingPosition told(int base, VringSpec spec) throws IOException {
        if (packed) {
            RingPosition said = RingPosition.of(base & 0xffff, base >>> 16);
            return spec == null ? said : settled(said, spec);
        }
        if (base >>> 16 != 0) {
            throw new IOException("GET_VRING_BASE was answered with " + Integer.toUnsignedString(base) + ", which is no index");
        }
        return RingPosition.of(base, spec == null ? base : used(base, spec));
    }

    private int used(int base, VringSpec spec) {
        try {
            return SharedBytes.usedIndex(memory, spec.device());
        } catch (IOException e) {
            // the guest's memory is no fault of the back-end, which has finished what it had taken
            LOG.warn("{}a used ring cannot be read: {}", prefix, e.getMessage());
            return base;
        }
    }

    /** Where a packed ring is if the used position was not said, perhaps. */
    private RingPosition settled(RingPosition said, VringSpec spec) {
        int num = said.available() | said.used() << 16;
        if (!packed || !PackedBase.isUnsure(num)) {
            return said;
        }
        int used = said.available();
        try {
            used = PackedBase.position(num, spec.size(), SharedBytes.descriptorFlags(memory, spec.descriptors(), 0));
        } catch (IOException e) {
            // as above
            LOG.warn("{}a packed ring cannot be read: {}", prefix, e.getMessage());
        }
        return RingPosition.of(said.available(), used);
    }
}
