// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.vhostuser.DeviceConfig;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.MessageHeader;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VringState;

/**
 * A back-end that notes what it is told, checks each message's form, and answers as it was told to, wrongly if need be. It serves one
 * connection after the other, on a thread of its own; rings it does not touch.
 */
final class ScriptedBackEnd implements AutoCloseable {
    static final Fds FDS = new Descriptors();

    private static final long LIMIT_NANOS = 5_000_000_000L;
    private static final int POLL_MILLIS = 10;
    private static final int NEVER = -1;

    /** What it does instead of answering. */
    enum Twist {
        /** Hangs up. */
        DIE,
        /** Says nothing, to this and all that follows. */
        HANG,
        /** Does nothing at all any more, until it is straight again: it does not even notice that the connection ends. */
        FREEZE,
        /** Sends bytes that are no message. */
        GARBAGE,
        /** Acknowledges with a failure. */
        REFUSE,
        /** Answers another request. */
        OTHER,
        /** Answers twice. */
        TWICE,
        /** Answers half. */
        HALF
    }

    final long features;
    final long protocol;
    final ScriptedDeviceState deviceState = new ScriptedDeviceState();
    private final int pairs;
    private final Path path;
    private final boolean listens;
    private final Fd listener;
    private final List<String> heard = new ArrayList<>();
    private final Map<Request, Twist> twists = new EnumMap<>(Request.class);
    private final Map<Integer, Integer> bases = new TreeMap<>();
    private final Thread thread;
    private int mtu = 1500;
    private int dieAt = NEVER;
    private int connections;
    private boolean inForce;
    private final Set<Integer> running = new TreeSet<>();
    private final Set<Integer> enabled = new TreeSet<>();
    private Fd current;
    private Fd inflight;
    private volatile boolean ending;
    private volatile boolean frozen;
    private volatile Throwable failure;

    /** Listens, or connects for as long as it lives. */
    ScriptedBackEnd(Path path, boolean listens, long features, long protocol, int pairs) throws IOException {
        this.path = path;
        this.listens = listens;
        this.features = features;
        this.protocol = protocol;
        this.pairs = pairs;
        listener = listens ? UnixSockets.listen(FDS, path, 0600, "back-end") : null;
        thread = Thread.ofPlatform().daemon().name("scripted back-end").start(this::run);
    }

    /** What it has heard so far. */
    synchronized List<String> hears() {
        return List.copyOf(heard);
    }

    /** What it has heard since it was last asked: request, payload, descriptors. */
    synchronized List<String> heard() {
        List<String> h = List.copyOf(heard);
        heard.clear();
        return h;
    }

    synchronized int connections() {
        return connections;
    }

    synchronized void twist(Request at, Twist how) {
        twists.put(at, how);
    }

    synchronized void straight() {
        twists.clear();
        frozen = false;
        dieAt = NEVER;
    }

    /** Hangs up at the nth message from now on, counted from 0. */
    synchronized void dieAt(int message) {
        dieAt = message;
    }

    /** Whether that has not happened yet. */
    synchronized boolean isToDie() {
        return dieAt != NEVER;
    }

    /** What its configuration space says; 0: it cannot be read. */
    synchronized void mtu(int bytes) {
        mtu = bytes;
    }

    /** Where a ring is, as GET_VRING_BASE says it. */
    synchronized void base(int ring, int base) {
        bases.put(ring, base);
    }

    /** The rings that it was told to run, and those of them that are enabled. */
    synchronized String rings() {
        Set<Integer> both = new TreeSet<>(running);
        both.retainAll(enabled);
        return "running " + running + ", enabled " + both;
    }

    /** Hangs up. */
    synchronized void hangUp() {
        if (current != null) {
            UnixSockets.shutdown(current);
        }
    }

    /** Says what nobody asked for. */
    synchronized void say(byte[] bytes) throws IOException {
        raw(current, bytes);
    }

