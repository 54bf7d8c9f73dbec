// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.io.IOException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.worker.Worker;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameQueue;

/**
 * A NIC's pairs, each with the port's queue that is attached to it: put into their workers when they are first used, and replaced by
 * fresh ones when they broke. Whatever touches a pair that is in its worker is called there, as a command; the rest by the control
 * thread.
 */
final class QueuePairs {
    private final String nic;
    private final Object group;
    private final List<Worker> workers;
    private final NicBlockMemory block;
    private final RingEngine.Listener listener;
    private final Supplier<Boolean> truncated;
    private final FramePair[] pairs;
    private final FrameQueue[] queues;
    private final Fd[] events;
    private FrameFormat format = FrameFormat.NONE;
    private boolean discard;

    /** As {@link RingEngine#RingEngine}; and tells whether memory that the VMM shares was truncated. */
    QueuePairs(String nic, Object group, List<Worker> workers, NicBlockMemory block, RingEngine.Listener listener,
            Supplier<Boolean> truncated) {
        this.nic = nic;
        this.group = group;
        this.workers = workers;
        this.block = block;
        this.listener = listener;
        this.truncated = truncated;
        pairs = new FramePair[workers.size()];
        queues = new FrameQueue[workers.size()];
        events = new Fd[workers.size()];
        for (int i = 0; i < pairs.length; i++) {
            pairs[i] = pair(i, new PairCounters());
        }
    }

    private FramePair pair(int i, PairCounters counters) {
        FramePair p = new FramePair(nic + " pair " + i, group, block.mark(i), counters, (pair, why) -> listener.broken(i, why),
                listener::threadReturned, truncated);
        p.format(format);
        return p;
    }

    int count() {
        return pairs.length;
    }

    FramePair get(int i) {
        return pairs[i];
    }

    /** The pair in its worker, with the port's queue if it has one. On the worker. */
    FramePair added(int i) throws IOException {
        // one that broke, of which the listener has not heard yet, is not used again
        renew(i);
        FramePair p = pairs[i];
        if (!p.isAdded()) {
            workers.get(i).add(p);
            if (queues[i] != null) {
                p.attach(queues[i], events[i]);
            }
            p.discard(discard);
        }
        return p;
    }

    /** A fresh pair takes the place of one that broke; returns whether one did. */
    boolean renew(int i) {
        boolean broken = pairs[i].isBroken();
        if (broken) {
            pairs[i] = pair(i, pairs[i].counters());
        }
        return broken;
    }

    /** Whatever happens, the pair is out of its worker at the end: its memory may be gone, so that stopping it faults. On the worker. */
    void takeOut(int i) {
        FramePair p = pairs[i];
        if (!p.isAdded()) {
            return;
        }
        try {
            p.stopTransmit();
        } finally {
            try {
                p.stopReceive();
            } finally {
                try {
                    p.detach();
                } finally {
                    workers.get(i).remove(p);
                }
            }
        }
    }

    /** No ring runs. */
    void format(FrameFormat newFormat) {
        format = newFormat;
        for (FramePair p : pairs) {
            p.format(newFormat);
        }
    }

    /** What becomes of frames that are transmitted without a port, in pairs that are added from now on. */
    void discard(boolean on) {
        discard = on;
    }

    /** The port's queue, unless one is attached. On the worker; the pair is added. */
    void attach(int i, FrameQueue queue, Fd ready) throws IOException {
        if (queues[i] == null) {
            pairs[i].attach(queue, ready);
            events[i] = ready;
            queues[i] = queue;
        }
    }

    /** On the worker. */
    void detach(int i) {
        queues[i] = null;
        if (pairs[i].isAdded()) {
            pairs[i].detach();
        }
    }

    boolean isAttached(int i) {
        return queues[i] != null;
    }

    /** No pair is in its worker. */
    void forgetPort() {
        Arrays.fill(queues, null);
    }

    /** Summed over the pairs. Any thread. */
    Map<String, Long> counters() {
        Map<String, Long> sums = new LinkedHashMap<>();
        for (FramePair p : pairs) {
            p.counters().addTo(sums);
        }
        return sums;
    }
}
