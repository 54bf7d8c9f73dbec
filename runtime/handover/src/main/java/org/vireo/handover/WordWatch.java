// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.EnumSet;
import java.util.Set;
import java.util.function.BiConsumer;
import org.vireo.handover.WordRules.Decision;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.Ownership;

/**
 * Looks at one NIC's ownership word, decides by the {@link WordRules} and changes it. A deadline belongs to one value of the word:
 * it starts when this watch first saw that value. One thread.
 */
final class WordWatch {
    private final NicBlock block;
    private final int self;
    private final Deadlines deadlines;
    private final BiConsumer<Ownership, Set<Fact>> gather;
    private final EnumSet<Fact> facts = EnumSet.noneOf(Fact.class);
    private boolean seen;
    private long last;
    private long since;

    /**
     * A watch.
     *
     * @param block the NIC's block
     * @param deadlines how long
     * @param gather adds what is known; it judges death first, then whether the set is current, and does not read the word again
     */
    WordWatch(NicBlock block, Deadlines deadlines, BiConsumer<Ownership, Set<Fact>> gather) {
        this.block = block;
        this.self = block.self();
        this.deadlines = deadlines;
        this.gather = gather;
    }

    /**
     * Makes the owner's offer.
     *
     * @param target the target's slot
     * @return whether it was made; if not, the word did not say that this process owns
     */
    boolean offer(int target) {
        long word = block.word();
        Ownership w = Ownership.decode(word);
        if (w.phase() != Ownership.Phase.OWNED || w.holder() != self) {
            return false;
        }
        return block.compareAndSet(word, WordRules.offer(word, target));
    }

    /**
     * Looks once.
     *
     * @return what to do; the word has been changed if that was part of it
     */
    Decision step() {
        while (true) {
            long word = block.word();
            long now = System.nanoTime();
            if (!seen || word != last) {
                seen = true;
                last = word;
                since = now;
            }
            facts.clear();
            gather.accept(Ownership.decode(word), facts);
            Decision d = WordRules.decide(word, self, facts, now - since, deadlines);
            if (!d.changes() || block.compareAndSet(word, d.next())) {
                return d;
            }
            // somebody else changed it: all checks anew, on the value that it has now
        }
    }
}
