// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser.kit;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.device.DeviceMemory;
import org.vireo.testsupport.device.DirtyPages;
import org.vireo.testsupport.device.RingSetup;
import org.vireo.testsupport.device.TestDevice;
import org.vireo.vhostuser.LogSpec;
import org.vireo.vhostuser.Look;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/** An external back-end that moves frames: listens, and serves one connection after the other on a thread of its own. */
final class TestBackEnd implements AutoCloseable {
    private static final Fds FDS = new Descriptors();
    private static final long FEATURES = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.INDIRECT_DESC | VirtioNet.EVENT_IDX
            | VirtioNet.MQ | VirtioNet.LOG_ALL | VirtioNet.PROTOCOL_FEATURES;
    private static final long PROTOCOL = ProtocolFeatures.MQ | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.LOG_SHMFD
            | ProtocolFeatures.RARP | ProtocolFeatures.STATUS | ProtocolFeatures.RESET_DEVICE;
    private static final int TICK_MILLIS = 5;
    private static final int IDLE_MILLIS = 1_000;
    private static final int RARP_BYTES = 60;
    private static final int MAC_BYTES = 6;

    private final Path path;
    private final int pairs;
    private final long features;
    private final Frames frames;
    private final Fd listener;
    private final Fd wake;
    private final TestDevice device;
    private final RingParts[] parts;
    private final Thread thread;
    private MessageChannel channel;
    /** Told, and not used yet. */
    private DirtyPages log;
    private long acknowledged;
    private volatile boolean ending;
    private volatile int connections;
    private volatile int ends;
    private volatile Throwable failure;

    /** What was told of a ring, piece by piece. */
    private static final class RingParts {
        int size;
        int base;
        VringAddress address;
        Fd call;
    }

    TestBackEnd(Path path, int pairs, boolean able, Frames frames) throws IOException {
        this.path = path;
        this.pairs = pairs;
        this.frames = frames;
        features = FEATURES | (able ? VirtioNet.CSUM : 0);
        device = new TestDevice(pairs, frames);
        parts = new RingParts[2 * pairs];
        Arrays.setAll(parts, i -> new RingParts());
        wake = EventFd.create(FDS, "back-end");
        listener = UnixSockets.listen(FDS, path, 0600, "back-end");
        thread = Thread.ofPlatform().daemon().name("test back-end").start(this::run);
    }

    void wake() {
        EventFd.signal(wake.number());
    }

    /** What somebody can do to it from outside: call, and hang up. */
    String observe() {
        return connections + " connections, " + ends + " of them ended";
    }

    private void run() {
        try {
            while (!ending) {
                if (channel == null) {
                    Fd s = UnixSockets.accept(listener, FDS, true, "front-end");
                    if (s != null) {
                        channel = MessageChannel.of(s, FDS, "front-end");
                        connections++;
                    }
                } else {
                    listen();
                }
                device.serve();
                int[] kicks = device.kicks();
                int[] numbers = Arrays.copyOf(kicks, kicks.length + 2);
                numbers[kicks.length] = wake.number();
                numbers[kicks.length + 1] = channel == null ? listener.number() : channel.socket().number();
                Poll.readable(device.isPolled() ? TICK_MILLIS : IDLE_MILLIS, numbers);
                EventFd.drain(wake.number());
            }
            // what it has taken it finishes
            device.serve();
        } catch (IOException | MalformedMessageException | RuntimeException | Error e) {
            failure = e;
        } finally {
            hangUp();
        }
    }

    private void hangUp() {
        if (channel != null) {
            reset();
            channel.socket().close();
            channel = null;
            ends++;
        }
    }

    private void reset() {
        device.close();
        for (int i = 0; i < parts.length; i++) {
            device.enable(i, false);
            close(parts[i].call);
            parts[i].call = null;
        }
        dropLog();
    }

    private static void close(Fd fd) {
        if (fd != null) {
            fd.close();
        }
    }

    private void listen() throws MalformedMessageException {
        try {
            messages();
        } catch (IOException e) {
            // it does not want the answer any more
            hangUp();
        }
    }

    private void messages() throws IOException, MalformedMessageException {
        while (channel != null) {
            switch (channel.peek()) {
                case Look.Whole(Message m) -> {
                    try (m) {
                        m.check();
                        handle(m);
                        channel.consume(m);
                    }
                }
                case Look.End end -> hangUp();
                case Look.Nothing nothing -> {
                    return;
                }
                case Look.Partial partial -> {
                    return;
                }
            }
        }
    }

    private static long soon() {
        return System.nanoTime() + TimeUnit.SECONDS.toNanos(2);
    }

