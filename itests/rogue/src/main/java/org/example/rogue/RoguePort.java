// SPDX-License-Identifier: Apache-2.0
package org.example.rogue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.ReceiveWindow;
import org.vireo.net.api.StatisticsSink;
import org.vireo.posix.Posix;

/** An open port: a datagram socket that nobody sends to, so that there is something to poll. */
final class RoguePort implements FramePort {
    private final Faults faults;
    private final PortListener listener;
    private final Fd fd;
    private final FrameQueue queue = new Queue();
    private long kept;

    RoguePort(Faults faults, OpenContext context) {
        this.faults = faults;
        listener = context.listener();
        int n = Posix.socket(Posix.AF_INET, Posix.SOCK_DGRAM | Posix.SOCK_CLOEXEC, 0);
        Posix.setNonBlocking(n);
        fd = context.fds().adopt(n, "rogue queue");
    }

    @Override
    public PortProfile profile() {
        faults.at("profile");
        return faults.is("profile", "null") ? null : PortProfile.builder().headerLengths(10, 12).build();
    }

    @Override
    public FrameQueue queue(int pair) {
        faults.at("queue");
        return faults.is("queue", "null") ? null : queue;
    }

    @Override
    public void apply(PortSettings settings) {
        faults.at("apply");
    }

    @Override
    public void statistics(StatisticsSink to) {
        faults.at("statistics");
        if (faults.is("statistics", "many")) {
            for (int i = 0;; i++) {
                to.counter("rogue-" + i, i);
            }
        }
    }

    @Override
    public void close(Disposal how) {
        if (faults.is("close", "after")) {
            for (int i = 0; i < 4; i++) {
                Thread.ofPlatform().daemon().name("rogue").start(() -> {
                    for (int k = 0; k < 1_000_000; k++) {
                        listener.link(k % 2 == 0);
                        listener.stateChanged();
                        listener.failed(null);
                    }
                });
            }
        }
        if (!faults.is("close", "leak")) {
            fd.close();
        }
        faults.at("close");
    }

    /** Takes everything. */
    private final class Queue implements FrameQueue {
        @Override
        public Fd events() {
            faults.at("events");
            return faults.is("events", "null") ? null : fd;
        }

        @Override
        public int transmit(FrameBatch batch) {
            faults.at("transmit");
            if (faults.is("transmit", "close")) {
                fd.close();
            }
            if (faults.is("transmit", "keep")) {
                if (kept != 0) {
                    // where a frame of an earlier call lay
                    MemorySegment.ofAddress(kept).reinterpret(1).set(ValueLayout.JAVA_BYTE, 0, (byte) 0x55);
                }
                kept = MemorySegment.ofAddress(batch.iovecs(0)).reinterpret(8).get(ValueLayout.JAVA_LONG, 0);
            }
            return faults.is("transmit", "negative") ? -1 : faults.is("transmit", "toomany") ? batch.size() + 1 : batch.size();
        }

        @Override
        public int receive(ReceiveWindow window) {
            faults.at("receive");
            return 0;
        }
    }
}
