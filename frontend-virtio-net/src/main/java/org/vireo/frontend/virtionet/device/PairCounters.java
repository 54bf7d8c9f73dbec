// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Locale;
import java.util.Map;
import org.vireo.net.api.DropReason;

/** Counters of a queue pair. One worker writes, anybody reads. */
public final class PairCounters {
    private static final VarHandle CELL = MethodHandles.arrayElementVarHandle(long[].class);
    private static final DropReason[] REASONS = DropReason.values();

    private static final int TX_FRAMES = 0;
    private static final int TX_BYTES = 1;
    private static final int RX_FRAMES = 2;
    private static final int RX_BYTES = 3;
    private static final int RX_STARVED = 4;
    private static final int RX_COPIED = 5;
    private static final int TX_FULL = 6;
    private static final int TX_DROPS = 7;
    private static final int RX_DROPS = TX_DROPS + REASONS.length;
    private static final String[] NAMES = names();

    private final long[] cells = new long[RX_DROPS + REASONS.length];

    /** Counters at zero. */
    public PairCounters() {
        // the cells are zero
    }

    private static String[] names() {
        String[] n = new String[RX_DROPS + REASONS.length];
        n[TX_FRAMES] = "transmit-frames";
        n[TX_BYTES] = "transmit-bytes";
        n[RX_FRAMES] = "receive-frames";
        n[RX_BYTES] = "receive-bytes";
        n[RX_STARVED] = "receive-no-buffers";
        n[RX_COPIED] = "receive-copied";
        n[TX_FULL] = "transmit-port-full";
        for (DropReason r : REASONS) {
            String reason = r.name().toLowerCase(Locale.ROOT).replace('_', '-');
            n[TX_DROPS + r.ordinal()] = "transmit-drop-" + reason;
            n[RX_DROPS + r.ordinal()] = "receive-drop-" + reason;
        }
        return n;
    }

    private void add(int cell, long n) {
        CELL.setOpaque(cells, cell, cells[cell] + n);
    }

    void transmitted(int bytes) {
        add(TX_FRAMES, 1);
        add(TX_BYTES, bytes);
    }

    void received(int bytes) {
        add(RX_FRAMES, 1);
        add(RX_BYTES, bytes);
    }

    void starved() {
        add(RX_STARVED, 1);
    }

    void copied() {
        add(RX_COPIED, 1);
    }

    void full() {
        add(TX_FULL, 1);
    }

    void transmitDropped(DropReason why) {
        add(TX_DROPS + why.ordinal(), 1);
    }

    void receiveDropped(DropReason why) {
        add(RX_DROPS + why.ordinal(), 1);
    }

    /**
     * Adds the counters to sums by name.
     *
     * @param sums names in order
     */
    public void addTo(Map<String, Long> sums) {
        for (int i = 0; i < cells.length; i++) {
            sums.merge(NAMES[i], (long) CELL.getOpaque(cells, i), Long::sum);
        }
    }

    /**
     * Goes on from a predecessor's counters.
     *
     * @param before values by name; unknown names are skipped
     */
    public void startFrom(Map<String, Long> before) {
        for (int i = 0; i < cells.length; i++) {
            add(i, before.getOrDefault(NAMES[i], 0L));
        }
    }
}
