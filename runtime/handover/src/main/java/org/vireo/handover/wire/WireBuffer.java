// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Native memory that grows up to the largest record, seen as a little-endian buffer. One thread at a time. */
final class WireBuffer {
    private MemorySegment memory;
    private ByteBuffer bytes;

    WireBuffer(int initial) {
        allocate(initial);
    }

    private void allocate(int size) {
        memory = Arena.ofAuto().allocate(size, 8);
        bytes = memory.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Makes room for this many bytes in all; what is before the position stays. */
    void require(long total) throws WireException {
        if (total > RecordLayout.MAX_RECORD) {
            throw new WireException("a record of " + total + " bytes is larger than the " + RecordLayout.MAX_RECORD + " that are allowed");
        }
        if (total <= bytes.capacity()) {
            return;
        }
        ByteBuffer old = bytes;
        int position = old.position();
        allocate(Math.max((int) total, Math.min(2 * old.capacity(), RecordLayout.MAX_RECORD)));
        bytes.put(old.flip());
        bytes.position(position);
    }

    /** Makes room after the position. */
    ByteBuffer room(long more) throws WireException {
        require(bytes.position() + more);
        return bytes;
    }

    MemorySegment memory() {
        return memory;
    }

    ByteBuffer bytes() {
        return bytes;
    }
}
