// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.List;
import org.vireo.net.api.StatisticsSink;

/**
 * Frames and bytes of one direction of a queue, by receiver and by protocol. One thread counts, any may read. Frames are what passes the
 * queue: a TCP segment that is cut up later is one; bytes are without the virtio-net header.
 */
final class Meter {
    /** Of an Ethernet header. */
    static final int HEADER_BYTES = 14;
    static final int HEADER_ROOM = 16;

    private static final String[] KINDS = {"unicast", "multicast", "broadcast", "ipv4", "ipv6", "arp", "other"};
    private static final int UNICAST = 0;
    private static final int MULTICAST = 1;
    private static final int BROADCAST = 2;
    private static final int IPV4 = 3;
    private static final int IPV6 = 4;
    private static final int ARP = 5;
    private static final int OTHER = 6;

    private static final ValueLayout.OfShort BIG_SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final int TYPE = 12;
    private static final VarHandle COUNT = MethodHandles.arrayElementVarHandle(long[].class);

    /** Frames and bytes of each kind in turn. */
    private final long[] counts = new long[2 * KINDS.length];

    /**
     * Counts a frame.
     *
     * @param ethernet its first bytes
     * @param seen how many of them are known
     * @param bytes its length
     */
    void count(MemorySegment ethernet, int seen, int bytes) {
        if (seen < HEADER_BYTES) {
            // too short for Ethernet: nobody's
            add(OTHER, bytes);
            return;
        }
        if ((ethernet.get(ValueLayout.JAVA_BYTE, 0) & 1) == 0) {
            add(UNICAST, bytes);
        } else {
            boolean all = ethernet.get(ValueLayout.JAVA_INT, 0) == -1 && ethernet.get(ValueLayout.JAVA_SHORT, 4) == -1;
            add(all ? BROADCAST : MULTICAST, bytes);
        }
        add(switch (Short.toUnsignedInt(ethernet.get(BIG_SHORT, TYPE))) {
            case 0x0800 -> IPV4;
            case 0x86dd -> IPV6;
            case 0x0806 -> ARP;
            default -> OTHER;
        }, bytes);
    }

    private void add(int kind, int bytes) {
        COUNT.setOpaque(counts, 2 * kind, counts[2 * kind] + 1);
        COUNT.setOpaque(counts, 2 * kind + 1, counts[2 * kind + 1] + bytes);
    }

    private long value(int i) {
        return (long) COUNT.getOpaque(counts, i);
    }

    /** Tells the sums of several queues: {@code receive-ipv4-frames}, {@code receive-ipv4-bytes}, ... */
    static void report(String direction, List<Meter> meters, StatisticsSink to) {
        for (int k = 0; k < KINDS.length; k++) {
            int at = 2 * k;
            to.counter(direction + "-" + KINDS[k] + "-frames", meters.stream().mapToLong(m -> m.value(at)).sum());
            to.counter(direction + "-" + KINDS[k] + "-bytes", meters.stream().mapToLong(m -> m.value(at + 1)).sum());
        }
    }
}
