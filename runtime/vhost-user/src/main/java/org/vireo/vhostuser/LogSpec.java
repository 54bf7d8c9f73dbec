// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/**
 * "Log description": the file for dirty bits.
 *
 * <pre>
 *  0      8        16
 *  | size | offset |
 * </pre>
 *
 * @param size bytes of the log
 * @param offset where it begins in the descriptor's file
 */
public record LogSpec(long size, long offset) {
    static final int BYTES = 16;

    static LogSpec read(MemorySegment p) {
        return new LogSpec(p.get(Wire.LONG, 0), p.get(Wire.LONG, 8));
    }

    /** The payload. */
    public MemorySegment payload() {
        MemorySegment p = Wire.bytes(BYTES);
        p.set(Wire.LONG, 0, size);
        p.set(Wire.LONG, 8, offset);
        return p;
    }
}
