// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;

/**
 * Several sockets that share the frames of an interface (PACKET_FANOUT of packet(7)). A socket cannot leave such a group but by being
 * closed, so which of them gets a frame is left to a small program in the kernel (classic BPF): a hash of the flow, over the pairs in
 * use only. It is replaced in one step when other pairs are in use.
 */
final class Fanout {
    private static final int PACKET_FANOUT = 18;
    private static final int PACKET_FANOUT_DATA = 22;
    private static final int PACKET_FANOUT_CBPF = 6;
    private static final int PACKET_FANOUT_FLAG_UNIQUEID = 0x2000;

    // linux/filter.h: operations, and offsets from the network header
    private static final int LD_W_ABS = 0x20;
    private static final int ALU_XOR_X = 0xac;
    private static final int ALU_RSH_K = 0x74;
    private static final int ALU_MOD_K = 0x94;
    private static final int JEQ_K = 0x15;
    private static final int RET_K = 0x06;
    private static final int TAX = 0x07;
    private static final int SKF_NET_OFF = -0x100000;

    private Fanout() {
    }

    /** Joins bound sockets; the first pair gets all frames. */
    static void join(List<Fd> sockets) throws PosixException {
        int first = sockets.getFirst().number();
        set(first, (PACKET_FANOUT_CBPF | PACKET_FANOUT_FLAG_UNIQUEID) << 16);
        int group;
        try (Arena a = Arena.ofConfined()) {
            MemorySegment value = a.allocate(4, 4);
            Posix.check(Posix.getSocketOption(first, PacketSocket.SOL_PACKET, PACKET_FANOUT, value), "PACKET_FANOUT");
            group = value.get(ValueLayout.JAVA_INT, 0) & 0xffff;
        }
        for (Fd s : sockets.subList(1, sockets.size())) {
            set(s.number(), PACKET_FANOUT_CBPF << 16 | group);
        }
        BitSet pair = new BitSet();
        pair.set(0);
        use(sockets.getFirst(), pair);
    }

    private static void set(int socket, int value) throws PosixException {
        Posix.check(Posix.setSocketOption(socket, PacketSocket.SOL_PACKET, PACKET_FANOUT, value), "PACKET_FANOUT");
    }

    private record Instruction(int code, int jumpTrue, int jumpFalse, int k) {
        Instruction(int code, int k) {
            this(code, 0, 0, k);
        }
    }

    /**
     * Frames come to these pairs only.
     *
     * @param any a socket of the group
     * @param pairs none: the first one, where they wait
     */
    static void use(Fd any, BitSet pairs) throws PosixException {
        List<Instruction> program = program(pairs.stream().toArray());
        try (Arena a = Arena.ofConfined()) {
            // struct sock_filter
            MemorySegment code = a.allocate(8L * program.size(), 8);
            for (int i = 0; i < program.size(); i++) {
                Instruction x = program.get(i);
                code.set(ValueLayout.JAVA_SHORT, 8L * i, (short) x.code);
                code.set(ValueLayout.JAVA_BYTE, 8L * i + 2, (byte) x.jumpTrue);
                code.set(ValueLayout.JAVA_BYTE, 8L * i + 3, (byte) x.jumpFalse);
                code.set(ValueLayout.JAVA_INT, 8L * i + 4, x.k);
            }
            // struct sock_fprog
            MemorySegment p = a.allocate(16, 8);
            p.set(ValueLayout.JAVA_SHORT, 0, (short) program.size());
            p.set(ValueLayout.ADDRESS, 8, code);
            Posix.check(Posix.setSocketOption(any.number(), PacketSocket.SOL_PACKET, PACKET_FANOUT_DATA, p), "PACKET_FANOUT_DATA");
        }
    }

    private static List<Instruction> program(int[] pairs) {
        List<Instruction> p = new ArrayList<>();
        if (pairs.length > 1) {
            // of IPv4 the addresses and the ports, of IPv6 the sender; a frame that is shorter ends the program: pair 0
            p.add(new Instruction(LD_W_ABS, SKF_NET_OFF + 12));
            p.add(new Instruction(TAX, 0));
            p.add(new Instruction(LD_W_ABS, SKF_NET_OFF + 16));
            p.add(new Instruction(ALU_XOR_X, 0));
            p.add(new Instruction(TAX, 0));
            p.add(new Instruction(LD_W_ABS, SKF_NET_OFF + 20));
            p.add(new Instruction(ALU_XOR_X, 0));
            p.add(new Instruction(TAX, 0));
            p.add(new Instruction(ALU_RSH_K, 16));
            p.add(new Instruction(ALU_XOR_X, 0));
            p.add(new Instruction(ALU_MOD_K, pairs.length));
            for (int i = 1; i < pairs.length; i++) {
                p.add(new Instruction(JEQ_K, 0, 1, i));
                p.add(new Instruction(RET_K, pairs[i]));
            }
        }
        p.add(new Instruction(RET_K, pairs.length == 0 ? 0 : pairs[0]));
        return p;
    }
}
