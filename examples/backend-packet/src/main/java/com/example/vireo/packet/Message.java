// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * What a system call gets: the kernel's header in memory of our own, and behind it the pieces of a frame in the guest's. One for a
 * queue; used by its worker.
 *
 * <p>The header, struct virtio_net_hdr (virtio 1.2, section 5.1.6; a guest's of 12 bytes has num_buffers behind it, which is not ours):
 * <pre>
 *  0       1          2         4          6            8             10
 * +-------+----------+---------+----------+------------+-------------+
 * | flags | gso_type | hdr_len | gso_size | csum_start | csum_offset |
 * +-------+----------+---------+----------+------------+-------------+
 * </pre>
 */
final class Message {
    static final int HEADER = 10;
    /** IOV_MAX. */
    static final int MOST_PIECES = 1024;
    /** All of the address space, to reach guest memory at its addresses. */
    static final MemorySegment MEMORY = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private static final int IOVEC = 16;
    private static final int NEEDS_CSUM = 1;
    private static final int GSO_NONE = 0;
    private static final int GSO_TCPV4 = 1;
    private static final int GSO_TCPV6 = 4;
    private static final int GSO_UDP_L4 = 5;
    private static final int GSO_ECN = 0x80;
    private static final int CSUM_START = 6;
    private static final int CSUM_OFFSET = 8;

    // struct msghdr
    private static final int MSGHDR = 56;
    private static final int MSG_IOV = 16;
    private static final int MSG_IOVLEN = 24;
    private static final int MSG_CONTROL = 32;
    private static final int MSG_CONTROLLEN = 40;
    private static final int MSG_FLAGS = 48;
    private static final int MSG_TRUNC = 0x20;
    // struct cmsghdr, and struct tpacket_auxdata behind it
    private static final int CONTROL = 64;
    private static final int CMSG_LEVEL = 8;
    private static final int CMSG_TYPE = 12;
    private static final int PACKET_AUXDATA = 8;
    private static final int TP_STATUS = 16;
    private static final int TP_VLAN_TCI = 32;
    private static final int TP_VLAN_TPID = 34;
    private static final int CMSG_BYTES = 36;
    private static final int TP_STATUS_VLAN_VALID = 1 << 4;
    private static final int TP_STATUS_VLAN_TPID_VALID = 1 << 6;
    private static final int TPID_8021Q = 0x8100;

    private final Arena arena = Arena.ofAuto();
    private final MemorySegment header = arena.allocate(16, 8);
    private final MemorySegment control = arena.allocate(CONTROL, 8);
    private final MemorySegment message = arena.allocate(MSGHDR, 8);
    // the header's piece, the guest's, and one more that the frontend may put behind them
    private final MemorySegment pieces = arena.allocate((MOST_PIECES + 2L) * IOVEC, 16);

    Message() {
        piece(0, header.address(), HEADER);
        message.set(ValueLayout.ADDRESS, MSG_IOV, pieces);
        message.set(ValueLayout.ADDRESS, MSG_CONTROL, control);
    }

    MemorySegment header() {
        return header;
    }

    long pieces() {
        return pieces.address();
    }

    /** Our header, then a frame without the guest's: how many pieces that are. */
    int behindHeader(long guestPieces, int count, int guestHeader) {
        long skip = guestHeader;
        int n = 1;
        for (int i = 0; i < count; i++) {
            long base = MEMORY.get(ValueLayout.JAVA_LONG, guestPieces + (long) i * IOVEC);
            long bytes = MEMORY.get(ValueLayout.JAVA_LONG, guestPieces + (long) i * IOVEC + 8);
            if (skip >= bytes) {
                skip -= bytes;
            } else {
                piece(n++, base + skip, bytes - skip);
                skip = 0;
            }
        }
        return n;
    }

    /** Our header, then a frame in one piece. */
    int behindHeader(MemorySegment frame, int bytes) {
        piece(1, frame.address(), bytes);
        return 2;
    }

    private void piece(int i, long base, long bytes) {
        pieces.set(ValueLayout.JAVA_LONG, (long) i * IOVEC, base);
        pieces.set(ValueLayout.JAVA_LONG, (long) i * IOVEC + 8, bytes);
    }

    /** For recvmsg. */
    long toReceive(int count) {
        message.set(ValueLayout.JAVA_LONG, MSG_IOVLEN, Math.min(count, MOST_PIECES));
        message.set(ValueLayout.JAVA_LONG, MSG_CONTROLLEN, CONTROL);
        return message.address();
    }

    /** Whether a frame was longer than all pieces together. */
    boolean isCut() {
        return (message.get(ValueLayout.JAVA_INT, MSG_FLAGS) & MSG_TRUNC) != 0;
    }

    /** Whether a frame's segmentation is one that the guest has acknowledged. */
    boolean fits(long allowed) {
        int gso = Byte.toUnsignedInt(header.get(ValueLayout.JAVA_BYTE, 1));
        long needed = switch (gso & ~GSO_ECN) {
            case GSO_NONE -> 0;
            case GSO_TCPV4 -> PacketFacts.GUEST_TSO4;
            case GSO_TCPV6 -> PacketFacts.GUEST_TSO6;
            case GSO_UDP_L4 -> PacketFacts.GUEST_USO4 | PacketFacts.GUEST_USO6;
            default -> -1;
        };
        needed |= (gso & GSO_ECN) != 0 ? PacketFacts.GUEST_ECN : 0;
        return (needed & ~allowed) == 0;
    }

    /** Whether it lacks something that the guest wants to find in it: its VLAN tag, or its checksum. */
    boolean needsChange(long allowed) {
        return hasTag() || needsChecksum(allowed);
    }

    boolean needsChecksum(long allowed) {
        return (allowed & PacketFacts.GUEST_CSUM) == 0 && (header.get(ValueLayout.JAVA_BYTE, 0) & NEEDS_CSUM) != 0;
    }

    /** Where the checksum's sum begins, from the frame's begin. */
    int checksumStart() {
        return Short.toUnsignedInt(header.get(ValueLayout.JAVA_SHORT, CSUM_START));
    }

    /** Where it belongs, from the frame's begin. */
    int checksumAt() {
        return checksumStart() + Short.toUnsignedInt(header.get(ValueLayout.JAVA_SHORT, CSUM_OFFSET));
    }

    boolean hasTag() {
        return message.get(ValueLayout.JAVA_LONG, MSG_CONTROLLEN) >= CMSG_BYTES
                && control.get(ValueLayout.JAVA_INT, CMSG_LEVEL) == PacketSocket.SOL_PACKET
                && control.get(ValueLayout.JAVA_INT, CMSG_TYPE) == PACKET_AUXDATA
                && (control.get(ValueLayout.JAVA_INT, TP_STATUS) & TP_STATUS_VLAN_VALID) != 0;
    }

    /** The four bytes of the tag. */
    int tag() {
        boolean own = (control.get(ValueLayout.JAVA_INT, TP_STATUS) & TP_STATUS_VLAN_TPID_VALID) != 0;
        int tpid = own ? Short.toUnsignedInt(control.get(ValueLayout.JAVA_SHORT, TP_VLAN_TPID)) : TPID_8021Q;
        return tpid << 16 | Short.toUnsignedInt(control.get(ValueLayout.JAVA_SHORT, TP_VLAN_TCI));
    }

    /** The frame has become longer in front of what is summed. */
    void shift(int bytes) {
        if ((header.get(ValueLayout.JAVA_BYTE, 0) & NEEDS_CSUM) != 0) {
            header.set(ValueLayout.JAVA_SHORT, CSUM_START, (short) (checksumStart() + bytes));
        }
        if (header.get(ValueLayout.JAVA_BYTE, 1) != GSO_NONE) {
            header.set(ValueLayout.JAVA_SHORT, 2, (short) (header.get(ValueLayout.JAVA_SHORT, 2) + bytes));
        }
    }

    /** A guest that has not acknowledged GUEST_CSUM must find flags 0. */
    void settleFlags(long allowed) {
        if ((allowed & PacketFacts.GUEST_CSUM) == 0) {
            header.set(ValueLayout.JAVA_LONG, 0, 0);
            header.set(ValueLayout.JAVA_SHORT, CSUM_OFFSET, (short) 0);
        }
    }

    /** Writes the header into a frame's first bytes, which may lie in several pieces. */
    void headerTo(long guestPieces, int guestHeader, long allowed) {
        settleFlags(allowed);
        int done = 0;
        for (long piece = guestPieces; done < guestHeader; piece += IOVEC) {
            long base = MEMORY.get(ValueLayout.JAVA_LONG, piece);
            int n = (int) Math.min(guestHeader - done, MEMORY.get(ValueLayout.JAVA_LONG, piece + 8));
            // our memory has zeros behind the kernel's header
            MemorySegment.copy(header, done, MEMORY, base, n);
            done += n;
        }
    }
}