    private void handle(Message m) throws IOException, MalformedMessageException {
        switch (m.request().orElseThrow()) {
            case GET_FEATURES -> channel.replyU64(m, features, soon());
            case GET_PROTOCOL_FEATURES -> channel.replyU64(m, PROTOCOL, soon());
            case GET_QUEUE_NUM -> channel.replyU64(m, pairs, soon());
            case SET_FEATURES -> features(m.u64());
            case SET_MEM_TABLE -> memory(m);
            case SET_LOG_BASE -> {
                logBase(m);
                channel.reply(m, MemorySegment.ofArray(new byte[0]), List.of(), soon());
            }
            case SET_VRING_NUM -> parts[m.vringState().index()].size = m.vringState().num();
            case SET_VRING_BASE -> parts[m.vringState().index()].base = m.vringState().num();
            case SET_VRING_ADDR -> address(m.vringAddress());
            case SET_VRING_CALL -> call(m.descriptorRing(), taken(m));
            case SET_VRING_KICK -> start(m.descriptorRing(), taken(m));
            case SET_VRING_ENABLE -> device.enable(m.vringState().index(), m.vringState().num() != 0);
            case GET_VRING_BASE -> {
                int ring = m.vringState().index();
                RingPosition at = device.stop(ring);
                parts[ring].base = at == null ? parts[ring].base : at.available();
                channel.reply(m, new VringState(ring, parts[ring].base).payload(), List.of(), soon());
            }
            case SEND_RARP -> announce(m.u64());
            case RESET_DEVICE -> reset();
            default -> { /* taken, nothing to do */ }
        }
        if (m.needsReply() && m.request().orElseThrow().replyShape() == null) {
            channel.replyU64(m, 0, soon());
        }
    }

    private static Fd taken(Message m) throws MalformedMessageException {
        return m.descriptors().isEmpty() ? null : m.takeDescriptor();
    }

    private void features(long now) {
        acknowledged = now;
        device.features(now);
        useLog();
    }

    private void memory(Message m) throws IOException, MalformedMessageException {
        DeviceMemory now = new DeviceMemory();
        for (int i = 0; i < m.memoryTable().size(); i++) {
            MemoryRegionSpec r = m.memoryTable().get(i);
            now.add(m.descriptors().get(i), r.offset(), r.size(), r.guest(), r.user());
        }
        device.memory(now);
    }

    private void logBase(Message m) throws IOException, MalformedMessageException {
        LogSpec s = m.log();
        dropLog();
        try (Fd file = m.takeDescriptor()) {
            log = new DirtyPages(file, s.offset(), s.size());
        }
        useLog();
    }

    /** It is used while LOG_ALL is acknowledged, which is said after where it is. */
    private void useLog() {
        if ((acknowledged & VirtioNet.LOG_ALL) == 0) {
            device.log(null);
        } else if (log != null) {
            device.log(log);
            log = null;
        }
    }

    private void dropLog() {
        device.log(null);
        if (log != null) {
            log.close();
            log = null;
        }
    }

    private static long logged(VringAddress a) {
        return (a.flags() & VringAddress.LOG) != 0 ? a.log() : -1;
    }

    private void address(VringAddress a) {
        parts[a.index()].address = a;
        device.logged(a.index(), logged(a));
    }

    private void call(int ring, Fd call) {
        if (device.isStarted(ring)) {
            device.call(ring, call);
        } else {
            close(parts[ring].call);
            parts[ring].call = call;
        }
    }

    private void start(int ring, Fd kick) {
        RingParts p = parts[ring];
        VringAddress a = p.address;
        RingSetup s = new RingSetup(p.size, a.descriptor(), a.available(), a.used(), logged(a), p.base, 0, kick, p.call);
        p.call = null;
        int used = device.shown(s);
        device.start(ring, new RingSetup(s.size(), s.descriptors(), s.driver(), s.device(), s.log(), p.base, used, s.kick(), s.call()));
    }

    private void announce(long mac) {
        byte[] frame = new byte[RARP_BYTES];
        Arrays.fill(frame, 0, MAC_BYTES, (byte) -1);
        byte[] address = new byte[Long.BYTES];
        MemorySegment.ofArray(address).set(ValueLayout.JAVA_LONG_UNALIGNED, 0, mac);
        System.arraycopy(address, 0, frame, MAC_BYTES, MAC_BYTES);
        frame[2 * MAC_BYTES] = (byte) 0x80;
        frame[2 * MAC_BYTES + 1] = 0x35;
        frames.send(frame);
    }

    @Override
    public void close() {
        ending = true;
        wake();
        try {
            thread.join();
            Files.deleteIfExists(path);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            failure = e;
        }
        listener.close();
        wake.close();
        if (failure != null) {
            throw new AssertionError("the back-end did not understand what it was told, or could not serve", failure);
        }
    }
}
