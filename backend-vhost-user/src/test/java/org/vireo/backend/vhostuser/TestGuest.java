// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.guest.DriverQueue;
import org.vireo.guest.GuestRam;
import org.vireo.guest.QueueLayout;
import org.vireo.guest.ReceiveQueue;
import org.vireo.guest.TransmitQueue;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;
import org.vireo.vhostuser.MemoryRegionSpec;

/** A guest's memory and rings, as a port is told of them. */
final class TestGuest implements AutoCloseable {
    /** Whether rings may run already when they are started. */
    boolean inherited;
    /** Where writes to used rings are logged; 0: where they lie. */
    long logAt;
    final GuestRam ram;
    final List<ReceiveQueue> receive = new ArrayList<>();
    final List<TransmitQueue> transmit = new ArrayList<>();

    TestGuest(long features, int pairs, int ringSize) throws IOException {
        ram = new GuestRam(ScriptedBackEnd.FDS, pairs * ringSize * 5000L + (1 << 20));
        QueueLayout layout = new QueueLayout(ringSize, 2048, true, new int[0]);
        for (int i = 0; i < pairs; i++) {
            receive.add(new ReceiveQueue(ram, ScriptedBackEnd.FDS, 2 * i, features, layout));
            transmit.add(new TransmitQueue(ram, ScriptedBackEnd.FDS, 2 * i + 1, features, layout));
            receive.get(i).fill();
            receive.get(i).publish();
        }
    }

    private record Region(MemoryRegionSpec spec, Fd file) implements GuestMemory.Region {
        @Override
        public long guestAddress() {
            return spec.guest();
        }

        @Override
        public long bytes() {
            return spec.size();
        }

        @Override
        public long userAddress() {
            return spec.user();
        }

        @Override
        public long fileOffset() {
            return spec.offset();
        }
    }

    GuestMemory memory() {
        List<GuestMemory.Region> regions = new ArrayList<>();
        for (int i = 0; i < ram.specs().size(); i++) {
            regions.add(new Region(ram.specs().get(i), ram.files().get(i)));
        }
        return () -> List.copyOf(regions);
    }

    /** How many pages it has. */
    int pages() {
        return (int) ram.specs().stream().mapToLong(r -> r.size() / 4096).sum();
    }

    static GuestMemory gone() {
        return List::of;
    }

    DriverQueue queue(int ring) {
        return ring % 2 == 0 ? receive.get(ring / 2) : transmit.get(ring / 2);
    }

    VringSpec spec(int ring, int position) {
        return spec(ring, RingPosition.of(position, position), queue(ring).callFd());
    }

    VringSpec spec(int ring, RingPosition position, Fd call) {
        DriverQueue q = queue(ring);
        return new VringSpec() {
            @Override
            public int size() {
                return q.ring().size();
            }

            @Override
            public boolean mayRun() {
                return inherited;
            }

            @Override
            public long descriptors() {
                return ram.user(q.ring().descriptorsGuest());
            }

            @Override
            public long driver() {
                return ram.user(q.ring().availableGuest());
            }

            @Override
            public long device() {
                return ram.user(q.ring().usedGuest());
            }

            @Override
            public long log() {
                return logAt == 0 ? q.ring().usedGuest() : logAt;
            }

            @Override
            public RingPosition position() {
                return position;
            }

            @Override
            public Fd kick() {
                return q.kickFd();
            }

            @Override
            public Fd call() {
                return call;
            }
        };
    }

    /** As if a device had returned so many. */
    void used(int ring, int index) {
        GuestRam.MEMORY.set(java.lang.foreign.ValueLayout.JAVA_SHORT, ram.address(queue(ring).ring().usedGuest()) + 2, (short) index);
    }

    /** The flags of a descriptor, as if the ring was a packed one. */
    void flags(int ring, int descriptor, int flags) {
        long at = ram.address(queue(ring).ring().descriptorsGuest()) + 16L * descriptor + 14;
        GuestRam.MEMORY.set(java.lang.foreign.ValueLayout.JAVA_SHORT, at, (short) flags);
    }

    @Override
    public void close() {
        receive.forEach(DriverQueue::close);
        transmit.forEach(DriverQueue::close);
        ram.close();
    }
}
