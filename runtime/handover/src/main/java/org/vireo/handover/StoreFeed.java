// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.Nics;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.Poll;

/**
 * Keeps all NICs of this process in the descriptor store, those that come later too. What changed is stored at once beside the picture;
 * when a NIC has come to rest, or much has changed, a new picture takes the place of both. One thread.
 */
final class StoreFeed implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StoreFeed.class);
    private static final long REST_NANOS = 200 * Deadlines.NANOS;
    private static final long FREEZE_NANOS = 2_000 * Deadlines.NANOS;

    private final Context context;
    private final DescriptorStore store;
    private final int version;
    private final Wake wake;
    private final Nics.Registration watch;
    private final Map<String, StoredNic> nics = new LinkedHashMap<>();
    private final Map<String, String> refused = new HashMap<>();
    private final Thread thread;
    private volatile boolean ended;

    /**
     * Begins; when this returns, the NICs that there are have been stored.
     *
     * @param context what it runs in
     * @param store keeps them
     * @throws IOException no descriptor left
     */
    StoreFeed(Context context, DescriptorStore store) throws IOException {
        this.context = context;
        this.store = store;
        version = context.nics().imageFormat().writes().newest();
        wake = new Wake(context.fds());
        watch = context.nics().watch(wake::now);
        follow();
        store.forgetFormer();
        thread = Thread.ofPlatform().daemon().name("descriptor-store").start(this::run);
    }

    private void run() {
        while (!ended) {
            Poll.readable(restless() ? (int) (REST_NANOS / Deadlines.NANOS) : -1, wake.number());
            wake.clear();
            if (!ended) {
                follow();
                refresh();
            }
        }
    }

    private boolean restless() {
        return nics.values().stream().anyMatch(StoredNic::hasChanges);
    }

    /** Makes what is stored the same as what there is. */
    private void follow() {
        Map<String, TransferableNic> there = new LinkedHashMap<>();
        context.nics().transferable().forEach(n -> there.put(n.id(), n));
        for (Map.Entry<String, StoredNic> e : List.copyOf(nics.entrySet())) {
            TransferableNic now = there.get(e.getKey());
            if (now == null || !e.getValue().is(now) || e.getValue().lost() != null) {
                e.getValue().remove();
                nics.remove(e.getKey());
            }
        }
        there.values().stream().filter(t -> !nics.containsKey(t.id())).forEach(this::begin);
    }

    /** A new picture first, then the one before goes: at no moment is there none. */
    private void begin(TransferableNic t) {
        StoredNic n = new StoredNic(store, t, wake::now);
        try {
            n.begin(version);
            refused.remove(t.id());
            StoredNic before = nics.put(t.id(), n);
            if (before != null) {
                before.remove();
            }
        } catch (NicException e) {
            // told when its state changes
            if (!e.getMessage().equals(refused.put(t.id(), e.getMessage()))) {
                LOG.info("{}; so it is not in the descriptor store", e.getMessage());
            }
            n.remove();
        } catch (IOException e) {
            LOG.error("NIC {}: is not in the descriptor store, so that it would be lost with this process: {}", t.id(), e.getMessage());
            n.remove();
        }
    }

    private void refresh() {
        for (StoredNic n : List.copyOf(nics.values())) {
            if (n.isDue(REST_NANOS)) {
                context.nics().transferable(n.nic().id()).filter(n::is).ifPresent(this::begin);
            }
        }
    }

    private void end() {
        ended = true;
        watch.close();
        wake.now();
        try {
            thread.join(context.deadlines().prepare());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        wake.close();
    }

    /** Removes everything: another process goes on with the NICs, and stores them itself. */
    void withdraw() {
        end();
        nics.values().forEach(StoredNic::remove);
        nics.clear();
    }

    /** Leaves the NICs as they are to who is started next: VMMs keep their connections, and their rings stand still until then. */
    @Override
    public void close() {
        end();
        // those that have moved, just before this, are not left
        follow();
        List<StoredNic> left = new ArrayList<>();
        for (StoredNic n : nics.values()) {
            if (n.lost() != null) {
                n.remove();
                continue;
            }
            try {
                n.nic().freeze(System.nanoTime() + FREEZE_NANOS);
                left.add(n);
            } catch (NicException e) {
                LOG.error("NIC {}: ends with this process: {}", n.nic().id(), e.getMessage());
                n.remove();
            }
        }
        for (StoredNic n : left) {
            n.leave();
            n.nic().letGo();
            LOG.info("NIC {}: left to the next process, in the descriptor store", n.nic().id());
        }
        nics.clear();
    }
}
