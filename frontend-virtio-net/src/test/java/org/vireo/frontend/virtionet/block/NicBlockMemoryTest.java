// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.block;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.vireo.frontend.virtionet.block.NicBlockMemory.SessionPhase;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.net.api.Fd;
import org.vireo.net.api.nic.NicBlock.Holder;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.SharedMemory;

/** The block that lives as long as its NIC. */
class NicBlockMemoryTest {
    private final Descriptors fds = new Descriptors();

    @Test
    void aNewBlockIsItsMakers() throws Exception {
        try (NicBlockMemory b = NicBlockMemory.create(fds, "nic0")) {
            Ownership o = Ownership.decode(b.word());
            assertEquals(new Ownership(1, Phase.OWNED, b.self(), Ownership.NONE), o);
            assertEquals(1L << 32, b.seq());
            assertEquals(1L << 32 | 1, b.nextSeq());
            Holder me = b.holder(b.self());
            assertEquals(ProcessHandle.current().pid(), me.pid());
            assertTrue(me.startTime() != 0 && me.bootId() != 0);
            assertEquals(0, b.holder(b.self() + 1).pid());
            assertEquals(0, b.holder(-1).pid());
            assertEquals(0, b.holder(64).pid());
            assertEquals(SessionPhase.IDLE, b.session());
            b.session(SessionPhase.HANDLING, -1);
            assertEquals(SessionPhase.HANDLING, b.session());
            b.session(SessionPhase.REPLYING, 46);
            assertEquals(SessionPhase.REPLYING, b.session());
        }
    }

    /** The word is changed from the very value that was read: of many threads, one wins each round. */
    @Test
    void theWordHasOneWinner() throws Exception {
        try (NicBlockMemory first = NicBlockMemory.create(fds, "nic0");
                NicBlockMemory second = NicBlockMemory.open(first.file().duplicate())) {
            AtomicLong wins = new AtomicLong();
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                NicBlockMemory b = i % 2 == 0 ? first : second;
                threads.add(Thread.ofPlatform().start(() -> {
                    for (int n = 0; n < 20_000; n++) {
                        long word = b.word();
                        if (b.compareAndSet(word, Ownership.decode(word).next(Phase.OWNED, b.self(), Ownership.NONE).encode())) {
                            wins.incrementAndGet();
                        }
                    }
                }));
            }
            for (Thread t : threads) {
                t.join(30_000);
                assertFalse(t.isAlive());
            }
            assertEquals(1 + wins.get(), Ownership.decode(first.word()).epoch());
            assertEquals(first.word(), second.word());
            assertTrue(wins.get() >= 20_000);
        }
    }

    @Test
    void oneProcessHasOneSlot() throws Exception {
        try (NicBlockMemory first = NicBlockMemory.create(fds, "nic0")) {
            for (int i = 0; i < 100; i++) {
                try (NicBlockMemory again = NicBlockMemory.open(first.file().duplicate())) {
                    assertEquals(first.self(), again.self());
                }
            }
        }
    }

    @Test
    void journalsAreOnesOwn() throws Exception {
        try (NicBlockMemory b = NicBlockMemory.create(fds, "nic0")) {
            assertFalse(RingJournal.valid(b.journalWord(0)));
            for (int r = 0; r < NicBlockMemory.MAX_RINGS; r++) {
                SharedMemory.addressSpace().set(java.lang.foreign.ValueLayout.JAVA_LONG, b.journal(r), RingJournal.word(r, 65_535 - r));
            }
            for (int r = 0; r < NicBlockMemory.MAX_RINGS; r++) {
                assertEquals(r, RingJournal.available(b.journalWord(r)));
                assertEquals(65_535 - r, RingJournal.used(b.journalWord(r)));
                assertEquals(0, b.journal(r) % 64);
            }
            b.clearJournal(3);
            assertFalse(RingJournal.valid(b.journalWord(3)));
            assertThrows(IllegalArgumentException.class, () -> b.journal(NicBlockMemory.MAX_RINGS));
            assertThrows(IllegalArgumentException.class, () -> b.journal(-1));
        }
    }

    @Test
    void anotherFileIsRefused() throws Exception {
        for (Fd bad : List.of(SharedMemory.create(fds, "not sealed", NicBlockMemory.BYTES, false),
                SharedMemory.create(fds, "too short", 4096, true), SharedMemory.create(fds, "too long", 2 * NicBlockMemory.BYTES, true),
                SharedMemory.create(fds, "no magic", NicBlockMemory.BYTES, true),
                fds.adopt(Posix.check(Posix.open("/proc/self/exe", Posix.O_RDONLY | Posix.O_CLOEXEC), "open"), "a program"))) {
            IOException e = assertThrows(IOException.class, () -> NicBlockMemory.open(bad));
            assertTrue(e.getMessage().contains("is no NIC block"), e.getMessage());
            assertFalse(bad.isOpen(), bad + " stays open");
        }
    }

    /** Whoever looks at a block while it is closed finds it closed; memory that is gone is not read. */
    @Test
    void aClosedBlockSaysSo() throws Exception {
        for (int round = 0; round < 200; round++) {
            NicBlockMemory b = NicBlockMemory.create(fds, "nic0");
            Thread reader = Thread.ofPlatform().start(() -> {
                while (b.ownership().isPresent()) {
                    b.beat();
                }
            });
            b.close();
            b.close();
            reader.join(10_000);
            assertFalse(reader.isAlive());
            assertEquals(Optional.empty(), b.ownership());
            b.beat();
            assertThrows(IllegalStateException.class, b::word);
            assertThrows(IllegalStateException.class, b::heartbeat);
        }
    }

    @Test
    void theHeartbeatIsSeenByOthers() throws Exception {
        try (NicBlockMemory first = NicBlockMemory.create(fds, "nic0");
                NicBlockMemory second = NicBlockMemory.open(first.file().duplicate())) {
            long before = second.heartbeat();
            first.beat();
            assertEquals(before + 1, second.heartbeat());
            // another process has it
            long w = first.word();
            assertTrue(first.compareAndSet(w, Ownership.decode(w).next(Phase.RUNNING, 7, first.self()).encode()));
            first.beat();
            assertEquals(before + 1, second.heartbeat(), "who held it before does not speak for its successor");
        }
    }
}
