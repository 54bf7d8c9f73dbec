// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;

/** How many descriptors a message carries. */
public enum DescriptorRule {
    /** None. */
    NONE("none"),
    /** Exactly one. */
    ONE("one"),
    /** One or none. */
    OPTIONAL("at most one"),
    /** One, unless bit 8 of the u64 says that there is none. */
    UNLESS_BIT_8("one, or none with bit 8 set"),
    /** One for each region of the table. */
    ONE_A_REGION("one a region"),
    /** One with a {@link LogSpec}; with the u64 that comes without LOG_SHMFD it means nothing and is closed. */
    ONE_A_LOG("one"),
    /** Any number; for kinds that are not served. */
    ANY("any");

    private final String text;

    DescriptorRule(String text) {
        this.text = text;
    }

    /** Whether a number is right for this message, whose payload has already passed {@link PayloadShape}. */
    boolean accepts(int count, Message m) {
        return switch (this) {
            case NONE -> count == 0;
            case ONE -> count == 1;
            case OPTIONAL -> count <= 1;
            case UNLESS_BIT_8 -> count == ((m.payload().get(Wire.LONG, 0) & Message.NO_DESCRIPTOR) != 0 ? 0 : 1);
            case ONE_A_REGION -> count == m.payload().get(Wire.INT, 0);
            case ONE_A_LOG -> count == 1 || count == 0 && !describesLog(m.payload());
            case ANY -> true;
        };
    }

    /** Whether a message of this rule comes with descriptors that somebody wants. */
    boolean expects(MessageKind kind, MemorySegment payload) {
        if (!kind.shape().accepts(payload)) {
            return false;
        }
        return switch (this) {
            case ONE -> true;
            case UNLESS_BIT_8 -> (payload.get(Wire.LONG, 0) & Message.NO_DESCRIPTOR) == 0;
            case ONE_A_REGION -> payload.get(Wire.INT, 0) != 0;
            case ONE_A_LOG -> describesLog(payload);
            case NONE, OPTIONAL, ANY -> false;
        };
    }

    private static boolean describesLog(MemorySegment payload) {
        return payload.byteSize() == LogSpec.BYTES;
    }

    /** Whether descriptors that nobody wants make a message wrong. */
    boolean toleratesStray() {
        return this == OPTIONAL || this == ONE_A_LOG || this == ANY;
    }

    @Override
    public String toString() {
        return text;
    }
}
