// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.DeviceConfig;
import org.vireo.vhostuser.Look;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/** The back-end role for tests: ports joined by a cable; what one transmits, the other receives. One port: its own frames come back. */
final class TinyDevice implements AutoCloseable {
    static final int RINGS = 4;

    private final List<Port> ports = new ArrayList<>();
    private final Fd stop;
    private final Thread thread;
    private volatile boolean stopped;
    private volatile Throwable failure;

    TinyDevice(Fds fds, long features, Fd... sockets) throws IOException {
        stop = EventFd.create(fds, "tiny device");
        for (Fd s : sockets) {
            ports.add(new Port(fds, s, features));
        }
        thread = Thread.ofPlatform().daemon().name("tiny-device").start(this::run);
    }

    private void run() {
        try {
            while (!stopped) {
                boolean moved = false;
                for (int i = 0; i < ports.size(); i++) {
                    ports.get(i).messages();
                    moved |= ports.get(i).move(ports.get(ports.size() - 1 - i));
                }
                if (!moved && ports.stream().noneMatch(Port::armed)) {
                    await();
                }
            }
        } catch (IOException | MalformedMessageException | RuntimeException | Error e) {
            failure = e;
        }
    }

    private void await() {
        List<Integer> numbers = new ArrayList<>(List.of(stop.number()));
        for (Port p : ports) {
            if (!p.gone) {
                numbers.add(p.channel.socket().number());
            }
            for (Fd k : p.kicks) {
                if (k != null) {
                    numbers.add(k.number());
                }
            }
        }
        Poll.readable(-1, numbers.stream().mapToInt(Integer::intValue).toArray());
        ports.forEach(Port::drainKicks);
    }

    /** What went wrong, if anything. */
    Throwable failure() {
        return failure;
    }