    void awaitHeard(String what) {
        Await.until(Duration.ofSeconds(10), "the back-end hears " + what, () -> {
            check();
            synchronized (this) {
                return heard.stream().anyMatch(h -> h.startsWith(what));
            }
        });
    }

    void check() {
        if (failure != null) {
            throw new AssertionError("the back-end heard something wrong", failure);
        }
    }

    private void run() {
        try {
            while (!ending) {
                Fd s = listens ? accept() : connect();
                if (s != null) {
                    try {
                        serve(s);
                    } finally {
                        synchronized (this) {
                            current = null;
                            s.close();
                        }
                    }
                }
            }
        } catch (IOException | RuntimeException | MalformedMessageException e) {
            failure = e;
        }
    }

    private Fd accept() throws IOException {
        Poll.readable(POLL_MILLIS, listener.number());
        return UnixSockets.accept(listener, FDS, false, "front-end");
    }

    private Fd connect() {
        try {
            return UnixSockets.connect(FDS, path, "front-end");
        } catch (IOException e) {
            Poll.readable(POLL_MILLIS); // nobody listens yet
            return null;
        }
    }

    private void serve(Fd s) throws IOException, MalformedMessageException {
        synchronized (this) {
            current = s;
            connections++;
            inForce = false;
            running.clear();
            enabled.clear();
        }
        MessageChannel channel = MessageChannel.of(s, FDS, "front-end");
        while (!ending) {
            if (frozen) {
                Poll.readable(POLL_MILLIS);
                continue;
            }
            Optional<Message> m;
            try {
                m = channel.receive(System.nanoTime() + POLL_MILLIS * 1_000_000L);
            } catch (IOException e) {
                return; // it hung up
            }
            if (m.isPresent()) {
                try (Message whole = m.get()) {
                    whole.check();
                    if (!handle(channel, whole)) {
                        return;
                    }
                } catch (IOException e) {
                    return; // it does not want the answer any more
                }
            }
        }
    }

    private synchronized boolean handle(MessageChannel channel, Message m) throws IOException, MalformedMessageException {
        Request r = m.request().orElseThrow();
        if (dieAt != NEVER && dieAt-- == 0) {
            dieAt = NEVER;
            return false;
        }
        heard.add(describe(r, m));
        Twist t = twists.get(r);
        if (t == Twist.DIE) {
            return false;
        }
        if (t == Twist.HANG) {
            for (Request all : Request.values()) {
                twists.put(all, Twist.HANG);
            }
            return true;
        }
        if (t == Twist.FREEZE) {
            frozen = true;
            return true;
        }
        if (t == Twist.GARBAGE) {
            raw(channel.socket(), new byte[] {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14});
            return true;
        }
        if (t == Twist.HALF) {
            raw(channel.socket(), new byte[] {(byte) r.id(), 0, 0, 0, 5});
            return true;
        }
        if (t == Twist.OTHER) {
            channel.send(Request.GET_STATUS, MessageHeader.REPLY, MessageChannel.u64(0), List.of(), System.nanoTime() + LIMIT_NANOS);
            return true;
        }
        answer(channel, m, r, t == Twist.REFUSE ? 1 : 0);
        if (t == Twist.TWICE) {
            answer(channel, m, r, 0);
        }
        return true;
    }

