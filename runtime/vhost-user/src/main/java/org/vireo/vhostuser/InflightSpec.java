// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "Inflight description".
 *
 * <pre>
 *  0           8             16       18           20   24
 *  | mmap size | mmap offset | queues | queue size | padding of C, may be missing
 * </pre>
 *
 * @param size bytes of the file's part
 * @param offset where it begins
 * @param queues how many queues
 * @param queueSize entries of each
 */
public record InflightSpec(long size, long offset, int queues, int queueSize) {
    static InflightSpec read(MemorySegment p) {
        return new InflightSpec(p.get(Wire.LONG, 0), p.get(Wire.LONG, 8), p.get(Wire.SHORT, 16) & 0xffff, p.get(Wire.SHORT, 18) & 0xffff);
    }

    /** The payload. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(24);
        p.set(Wire.LONG, 0, size);
        p.set(Wire.LONG, 8, offset);
        p.set(Wire.SHORT, 16, (short) queues);
        p.set(Wire.SHORT, 18, (short) queueSize);
        return p;
    }
}
