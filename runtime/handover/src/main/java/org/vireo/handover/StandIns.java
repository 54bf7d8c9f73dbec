// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.EventFd;

/** NICs that do nothing, for the {@link Rehearsal}; source and target in one. The last one cannot be taken. */
final class StandIns implements Nics {
    private static final StateFormat FORMAT = StateFormat.of("rehearsal", 1, 1).build();

    private final Fds fds;
    private final List<TransferableNic> all = new ArrayList<>();

    StandIns(Fds fds, int count) {
        this.fds = fds;
        for (int i = 0; i < count; i++) {
            all.add(new Nic("rehearsal" + i));
        }
    }

    @Override
    public List<TransferableNic> transferable() {
        return List.copyOf(all);
    }

    @Override
    public Optional<TransferableNic> transferable(String id) {
        return all.stream().filter(n -> n.id().equals(id)).findFirst();
    }

    @Override
    public IncomingNic prepare(NicImage image, boolean backendTransfer, long deadlineNanos) throws NicException {
        try (image) {
            Nic nic = (Nic) transferable(image.nic()).orElseThrow(() -> new NicException("no NIC " + image.nic()));
            return new Incoming(nic, image.seq(), all.size() > 1 && nic == all.getLast());
        }
    }

    @Override
    public void swap(String netdev, String type, int revision, long deadlineNanos) throws NicException {
        throw new NicException("a rehearsal has no netdevs");
    }

    @Override
    public List<TransferableNic> fenced() {
        return List.of();
    }

    @Override
    public String rehearse(long deadlineNanos) {
        return "none";
    }

    @Override
    public Registration watch(Runnable changed) {
        return () -> { };
    }

    @Override
    public List<String> startAwaiting() {
        return List.of();
    }

    @Override
    public StateFormat imageFormat() {
        return FORMAT;
    }

    @Override
    public Map<String, String> check(Map<String, String> options) throws NicException {
        throw new NicException("a rehearsal makes no NICs");
    }

    @Override
    public void add(Map<String, String> options, boolean awaiting) throws NicException {
        throw new NicException("a rehearsal makes no NICs");
    }

    @Override
    public void remove(String id) throws NicException {
        throw new NicException("a rehearsal removes no NICs");
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
    public void awaitNetdev(String netdev, long deadlineNanos) throws NicException {
        throw new NicException("a rehearsal has no netdevs");
    }

    @Override
    public void awaitNetdevGone(String netdev, long deadlineNanos) {
        // there is none
    }

    /** One word for two views of it. */
    record Block(AtomicLong cell, AtomicLong state, int self) implements NicBlock {
        @Override
        public long word() {
            return cell.get();
        }

        @Override
        public boolean compareAndSet(long expected, long next) {
            return cell.compareAndSet(expected, next);
        }

        @Override
        public long seq() {
            return state.get();
        }

        @Override
        public boolean entered() {
            return false;
        }

        @Override
        public long death() {
            return 0;
        }

        @Override
        public void succeed(long death) {
            // nobody dies here
        }

        @Override
        public Holder holder(int slot) {
            return new Holder(ProcessHandle.current().pid(), 0, 0);
        }

        @Override
        public long heartbeat() {
            return System.nanoTime();
        }
    }

    private final class Nic implements TransferableNic {
        private final String id;
        private final AtomicLong cell = new AtomicLong(new Ownership(1, Ownership.Phase.OWNED, 0, Ownership.NONE).encode());
        private final AtomicLong state = new AtomicLong(1);
        private final Block block = new Block(cell, state, 0);

        Nic(String id) {
            this.id = id;
        }

        @Override
        public String id() {
            return id;
        }

        @Override
        public NicBlock block() {
            return block;
        }

        @Override
        public NicImage begin(int version, boolean backendTransfer, boolean breakBeforeMake, NicFollower changes) throws NicException {
            try {
                Fd fd = EventFd.create(fds, "rehearsal");
                Section device = Section.builder("device").number("features", 1).flag("started", true).text("text", id)
                        .descriptor("kick", fd).build();
                Section port = Section.builder("port").number("number", 1).build();
                changes.change(NicImage.of(id, version, 2, List.of(Section.builder("ring 0").number("base", 1).build()), null));
                state.set(2);
                return NicImage.of(id, version, 1, List.of(device), BackendState.of("rehearsal", 1, port, List.of(port)));
            } catch (IOException | StateTransferException e) {
                throw new NicException("rehearsal: " + e.getMessage(), e);
            }
        }

        @Override
        public NicImage follow(int version, NicFollower follower) throws NicException {
            throw new NicException("a rehearsal has no standby");
        }

        @Override
        public String rehearse(long deadlineNanos) {
            return "";
        }

        @Override
        public void freeze(long deadlineNanos) {
            // nothing runs
        }

        @Override
        public int connection() {
            return -1;
        }

        @Override
        public void resume() {
            // nothing runs
        }

        @Override
        public void end() {
            // nothing is fed
        }

        @Override
        public void letGo() {
            // nothing is held
        }
    }

    private static final class Incoming implements IncomingNic {
        private final Nic nic;
        private final Block block;
        private final boolean cannot;
        private long seq;

        Incoming(Nic nic, long seq, boolean cannot) {
            this.nic = nic;
            this.seq = seq;
            this.cannot = cannot;
            block = new Block(nic.cell, nic.state, 1);
        }

        @Override
        public String id() {
            return nic.id();
        }

        @Override
        public NicBlock block() {
            return block;
        }

        @Override
        public String rehearse(long deadlineNanos) {
            return "";
        }

        @Override
        public void change(NicImage change) {
            seq = change.seq();
            change.close();
        }

        @Override
        public long seq() {
            return seq;
        }

        @Override
        public void take() throws NicException {
            if (cannot) {
                throw new NicException("rehearsal of giving back");
            }
        }

        @Override
        public void giveBack() {
            // nothing runs
        }

        @Override
        public void own() {
            // nothing is held
        }

        @Override
        public void close() {
            // nothing is held
        }
    }
}
