// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.TransferableNic;

/** A frontend that only remembers. A netdev named {@code bad...} is refused; {@link #gate} holds up {@link #awaitNetdev}. */
final class FakeNics implements Nics {
    final Map<String, Nic> nics = new LinkedHashMap<>();
    final List<String> swaps = new CopyOnWriteArrayList<>();
    /** Netdevs whose backend was waited for until it had gone. */
    final List<String> gone = new CopyOnWriteArrayList<>();
    volatile String refusedSwap;
    /** Which netdevs the gate holds up: those whose id begins so. */
    volatile String slow = "";
    volatile CountDownLatch gate = new CountDownLatch(0);

    /** A VMM connects to a NIC, which runs from then on; or, with pid 0, goes. */
    synchronized void connect(String id, long pid) {
        nics.put(id, new Nic(nics.get(id).options(), pid == 0 ? NicState.LISTENING : NicState.RUNNING, pid));
    }

    /** It came from another process. */
    synchronized void put(Map<String, String> options, NicState state) {
        nics.put(options.get("id"), new Nic(options, state, 0));
    }

    synchronized boolean has(String id) {
        return nics.containsKey(id);
    }

    record Nic(Map<String, String> options, NicState state, long vmmPid) implements NicStatus {
        @Override
        public String id() {
            return options.get("id");
        }

        @Override
        public String netdev() {
            return options.getOrDefault("netdev", "");
        }

        @Override
        public String why() {
            return "";
        }

        @Override
        public long features() {
            return state == NicState.RUNNING ? 1L << 32 : 0;
        }

        @Override
        public long epoch() {
            return 1;
        }

        @Override
        public Map<String, Long> counters() {
            return Map.of("transmit-frames", 5L);
        }
    }

    @Override
    public Map<String, String> check(Map<String, String> options) throws NicException {
        if (options.containsKey("unknown")) {
            throw new NicException("NIC " + options.get("id") + ": unknown option unknown=" + options.get("unknown"));
        }
        return options;
    }

    @Override
    public synchronized void add(Map<String, String> options, boolean awaiting) throws NicException {
        check(options);
        if (nics.containsKey(options.get("id"))) {
            throw new NicException("NIC " + options.get("id") + ": the id is taken");
        }
        if ("explode".equals(options.get("id"))) {
            throw new IllegalStateException("boom");
        }
        nics.put(options.get("id"), new Nic(options, awaiting ? NicState.AWAITING : NicState.LISTENING, 0));
    }

    @Override
    public synchronized void remove(String id) {
        nics.remove(id);
    }

    @Override
    public synchronized List<NicStatus> list() {
        return new ArrayList<>(nics.values());
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
        long left = deadlineNanos - System.nanoTime();
        if (left <= 0 || left > 10_000_000_000L) {
            throw new AssertionError("deadline " + left);
        }
        try {
            if (netdev.startsWith(slow)) {
                gate.await();
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        if (netdev.startsWith("bad")) {
            throw new NicException("netdev " + netdev + ": ifname=tapx: there is no such interface");
        }
    }

    @Override
    public void awaitNetdevGone(String netdev, long deadlineNanos) {
        gone.add(netdev);
    }

    @Override
    public List<TransferableNic> transferable() {
        throw new AssertionError();
    }

    @Override
    public void swap(String netdev, String type, int revision, long deadlineNanos) throws NicException {
        if (refusedSwap != null) {
            throw new NicException(refusedSwap);
        }
        swaps.add(netdev + " to " + type + " " + revision);
    }

    @Override
    public List<TransferableNic> fenced() {
        throw new AssertionError();
    }

    @Override
    public Optional<TransferableNic> transferable(String id) {
        throw new AssertionError();
    }

    @Override
    public Registration watch(Runnable changed) {
        throw new AssertionError();
    }

    @Override
    public List<String> startAwaiting() {
        throw new AssertionError();
    }

    @Override
    public IncomingNic prepare(NicImage image, boolean backendTransfer, long deadlineNanos) {
        throw new AssertionError();
    }

    @Override
    public String rehearse(long deadlineNanos) {
        return "none";
    }

    @Override
    public StateFormat imageFormat() {
        throw new AssertionError();
    }
}