    @Override
    public void close() {
        stopped = true;
        EventFd.signal(stop.number());
        try {
            thread.join();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        ports.forEach(Port::close);
        stop.close();
    }

    /** A region and where it is mapped. */
    private record Mapped(MemoryRegionSpec spec, long address) { }

    /** One NIC. */
    private static final class Port {
        final MessageChannel channel;
        final long offered;
        final List<Mapped> memory = new ArrayList<>();
        final Fd[] kicks = new Fd[RINGS];
        final Fd[] calls = new Fd[RINGS];
        final int[] sizes = new int[RINGS];
        final int[] bases = new int[RINGS];
        final VringAddress[] addresses = new VringAddress[RINGS];
        final DeviceRing[] rings = new DeviceRing[RINGS];
        final boolean[] enabled = new boolean[RINGS];
        final byte[] frame = new byte[QueueLayout.LARGEST];
        final byte[] config = new byte[24];
        long features;
        long status;
        boolean gone;

        Port(Fds fds, Fd socket, long offered) {
            channel = MessageChannel.of(socket, fds, "tiny device");
            this.offered = offered | VirtioNet.PROTOCOL_FEATURES;
            System.arraycopy(new byte[] {0x52, 0x54, 0, 1, 2, 3}, 0, config, 0, 6);
        }

        long guest(long address) {
            for (Mapped m : memory) {
                if (address - m.spec.guest() >= 0 && address - m.spec.guest() < m.spec.size()) {
                    return m.address + address - m.spec.guest();
                }
            }
            throw new AssertionError("guest address 0x" + Long.toHexString(address));
        }

        private long user(long address) {
            for (Mapped m : memory) {
                if (address - m.spec.user() >= 0 && address - m.spec.user() < m.spec.size()) {
                    return m.address + address - m.spec.user();
                }
            }
            throw new AssertionError("user address 0x" + Long.toHexString(address));
        }

        void messages() throws IOException, MalformedMessageException {
            while (!gone) {
                switch (channel.peek()) {
                    case Look.Whole(Message m) -> {
                        try (m) {
                            m.check();
                            handle(m);
                            channel.consume(m);
                        }
                    }
                    case Look.End end -> gone = true;
                    case Look.Nothing nothing -> {
                        return;
                    }
                    case Look.Partial partial -> {
                        return;
                    }
                }
            }
        }

        private void handle(Message m) throws IOException, MalformedMessageException {
            long deadline = System.nanoTime() + 2_000_000_000L;
            long acknowledgement = 0;
            switch (m.request().orElseThrow()) {
                case GET_FEATURES -> channel.replyU64(m, offered, deadline);
                case GET_PROTOCOL_FEATURES -> channel.replyU64(m, GuestNic.PROTOCOL, deadline);
                case GET_QUEUE_NUM -> channel.replyU64(m, RINGS, deadline);
                case GET_MAX_MEM_SLOTS -> channel.replyU64(m, 8, deadline);
                case GET_STATUS -> channel.replyU64(m, status, deadline);
                case SET_STATUS -> status = m.u64();
                case GET_CONFIG -> {
                    DeviceConfig c = m.config();
                    MemorySegment piece = MemorySegment.ofArray(config).asSlice(c.offset(), c.size());
                    channel.reply(m, new DeviceConfig(c.offset(), 0, piece).payload(), List.of(), deadline);
                }
                case SET_FEATURES -> features = m.u64();
                case SET_MEM_TABLE -> {
                    for (MemoryRegionSpec r : m.memoryTable()) {
                        map(m, r);
                    }
                }
                case ADD_MEM_REG -> map(m, m.memoryRegion());
                case SET_VRING_NUM -> sizes[m.vringState().index()] = m.vringState().num();
                case SET_VRING_BASE -> bases[m.vringState().index()] = m.vringState().num();
                case SET_VRING_ADDR -> addresses[m.vringAddress().index()] = m.vringAddress();
                case SET_VRING_CALL -> calls[m.descriptorRing()] = replace(calls[m.descriptorRing()], m);
                case SET_VRING_KICK -> start(m.descriptorRing(), m);
                case SET_VRING_ENABLE -> enabled[m.vringState().index()] = m.vringState().num() != 0;
                case GET_VRING_BASE -> {
                    int i = m.vringState().index();
                    if (rings[i] != null) {
                        bases[i] = rings[i].base();
                        rings[i] = null;
                    }
                    channel.reply(m, new VringState(i, bases[i]).payload(), List.of(), deadline);
                }
                case NET_SET_MTU -> acknowledgement = m.u64() > 9000 ? 1 : 0;
                default -> { /* taken, nothing to do */ }
            }
            if (m.needsReply() && m.request().orElseThrow().replyShape() == null) {
                channel.replyU64(m, acknowledgement, deadline);
            }
        }

        private void map(Message m, MemoryRegionSpec r) throws IOException, MalformedMessageException {
            try (Fd file = m.takeDescriptor()) {
                memory.add(new Mapped(r, SharedMemory.map(file, r.offset(), r.size())));
            }
        }

        private Fd replace(Fd old, Message m) throws MalformedMessageException {
            if (old != null) {
                old.close();
            }
            return m.takeDescriptor();
        }

        private void start(int i, Message m) throws MalformedMessageException {
            kicks[i] = replace(kicks[i], m);
            VringAddress a = addresses[i];
            long[] at = {user(a.descriptor()), user(a.available()), user(a.used())};
            rings[i] = DeviceRing.of((features & VirtioNet.RING_PACKED) != 0, sizes[i], at, this::guest,
                    (features & VirtioNet.EVENT_IDX) != 0, bases[i]);
        }

        /** Moves what this port transmits to a peer. */
        boolean move(Port peer) {
            boolean moved = false;
            for (int i = 1; i < RINGS; i += 2) {
                DeviceRing from = rings[i];
                DeviceRing to = peer.rings[i - 1];
                boolean call = false;
                while (from != null && enabled[i] && from.pending() > 0) {
                    if (to == null || !peer.enabled[i - 1]) {
                        from.push(from.pop(), 0); // to nobody
                    } else if (!deliver(from, to, (peer.features & VirtioNet.MRG_RXBUF) != 0)) {
                        break;
                    }
                    call |= from.publish();
                    moved = true;
                }
                if (call) {
                    EventFd.signal(calls[i].number());
                }
                if (to != null && to.publish()) {
                    EventFd.signal(peer.calls[i - 1].number());
                }
            }
            return moved;
        }

        private boolean deliver(DeviceRing from, DeviceRing to, boolean mergeable) {
            if (to.pending() < 1 + frame.length / 4096) {
                return false;
            }
            int head = from.pop();
            int bytes = from.copy(head, frame, 0, frame.length, false);
            from.push(head, 0);
            int buffers = 0;
            int at = 0;
            long header = 0;
            do {
                int h = to.pop();
                header = at == 0 ? to.addressOf(h) : header;
                int n = to.copy(h, frame, at, bytes - at, true);
                to.push(h, n);
                buffers++;
                at += n;
            } while (at < bytes && mergeable);
            if (at < bytes) {
                throw new AssertionError("a frame of " + bytes + " bytes does not fit");
            }
            MEMORY.set(ValueLayout.JAVA_SHORT, header + VirtioNetHeader.NUM_BUFFERS, (short) buffers);
            return true;
        }

        /** Asks for kicks on all rings; whether there is something to do already. */
        boolean armed() {
            boolean busy = false;
            for (int i = 0; i < RINGS; i++) {
                if (rings[i] != null) {
                    boolean pending = rings[i].armKicks();
                    busy |= pending && i % 2 == 1 && enabled[i];
                }
            }
            return busy;
        }

        void drainKicks() {
            for (Fd k : kicks) {
                if (k != null) {
                    EventFd.drain(k.number());
                }
            }
        }

        void close() {
            for (int i = 0; i < RINGS; i++) {
                if (kicks[i] != null) {
                    kicks[i].close();
                }
                if (calls[i] != null) {
                    calls[i].close();
                }
            }
            memory.forEach(m -> SharedMemory.unmap(m.address, m.spec.size()));
            channel.socket().close();
        }
    }
}
