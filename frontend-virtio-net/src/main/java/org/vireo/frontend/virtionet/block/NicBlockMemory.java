// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.block;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.VarHandle;
import java.util.Optional;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.SharedMemory;

/**
 * The NIC block: a sealed memory file that lives as long as the NIC and travels with it.
 *
 * <pre>
 *     0  magic "VireoNB" and version       64  ownership word       128  heartbeat
 *   192  session word   200  seq          208  features offered     216  features acknowledged    224  time of a death at it
 *  1024  holder table: 64 slots of {pid, start time, boot id, reserved}, 32 bytes each
 *  4096  ring journals: a cache line for each ring, its first word is {@link RingJournal}; of a
 *        pair's first ring the second word is 1 while a worker is inside the pair
 * 16384  end: room for 192 rings
 * </pre>
 */
public final class NicBlockMemory implements NicBlock, AutoCloseable {
    /** Size of the block. */
    public static final long BYTES = 16384;
    /** Most rings. */
    public static final int MAX_RINGS = 192;

    /** Session word: where the session is with a message of the VMM. */
    public enum SessionPhase {
        /** Between two messages. */
        IDLE,
        /** A message was peeked and is being handled. */
        HANDLING,
        /** Its answer is being sent. */
        REPLYING
    }

    private static final MemorySegment MEMORY = SharedMemory.addressSpace();
    private static final VarHandle LONG = JAVA_LONG.varHandle();
    private static final long MAGIC = 0x01_42_4e_6f_65_72_69_56L;
    private static final int WORD = 64;
    private static final int HEARTBEAT = 128;
    private static final int SESSION = 192;
    private static final int SEQ = 200;
    private static final int OFFERED = 208;
    private static final int ACKNOWLEDGED = 216;
    private static final int DEATH = 224;
    private static final int HOLDERS = 1024;
    private static final int HOLDER_BYTES = 32;
    private static final int SLOTS = 64;
    private static final int JOURNALS = 4096;
    private static final int JOURNAL_BYTES = 64;

    private final Fd file;
    private final long base;
    private final int self;
    private boolean closed;

    private NicBlockMemory(Fd file, long base, int self) {
        this.file = file;
        this.base = base;
        this.self = self;
    }

    /**
     * Makes a block that this process owns.
     *
     * @param fds makes its descriptor
     * @param nic the NIC's id
     * @return the block
     * @throws IOException no descriptor or memory left
     */
    public static NicBlockMemory create(Fds fds, String nic) throws IOException {
        Fd file = SharedMemory.create(fds, "vireo-nic-" + nic, BYTES, true);
        long base = SharedMemory.map(file, 0, BYTES);
        MEMORY.set(JAVA_LONG, base, MAGIC);
        int self = claim(base);
        LONG.setVolatile(MEMORY, base + WORD, new Ownership(1, Ownership.Phase.OWNED, self, Ownership.NONE).encode());
        LONG.setVolatile(MEMORY, base + SEQ, 1L << 32);
        return new NicBlockMemory(file, base, self);
    }

