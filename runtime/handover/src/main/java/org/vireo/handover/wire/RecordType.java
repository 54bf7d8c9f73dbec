// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.util.Set;

/** What a record says. The order is not that of the wire: {@link #number()} is. */
public enum RecordType {
    /** Both: versions, formats, parameters, own pidfd. The first record each way. */
    HELLO(1, true,
            "role", "pid", "pidfd", "backend-transfer", "break-before-make", "stream-oldest", "stream-newest", "image-type", "image-oldest",
            "image-newest"),
    /** Source: a NIC, whole. */
    PREPARE(2, true, "nic", "version", "seq"),
    /** Target: a NIC is ready in this state. */
    PREPARED(3, true, "nic", "seq", "slot", "prepare-micros", "rehearse-micros", "rehearsal"),
    /** Both: it cannot work, and why; nothing was changed. */
    REFUSED(4, true, "nic", "why"),
    /** Source: a NIC's sections that changed. */
    CHANGE(5, true, "nic", "version", "seq"),
    /** Source: the word says OFFERED. Only wakes; the word decides. */
    OFFER(6, true, "nic", "seq"),
    /** Target: it cannot take the NIC, or gave it back, and why. */
    FAILED(7, true, "nic", "why"),
    /** Target: the word says RUNNING. Only wakes. */
    RUNNING(8, true, "nic", "took-nanos", "take-micros"),
    /** Source: the word says OWNED by the target, and the source's copies are closed. Only wakes. */
    DROPPED(9, true, "nic"),
    /** Target: connection and listener are in use too; how long that took. */
    OWNING(10, false, "nic", "own-micros", "why"),
    /** Source: the handover ends; what was not taken is to be let go. */
    END(11, true, "nic", "why"),
    /** Both: descriptors of the record that follows. */
    DESCRIPTORS(12, true),
    /** Active, to its standby: answer. */
    PING(13, true),
    /** Standby: the answer to PING. */
    PONG(14, true),
    /** Active: a NIC is not fed from here any more: it has ended, has moved, or has to be prepared anew. The word decides. */
    GONE(15, true, "nic", "why"),
    /** Active: whatever there is now has been prepared or refused. */
    SYNCED(16, false, "nics");

    private static final RecordType[] BY_NUMBER = new RecordType[17];

    static {
        for (RecordType t : values()) {
            BY_NUMBER[t.number] = t;
        }
    }

    private final int number;
    private final boolean critical;
    private final Set<String> fields;

    RecordType(int number, boolean critical, String... fields) {
        this.number = number;
        this.critical = critical;
        this.fields = Set.of(fields);
    }

    /**
     * Its number on the wire.
     *
     * @return 16 bits
     */
    public int number() {
        return number;
    }

    /**
     * Whether a reader that does not know it must not go on.
     *
     * @return whether
     */
    public boolean critical() {
        return critical;
    }

    /**
     * Its own fields that are known; another one, unless it is optional, is an error.
     *
     * @return their names
     */
    Set<String> fields() {
        return fields;
    }

    /**
     * A type by its number.
     *
     * @param number of the wire
     * @return the type, or null for one that is not known
     */
    static RecordType of(int number) {
        return number > 0 && number < BY_NUMBER.length ? BY_NUMBER[number] : null;
    }
}
