// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.EventFd;

/** The NICs of one process, as the handover sees them: they move no frames but keep count of who reads, and of each call. */
final class FakeHost implements Nics, AutoCloseable {
    interface Hook<T> {
        void run(T nic) throws NicException;
    }

    final Map<String, Nic> owned = Collections.synchronizedMap(new LinkedHashMap<>());
    final List<String> removed = Collections.synchronizedList(new ArrayList<>());
    final List<Incoming> incoming = Collections.synchronizedList(new ArrayList<>());
    StateFormat format = StateFormat.of("nic", 1, 1).build();
    Hook<NicImage> onPrepare = i -> { };
    Hook<Incoming> onRehearse = i -> { };
    Hook<Incoming> onTake = i -> { };
    Hook<Incoming> onGiveBack = i -> { };
    Hook<Nic> onFreeze = n -> { };
    /** When a NIC that was taken settles in. */
    Hook<Incoming> onOwn = i -> { };
    /** When one that was prepared is let go. */
    Consumer<Incoming> onClose = i -> { };
    Hook<Nic> onFollow = n -> { };
    private final List<Runnable> watchers = new CopyOnWriteArrayList<>();
    private final Fds fds;

    FakeHost(Fds fds) {
        this.fds = fds;
    }

    Nic make(String id) throws IOException {
        Fd file = FakeBlock.create(fds, id);
        FakeBlock block = new FakeBlock(file);
        block.initialise();
        Nic n = new Nic(id, file, block, EventFd.create(fds, "connection of " + id));
        block.reads(true);
        owned.put(id, n);
        return n;
    }

    private static boolean says(Nic nic, Ownership.Phase phase, boolean holds) {
        Ownership w = Ownership.decode(nic.block.word());
        return w.phase() == phase && (holds ? w.holder() : w.peer()) == nic.block.self();
    }

    private List<TransferableNic> those(Ownership.Phase phase, boolean holds) {
        synchronized (owned) {
            return owned.values().stream().filter(n -> says(n, phase, holds)).<TransferableNic>map(n -> n).toList();
        }
    }

    @Override
    public List<TransferableNic> transferable() {
        return those(Ownership.Phase.OWNED, true);
    }

    @Override
    public Optional<TransferableNic> transferable(String id) {
        return Optional.ofNullable(owned.get(id));
    }

    @Override
    public void swap(String netdev, String type, int revision, long deadlineNanos) {
        throw new UnsupportedOperationException();
    }

    @Override
    public List<TransferableNic> fenced() {
        return those(Ownership.Phase.FENCED, false);
    }

    @Override
    public IncomingNic prepare(NicImage image, boolean backendTransfer, long deadlineNanos) throws NicException {
        try (image) {
            onPrepare.run(image);
            Section device = image.section("device").orElseThrow(() -> new NicException("no section device"));
            Fd file = device.descriptor("block").duplicate();
            Incoming i = new Incoming(image.nic(), file, new FakeBlock(file), device.descriptor("connection").duplicate(), image.seq());
            incoming.add(i);
            return i;
        } catch (IOException | StateTransferException e) {
            throw new NicException(e.getMessage(), e);
        }
    }

    @Override
    public String rehearse(long deadlineNanos) {
        return "none";
    }

    @Override
    public Registration watch(Runnable changed) {
        watchers.add(changed);
        return () -> watchers.remove(changed);
    }

    @Override
    public List<String> startAwaiting() {
        return List.of();
    }

    @Override
    public StateFormat imageFormat() {
        return format;
    }

    @Override
    public Map<String, String> check(Map<String, String> options) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void add(Map<String, String> options, boolean awaiting) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void remove(String id) {
        removed.add(id);
    }

    /** Whoever watches is told that NICs came or went. */
    void changed() {
        watchers.forEach(Runnable::run);
    }

    @Override
    public List<NicStatus> list() {
        return List.of();
    }

    @Override
    public List<NicStatus> measure() {
        return list();
    }

    @Override
    public List<NetdevStatus> netdevs() {
        return List.of();
    }

    @Override
    public void awaitNetdev(String netdev, long deadlineNanos) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void awaitNetdevGone(String netdev, long deadlineNanos) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {
        synchronized (owned) {
            owned.values().forEach(Nic::release);
            owned.clear();
        }
    }

    final class Nic implements TransferableNic {
        final String id;
        final Fd file;
        final FakeBlock block;
        final Fd connection;
        final List<String> calls = Collections.synchronizedList(new ArrayList<>());
        final AtomicInteger rehearsals = new AtomicInteger();
        private NicFollower changes;

