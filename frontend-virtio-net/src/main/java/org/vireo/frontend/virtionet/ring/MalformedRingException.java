// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.ring;

/** A driver broke a rule of the virtqueue. The ring stops. */
public final class MalformedRingException extends Exception {
    private static final long serialVersionUID = 1L;

    /** The rule that was broken; the sections are those of virtio 1.2. */
    public enum Rule {
        /** 2.7.6: the available index is more than the ring's size ahead. */
        INDEX_TOO_FAR,
        /** 2.7.6: an available entry names a descriptor beyond the table. */
        HEAD_OUT_OF_RANGE,
        /** 2.7.5: next names a descriptor beyond the table. */
        NEXT_OUT_OF_RANGE,
        /** 2.7.5: the chain is longer than its table, so it loops. */
        CHAIN_TOO_LONG,
        /** 2.7.5.3.1: an indirect descriptor inside an indirect table, or with NEXT set. */
        NESTED_INDIRECT,
        /** 2.7.5.3.1: the table's length is no multiple of 16, zero, or too long. */
        INDIRECT_LENGTH,
        /** 2.7.5.3.1: indirect descriptors were not negotiated. */
        INDIRECT_NOT_NEGOTIATED,
        /** A buffer lies in no memory region. */
        ADDRESS_OUTSIDE,
        /** The chain's buffers together overflow. */
        LENGTH_OVERFLOW,
        /** 5.1.6.2: the device may write a buffer of a frame to transmit. */
        WRITABLE_IN_TRANSMIT,
        /** 5.1.6.3: the device may not write a buffer for a received frame. */
        READABLE_IN_RECEIVE,
        /** 5.1.6: the buffers do not even hold the header. */
        NO_ROOM_FOR_HEADER,
        /** 2.7: sizes and addresses of the ring itself. */
        LAYOUT,
        /** vhost-user, "Inflight I/O tracking": what the memory says that a VMM kept is impossible. */
        INFLIGHT,
        /** The memory's file was truncated. */
        MEMORY_GONE
    }

    private final Rule rule;

    /**
     * An exception.
     *
     * @param rule the rule
     * @param detail ring and values
     */
    public MalformedRingException(Rule rule, String detail) {
        super(rule + ": " + detail);
        this.rule = rule;
    }

    /**
     * The rule.
     *
     * @return what was broken
     */
    public Rule rule() {
        return rule;
    }
}
