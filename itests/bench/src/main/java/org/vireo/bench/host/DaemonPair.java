// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Two daemons, of which one has the NIC. Each takes NICs, so that they go to and fro. One thread. */
public final class DaemonPair {
    /** The interface of the one NIC. */
    public static final String TAP = "tap0";
    private static final int TRIES = 3;
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Stage stage;
    private final Namespace here;
    private int started;
    private Member owner;
    private Member other;

    /**
     * A daemon, and where it takes NICs.
     *
     * @param daemon the process
     * @param socket its handover socket
     */
    public record Member(Daemon daemon, Path socket) {
        /** Of the process. */
        public long pid() {
            return daemon.program().pid();
        }

        /** Whether the process has not ended. */
        public boolean isAlive() {
            return daemon.program().isAlive();
        }

        /** Where it takes NICs, as {@code migrate} wants it. */
        public String uri() {
            return "unix:" + socket;
        }

        /** Whether it reads the TAP. */
        public boolean reads() {
            return ProcessView.reads(pid(), TAP);
        }

        /** The state of its NIC as it says itself, or that it has none. */
        public String state() throws BenchException {
            List<?> nics = (List<?>) daemon.execute("query-nics", Map.of());
            return nics.isEmpty() ? "none" : String.valueOf(((Map<?, ?>) nics.getFirst()).get("state"));
        }

        /** The status of its last handover. */
        public String migration() throws BenchException {
            return String.valueOf(((Map<?, ?>) daemon.execute("query-migrate", Map.of())).get("status"));
        }

        /** What the last handover ended with, for a message. */
        public String outcome() throws BenchException {
            Map<?, ?> m = (Map<?, ?>) daemon.execute("query-migrate", Map.of());
            Object why = m.get("error-desc");
            return m.get("status") + (why == null ? "" : ": " + why);
        }
    }

    /** None yet; the TAP is in that namespace. */
    public DaemonPair(Stage stage, Namespace here) {
        this.stage = stage;
        this.here = here;
    }

    /** Where a VMM connects. */
    public Path nicSocket() {
        return stage.folder().resolve("nic0.sock");
    }

    private Path socket(int n) {
        return stage.folder().resolve("in" + n);
    }

    private Member start(boolean incoming) throws BenchException {
        Path in = socket(++started);
        List<String> options = new ArrayList<>(List.of("--netdev", "tap,id=net0,ifname=" + TAP, "--nic",
                "id=nic0,netdev=net0,socket=" + nicSocket()));
        if (incoming) {
            options.addAll(List.of("--incoming", "unix:" + in));
        }
        Daemon d = new Daemon(stage, here, "daemon-" + started, options, false);
        if (!incoming) {
            d.execute("migrate-incoming", Map.of("uri", "unix:" + in));
        }
        return new Member(d, in);
    }

    /** Starts what is missing: one with the NIC, and one that waits for it. */
    public void complete() throws BenchException {
        if (owner == null) {
            owner = start(false);
        }
        if (other == null) {
            other = start(true);
        }
    }

    /** Who has the NIC, null before {@link #complete}. */
    public Member owner() {
        return owner;
    }

    /** Who waits for it, null before {@link #complete}. */
    public Member other() {
        return other;
    }

    /** Takes note of who is dead, and of who has the NIC. */
    public void settle(Member has) {
        List<Member> alive = new ArrayList<>();
        for (Member m : new Member[] {owner, other}) {
            if (m != null && m.isAlive()) {
                alive.add(m);
            } else if (m != null) {
                stage.end(m.daemon().program());
            }
        }
        owner = has;
        alive.remove(has);
        other = alive.isEmpty() ? null : alive.getFirst();
    }

    /**
     * An orderly handover to the other one; on a busy machine a worker may not stop in time, then once more.
     *
     * @return what query-migrate tells of the NIC
     */
    public Map<?, ?> handOver() throws BenchException {
        Map<?, ?> nic = null;
        for (int tries = 1; nic == null; tries++) {
            try {
                nic = owner.daemon.migrate(other.uri(), LIMIT);
            } catch (BenchException e) {
                if (tries == TRIES || !e.getMessage().contains("did not stop in time")) {
                    throw e;
                }
            }
        }
        Member o = owner;
        owner = other;
        other = o;
        return nic;
    }

    /** Ends both, in whatever state they are. */
    public void end() {
        for (Member m : new Member[] {owner, other}) {
            if (m != null) {
                ProcessHandle.of(m.pid()).filter(ProcessHandle::isAlive).ifPresent(ProcessHandle::destroyForcibly);
                stage.end(m.daemon.program());
            }
        }
        owner = null;
        other = null;
    }
}