        Nic(String id, Fd file, FakeBlock block, Fd connection) {
            this.id = id;
            this.file = file;
            this.block = block;
            this.connection = connection;
        }

        private Section device(int features) throws IOException {
            return Section.builder("device").number("features", features).descriptor("block", file.duplicate())
                    .descriptor("connection", connection.duplicate()).build();
        }

        /** As on a message of the VMM: announce, then the block's seq. */
        synchronized void change() {
            long next = block.seq() + 1;
            if (changes != null) {
                Section ring = Section.builder("ring 0").number("size", 256).build();
                changes.change(NicImage.of(id, 1, next, List.of(ring), null));
            }
            block.seq(next);
        }

        /** As when the VMM hangs up: nothing to announce, and the block's seq. */
        synchronized void lose(String why) {
            changes.lost(why);
            block.seq(block.seq() + 1);
        }

        @Override
        public String id() {
            return id;
        }

        @Override
        public FakeBlock block() {
            return block;
        }

        @Override
        public synchronized NicImage begin(int version, boolean backendTransfer, boolean breakBeforeMake, NicFollower to)
                throws NicException {
            calls.add(breakBeforeMake ? "begin breaking" : "begin");
            changes = to;
            try {
                Section port = Section.builder("port").text("ifname", "tap0").build();
                Section queue = Section.builder("queue 0").descriptor("fd", EventFd.create(fds, "tap queue")).flag("enabled", true).build();
                BackendState state = backendTransfer ? BackendState.of("fake", 1, port, List.of(queue)) : null;
                return NicImage.of(id, version, block.seq(), List.of(device(7)), state);
            } catch (IOException | StateTransferException e) {
                throw new NicException(e.getMessage(), e);
            }
        }

        @Override
        public NicImage follow(int version, NicFollower to) throws NicException {
            onFollow.run(this);
            return begin(version, true, false, to);
        }

        @Override
        public String rehearse(long deadlineNanos) {
            rehearsals.incrementAndGet();
            return "none";
        }

        @Override
        public void freeze(long deadlineNanos) throws NicException {
            calls.add("freeze");
            onFreeze.run(this);
            block.reads(false);
        }

        @Override
        public int connection() {
            return connection.number();
        }

        @Override
        public void resume() {
            calls.add("resume");
            block.reads(true);
        }

        @Override
        public synchronized void end() {
            calls.add("end");
            changes = null;
        }

        @Override
        public void letGo() {
            calls.add("letGo");
            owned.remove(id);
            release();
        }

        private void release() {
            file.close();
            connection.close();
            // the mapping stays for the assertions of the test
        }
    }

    final class Incoming implements IncomingNic {
        final String id;
        final Fd file;
        final FakeBlock block;
        final Fd connection;
        final List<String> calls = Collections.synchronizedList(new ArrayList<>());
        /** How long each rehearsal was to last at most. */
        final List<Long> rehearsalNanos = Collections.synchronizedList(new ArrayList<>());
        private volatile long seq;
        private boolean taken;

        Incoming(String id, Fd file, FakeBlock block, Fd connection, long seq) {
            this.id = id;
            this.file = file;
            this.block = block;
            this.connection = connection;
            this.seq = seq;
        }

        @Override
        public String id() {
            return id;
        }

        @Override
        public FakeBlock block() {
            return block;
        }

        @Override
        public String rehearse(long deadlineNanos) {
            rehearsalNanos.add(deadlineNanos - System.nanoTime());
            try {
                onRehearse.run(this);
            } catch (NicException e) {
                throw new IllegalStateException(e);
            }
            return "12 rounds, 3 ms";
        }

        @Override
        public void change(NicImage change) {
            try (change) {
                calls.add("change");
                seq = change.seq();
            }
        }

        @Override
        public long seq() {
            return seq;
        }

        @Override
        public void take() throws NicException {
            calls.add("take");
            onTake.run(this);
            block.reads(true);
            taken = true;
        }

        @Override
        public void giveBack() throws NicException {
            calls.add("giveBack");
            onGiveBack.run(this);
            if (taken) {
                block.reads(false);
                taken = false;
            }
        }

        @Override
        public void own() {
            try {
                onOwn.run(this);
            } catch (NicException e) {
                throw new IllegalStateException(e);
            }
            calls.add("own");
            owned.put(id, new Nic(id, file, block, connection));
        }

        @Override
        public void close() {
            onClose.accept(this);
            calls.add("close");
            file.close();
            connection.close();
        }
    }
}
