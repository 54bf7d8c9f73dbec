// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.stress;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.invoke.VarHandle;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.IIII_Result;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.posix.linux.SharedMemory;

/**
 * The source writes its rings' journals, a used element of the guest's memory (plain, as the ring does) and seq, then offers. Who sees the
 * offer sees all of that.
 */
@JCStressTest
@Outcome(id = "1, 1, 1, 1", expect = Expect.ACCEPTABLE, desc = "offered, and all is there")
@Outcome(id = "0, [01], [01], [01]", expect = Expect.ACCEPTABLE, desc = "not offered yet")
@Outcome(expect = Expect.FORBIDDEN, desc = "offered before it was written")
@State
public class WrittenBeforeTheWord {
    private static final VarHandle LONG = JAVA_LONG.varHandle();

    private final NicBlockMemory near;
    private final NicBlockMemory far;
    private final long journal;
    private final long plain;
    private final long plainFar;
    private final long read;
    private final long offered;
    private final long seq;

    /** The source owns, nothing is written. */
    public WrittenBeforeTheWord() {
        int i = Blocks.next();
        near = Blocks.near(i);
        far = Blocks.far(i);
        long word = near.word();
        near.compareAndSet(word, Ownership.decode(word).next(Phase.OWNED, near.self(), Ownership.NONE).encode());
        near.clearJournal(0);
        near.clearJournal(1);
        journal = near.journal(0);
        plain = near.journal(1);
        plainFar = far.journal(1);
        read = near.word();
        offered = Ownership.decode(read).next(Phase.OFFERED, near.self(), 1).encode();
        seq = near.seq();
    }

    /** The source. */
    @Actor
    public void source() {
        SharedMemory.addressSpace().set(JAVA_LONG, plain, 1L);
        LONG.setRelease(SharedMemory.addressSpace(), journal, RingJournal.word(1, 1));
        near.seq(seq + 1);
        near.compareAndSet(read, offered);
    }

    /** The target; nothing comes between the reads. */
    @Actor
    public void target(IIII_Result r) {
        long word = far.word();
        long number = far.seq();
        long index = far.journalWord(0);
        long element = SharedMemory.addressSpace().get(JAVA_LONG, plainFar);
        r.r1 = word == offered ? 1 : 0;
        r.r2 = number == seq + 1 ? 1 : 0;
        r.r3 = RingJournal.available(index);
        r.r4 = (int) element;
    }
}
