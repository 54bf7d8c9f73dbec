// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.function.IntConsumer;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.Poll;

/** The guest's driver of a NIC with rings: its memory, its rings, and frames through them. Knows no port. One thread at a time. */
final class KitDriver implements AutoCloseable {
    static final long MERGEABLE = 1L << 15;
    static final long INDIRECT = 1L << 28;
    static final long EVENT_INDEX = 1L << 29;
    static final long VERSION_1 = 1L << 32;
    private static final int POLL_MILLIS = 5;
    private static final int PAGE = 4096;

    private final Fds fds = new KitFds();
    private final long features;
    private final KitRam ram;
    private final List<KitRing> rings = new ArrayList<>();
    private final int[] last;
    private final BitSet written = new BitSet();
    private boolean polls;
    private boolean closed;

    /**
     * A driver with posted receive buffers.
     *
     * @param features that it acknowledges
     * @param begin where its rings' indices begin
     */
    KitDriver(int pairs, long features, int begin) throws IOException {
        this.features = features;
        ram = new KitRam(fds, 2 * pairs);
        for (int i = 0; i < 2 * pairs; i++) {
            rings.add(new KitRing(ram, fds, i, features, begin));
        }
        last = new int[pairs];
        for (int i = 0; i < pairs; i++) {
            post(rings.get(2 * i));
            rings.get(2 * i).show();
        }
    }

    static int header(long features) {
        return (features & (MERGEABLE | VERSION_1)) != 0 ? 12 : 10;
    }

    Fds fds() {
        return fds;
    }

    long features() {
        return features;
    }

    KitRam ram() {
        return ram;
    }

    List<KitRing> rings() {
        return rings;
    }

    KitRing ring(int index) {
        return rings.get(index);
    }

    /** Looks at used rings instead of waiting for calls. */
    void polls(boolean on) {
        polls = on;
    }

    private static int page(long guest) {
        return (int) (guest / PAGE);
    }

    /** The pages with frames that came in, and their headers, since it was last asked: numbers of 4 KiB each. */
    BitSet takeWritten() {
        BitSet all = (BitSet) written.clone();
        written.clear();
        return all;
    }

    private static void post(KitRing r) {
        for (int slot = r.free(); slot >= 0; slot = r.free()) {
            r.add(slot);
        }
    }

    private boolean await(KitRing r) {
        if (!polls) {
            return r.await(TckSupport.limit().toMillis());
        }
        long end = System.nanoTime() + TckSupport.limit().toNanos();
        while (!r.look()) {
            if (System.nanoTime() - end > 0) {
                return false;
            }
            Poll.readable(POLL_MILLIS);
        }
        return true;
    }

    /** Transmits numbered frames, and takes the buffers of all of them back. */
    void transmit(int pair, int first, int last) {
        KitRing r = rings.get(2 * pair + 1);
        for (int next = first; next <= last || r.isAnyOut();) {
            boolean added = false;
            for (int slot = r.free(); slot >= 0 && next <= last; slot = r.free()) {
                r.add(slot, KitFrame.fromGuest(next, TckSupport.FRAME + next % 1000));
                next++;
                added = true;
            }
            if (added) {
                r.kicked();
            }
            takeBack(r);
        }
    }

    /** Makes numbered frames available, as many as there is room for now, and does not wait for them: the last one's number. */
    int offer(int pair, int first, int last, boolean kicks) {
        KitRing r = rings.get(2 * pair + 1);
        while (r.back() > 0) {
            r.take();
        }
        int next = first;
        for (int slot = r.free(); slot >= 0 && next <= last; slot = r.free()) {
            r.add(slot, KitFrame.fromGuest(next, TckSupport.FRAME + next % 1000));
            next++;
        }
        if (kicks) {
            r.kicked();
        } else {
            r.show();
        }
        return next - 1;
    }

    private void takeBack(KitRing r) {
        if (!await(r)) {
            fail("a buffer did not come back from the port: " + r);
        }
        while (r.back() > 0) {
            r.take();
        }
    }

    /** Takes what has come into a receive ring, and posts its buffers again. */
    void drain(int pair, IntConsumer numbers) {
        KitRing r = rings.get(2 * pair);
        while (r.back() > 0) {
            int slot = r.take();
            byte[] frame = r.frame(slot);
            int number = KitFrame.number(frame);
            written.set(page(r.headerGuest(slot)), page(r.frameGuest(slot) + frame.length - 1) + 1);
            if (number >= 0) {
                numbers.accept(number);
            }
        }
        post(r);
        r.kicked();
    }

    /** The frames that come in on any pair: all of these numbers, each once, on each pair in order. */
    void expectReceived(int pairs, int first, int to) {
        BitSet got = new BitSet();
        Arrays.fill(last, 0);
        long end = System.nanoTime() + TckSupport.limit().toNanos();
        while (got.cardinality() < to - first + 1) {
            boolean any = false;
            for (int i = 0; i < pairs; i++) {
                int pair = i;
                boolean here = pairs == 1 ? await(rings.get(0)) : rings.get(2 * i).await(POLL_MILLIS);
                any |= here;
                if (here) {
                    drain(i, number -> {
                        assertTrue(number >= first && number <= to, "frame " + number + " is not one of " + first + " to " + to);
                        assertTrue(!got.get(number), "frame " + number + " came twice");
                        assertTrue(number > last[pair], "frame " + number + " came after " + last[pair]);
                        got.set(number);
                        last[pair] = number;
                    });
                }
            }
            assertTrue(any || System.nanoTime() - end < 0, "of frames " + first + " to " + to + " received only " + got);
        }
    }

    /** Receives on the first pair until this frame has come; what comes before it is in order, and nothing comes twice. */
    void receiveUpTo(int number) {
        int[] before = {0};
        while (before[0] < number) {
            assertTrue(await(rings.getFirst()), "frame " + number + " was not received");
            drain(0, n -> {
                assertTrue(n > before[0], "frame " + n + " came after " + before[0]);
                before[0] = n;
            });
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        rings.forEach(KitRing::close);
        ram.close();
    }
}