    /**
     * Maps another process's block and claims a slot of its holder table.
     *
     * @param file its file, owned by the block from then on; closed if this throws
     * @return the block
     * @throws IOException it is no NIC block, or its holder table is full
     */
    public static NicBlockMemory open(Fd file) throws IOException {
        try {
            if (SharedMemory.size(file) != BYTES || !SharedMemory.isSealed(file)) {
                throw new IOException(file + " is no NIC block: not sealed at " + BYTES + " bytes");
            }
            long base = SharedMemory.map(file, 0, BYTES);
            try {
                if (MEMORY.get(JAVA_LONG, base) != MAGIC) {
                    throw new IOException(file + " is no NIC block of this version");
                }
                return new NicBlockMemory(file, base, claim(base));
            } catch (IOException e) {
                SharedMemory.unmap(base, BYTES);
                throw e;
            }
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    private static int claim(long base) throws IOException {
        long pid = ProcessHandle.current().pid();
        long start = Processes.startTime(pid);
        for (int slot = 0; slot < SLOTS; slot++) {
            long at = base + HOLDERS + (long) slot * HOLDER_BYTES;
            long there = (long) LONG.getVolatile(MEMORY, at);
            if (there == pid && (long) LONG.getVolatile(MEMORY, at + 8) == start) {
                return slot;
            }
        }
        for (int round = 0; round < 2; round++) {
            for (int slot = 0; slot < SLOTS; slot++) {
                long at = base + HOLDERS + (long) slot * HOLDER_BYTES;
                long there = (long) LONG.getVolatile(MEMORY, at);
                boolean free = there == 0 || round == 1 && reusable(base, slot, there, (long) LONG.getVolatile(MEMORY, at + 8));
                if (free && LONG.compareAndSet(MEMORY, at, there, pid)) {
                    LONG.setVolatile(MEMORY, at + 8, start);
                    LONG.setVolatile(MEMORY, at + 16, Processes.bootId());
                    return slot;
                }
            }
        }
        throw new IOException("the NIC block's holder table is full: " + SLOTS + " processes are alive");
    }

    /** A slot is never given anew while the word names it. */
    private static boolean reusable(long base, int slot, long pid, long start) {
        Ownership o = Ownership.decode((long) LONG.getVolatile(MEMORY, base + WORD));
        return o.holder() != slot && o.peer() != slot && Processes.startTime(pid) != start;
    }

    @Override
    public synchronized long word() {
        return (long) LONG.getAcquire(MEMORY, at(WORD));
    }

    @Override
    public synchronized boolean compareAndSet(long expected, long next) {
        return LONG.compareAndSet(MEMORY, at(WORD), expected, next);
    }

    @Override
    public synchronized long seq() {
        return (long) LONG.getAcquire(MEMORY, at(SEQ));
    }

    /**
     * Writes the number of the session's state in effect.
     *
     * @param seq see {@link org.vireo.net.api.nic.NicImage#seq()}
     */
    public synchronized void seq(long seq) {
        LONG.setVolatile(MEMORY, at(SEQ), seq);
    }

    /**
     * The number that follows, under the epoch in which this process owns.
     *
     * @return epoch (32 bits) and counter (32 bits)
     */
    public synchronized long nextSeq() {
        long epoch = Ownership.decode(word()).epoch();
        return epoch << 32 | seq() + 1 & 0xffffffffL;
    }

    /**
     * Writes the session word.
     *
     * @param phase where the session is
     * @param request the message's request
     */
    public synchronized void session(SessionPhase phase, int request) {
        LONG.setVolatile(MEMORY, at(SESSION), (long) phase.ordinal() << 32 | request & 0xffffffffL);
    }

    /**
     * Where the session is.
     *
     * @return its phase
     */
    public synchronized SessionPhase session() {
        return SessionPhase.values()[(int) ((long) LONG.getVolatile(MEMORY, at(SESSION)) >>> 32)];
    }

    /**
     * Writes the features, so that a successor never offers less than was acknowledged.
     *
     * @param offered what the VMM was offered
     * @param acknowledged what the driver took
     */
    public synchronized void features(long offered, long acknowledged) {
        LONG.setVolatile(MEMORY, at(OFFERED), offered);
        LONG.setVolatile(MEMORY, at(ACKNOWLEDGED), acknowledged);
    }

    /**
     * The features offered.
     *
     * @return virtio feature bits
     */
    public synchronized long offered() {
        return (long) LONG.getVolatile(MEMORY, at(OFFERED));
    }

    @Override
    public int self() {
        return self;
    }

    @Override
    public synchronized Holder holder(int slot) {
        if (slot < 0 || slot >= SLOTS) {
            return new Holder(0, 0, 0);
        }
        long at = at(HOLDERS + (long) slot * HOLDER_BYTES);
        return new Holder((long) LONG.getVolatile(MEMORY, at), (long) LONG.getVolatile(MEMORY, at + 8),
                (long) LONG.getVolatile(MEMORY, at + 16));
    }

    @Override
    public synchronized long heartbeat() {
        return (long) LONG.getAcquire(MEMORY, at(HEARTBEAT));
    }

    @Override
    public synchronized boolean entered() {
        for (int pair = 0; pair < MAX_RINGS / 2; pair++) {
            if ((long) LONG.getAcquire(MEMORY, mark(pair)) != 0) {
                return true;
            }
        }
        return false;
    }

    /**
     * Where a worker marks that it is inside a pair.
     *
     * @param pair its number
     * @return address of a long, 1 inside
     */
    public synchronized long mark(int pair) {
        return journal(2 * pair) + 8;
    }

    @Override
    public synchronized long death() {
        return (long) LONG.getAcquire(MEMORY, at(DEATH));
    }

    @Override
    public synchronized void succeed(long death) {
        LONG.setVolatile(MEMORY, at(DEATH), death);
        for (int pair = 0; pair < MAX_RINGS / 2; pair++) {
            LONG.setVolatile(MEMORY, mark(pair), 0L);
        }
    }

    /** Counts the heartbeat up, if the word names this process as holder: it is his, not that of others who know the block. */
    public synchronized void beat() {
        if (!closed && Ownership.decode(word()).holder() == self) {
            LONG.getAndAdd(MEMORY, base + HEARTBEAT, 1L);
        }
    }

    /**
     * The word, if there still is one.
     *
     * @return what it says, empty for a closed block
     */
    public synchronized Optional<Ownership> ownership() {
        return closed ? Optional.empty() : Optional.of(Ownership.decode(word()));
    }

    /** Says CLOSED in the word, if this process owns the NIC. */
    public synchronized void closeOwned() {
        long word = word();
        Ownership o = Ownership.decode(word);
        if (o.phase() == Ownership.Phase.OWNED && o.holder() == self) {
            compareAndSet(word, o.next(Ownership.Phase.CLOSED, self, Ownership.NONE).encode());
        }
    }

    /**
     * Where a ring's journal is.
     *
     * @param ring its number
     * @return an address
     */
    public synchronized long journal(int ring) {
        if (ring < 0 || ring >= MAX_RINGS) {
            throw new IllegalArgumentException("ring " + ring);
        }
        return at(JOURNALS + (long) ring * JOURNAL_BYTES);
    }

    /**
     * Reads a ring's journal.
     *
     * @param ring its number
     * @return the word
     */
    public synchronized long journalWord(int ring) {
        return (long) LONG.getAcquire(MEMORY, journal(ring));
    }

    /**
     * Writes a ring's journal: it does not run here.
     *
     * @param ring its number
     * @param at where it goes on
     */
    public synchronized void record(int ring, RingPosition at) {
        LONG.setRelease(MEMORY, journal(ring), RingJournal.word(at.available(), at.used()));
    }

    /**
     * Forgets a ring's journal.
     *
     * @param ring its number
     */
    public synchronized void clearJournal(int ring) {
        LONG.setVolatile(MEMORY, journal(ring), 0L);
    }

    /**
     * The block's file.
     *
     * @return owned by the block
     */
    public Fd file() {
        return file;
    }

    /** Ends the mapping and closes the file. Whoever writes journals has stopped; others find a block that is closed. */
    @Override
    public synchronized void close() {
        if (!closed) {
            closed = true;
            file.close();
            SharedMemory.unmap(base, BYTES);
        }
    }

    private long at(long offset) {
        if (closed) {
            throw new IllegalStateException(file + " is closed");
        }
        return base + offset;
    }
}