    private void answer(MessageChannel channel, Message m, Request r, long acknowledgement) throws IOException,
            MalformedMessageException {
        long deadline = System.nanoTime() + LIMIT_NANOS;
        switch (r) {
            case GET_FEATURES -> channel.replyU64(m, features, deadline);
            case GET_PROTOCOL_FEATURES -> channel.replyU64(m, protocol, deadline);
            case SET_PROTOCOL_FEATURES -> inForce = (m.u64() & ProtocolFeatures.REPLY_ACK) != 0;
            case GET_QUEUE_NUM -> channel.replyU64(m, pairs, deadline);
            case GET_MAX_MEM_SLOTS -> channel.replyU64(m, 32, deadline);
            case GET_CONFIG -> {
                if (mtu == 0) {
                    channel.reply(m, MemorySegment.ofArray(new byte[0]), List.of(), deadline);
                    return;
                }
                MemorySegment space = MemorySegment.ofArray(new byte[m.config().size()]);
                space.set(ValueLayout.JAVA_SHORT_UNALIGNED, 10, (short) mtu);
                channel.reply(m, new DeviceConfig(m.config().offset(), 0, space).payload(), List.of(), deadline);
            }
            case GET_VRING_BASE -> {
                int ring = m.vringState().index();
                running.remove(ring);
                channel.reply(m, new VringState(ring, bases.getOrDefault(ring, 0)).payload(), List.of(), deadline);
            }
            case SET_LOG_BASE -> channel.reply(m, MemorySegment.ofArray(new byte[0]), List.of(), deadline);
            case GET_INFLIGHT_FD -> inflight(channel, m, deadline);
            case SET_DEVICE_STATE_FD -> deviceState.begin(channel, m, acknowledgement != 0, deadline);
            case CHECK_DEVICE_STATE -> deviceState.check(channel, m, deadline);
            default -> {
                note(r, m);
                if (inForce && m.needsReply()) {
                    channel.replyU64(m, acknowledgement, deadline);
                }
            }
        }
    }

    private void note(Request r, Message m) throws MalformedMessageException {
        switch (r) {
            case SET_VRING_BASE -> bases.put(m.vringState().index(), m.vringState().num());
            case SET_VRING_KICK -> running.add(m.descriptorRing());
            case SET_VRING_ENABLE -> {
                if (m.vringState().num() != 0) {
                    enabled.add(m.vringState().index());
                } else {
                    enabled.remove(m.vringState().index());
                }
            }
            default -> { }
        }
    }

    private void inflight(MessageChannel channel, Message m, long deadline) throws IOException, MalformedMessageException {
        InflightSpec asked = m.inflight();
        if (inflight == null) {
            inflight = SharedMemory.create(FDS, "inflight", 1 << 20, false);
        }
        channel.reply(m, new InflightSpec(1 << 20, 0, asked.queues(), asked.queueSize()).payload(), List.of(inflight), deadline);
    }

    /** Writes into the in-flight memory. */
    synchronized void inflight(int at, byte... bytes) throws IOException {
        long mapped = SharedMemory.map(inflight, 0, 1 << 20);
        MemorySegment.copy(bytes, 0, SharedMemory.addressSpace(), ValueLayout.JAVA_BYTE, mapped + at, bytes.length);
        SharedMemory.unmap(mapped, 1 << 20);
    }

    private static String describe(Request r, Message m) throws MalformedMessageException {
        String what = switch (r.shape()) {
            case U64 -> " 0x" + Long.toHexString(m.u64());
            case VRING_STATE -> " " + m.vringState().index() + " " + m.vringState().num();
            case VRING_ADDRESS -> " " + m.vringAddress().index() + " flags " + m.vringAddress().flags() + " log 0x"
                    + Long.toHexString(m.vringAddress().log());
            case MEMORY_TABLE -> " " + m.memoryTable().size() + " regions";
            case MEMORY_REGION -> " 0x" + Long.toHexString(m.memoryRegion().guest());
            case INFLIGHT -> " " + m.inflight().queues() + " of " + m.inflight().queueSize();
            default -> "";
        };
        return r.name() + what + (m.descriptors().isEmpty() ? "" : " +" + m.descriptors().size());
    }

    private static void raw(Fd socket, byte[] bytes) throws IOException {
        try (Arena a = Arena.ofConfined()) {
            new MessageSocket(socket, FDS, "raw").sendAll(a.allocateFrom(ValueLayout.JAVA_BYTE, bytes), bytes.length, List.of());
        }
    }

    @Override
    public void close() throws IOException {
        ending = true;
        try {
            thread.join(10_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        if (listener != null) {
            listener.close();
            java.nio.file.Files.deleteIfExists(path);
        }
        if (inflight != null) {
            inflight.close();
        }
        deviceState.close();
        check();
    }
}
