// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.stress;

import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.Expect;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.ZZI_Result;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;

/** Two processes change the ownership word from the value that both have read: one of them does, and the word is what it wrote. */
@JCStressTest
@Outcome(id = "true, false, 1", expect = Expect.ACCEPTABLE, desc = "the first one takes")
@Outcome(id = "false, true, 2", expect = Expect.ACCEPTABLE, desc = "the second one takes")
@Outcome(expect = Expect.FORBIDDEN, desc = "none or both do, or it is overwritten")
@State
public class OneWinner {
    private final NicBlockMemory near;
    private final NicBlockMemory far;
    private final long read;

    /** A word that both have read. */
    public OneWinner() {
        int i = Blocks.next();
        near = Blocks.near(i);
        far = Blocks.far(i);
        read = near.word();
    }

    private long next(int holder) {
        return Ownership.decode(read).next(Phase.TAKEN, holder, Ownership.NONE).encode();
    }

    /** One process. */
    @Actor
    public void first(ZZI_Result r) {
        r.r1 = near.compareAndSet(read, next(1));
    }

    /** Another one. */
    @Actor
    public void second(ZZI_Result r) {
        r.r2 = far.compareAndSet(read, next(2));
    }

    /** What the word says in the end. */
    @Arbiter
    public void word(ZZI_Result r) {
        r.r3 = near.word() == far.word() ? Ownership.decode(far.word()).holder() : -1;
    }
}
