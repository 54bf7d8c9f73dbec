// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.DescriptorStore.Stored;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicFollower;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.TransferableNic;

/**
 * One picture of a NIC in the descriptor store, with the changes since. Each change is stored before it takes effect. Changes come from the
 * NIC's actor; all else is of the feed's thread.
 */
final class StoredNic implements NicFollower {
    private static final Logger LOG = LoggerFactory.getLogger(StoredNic.class);

    /** Changes after which a new picture is due, though the NIC has not come to rest. */
    private static final int MANY = 32;

    private final DescriptorStore store;
    private final TransferableNic nic;
    private final Runnable news;
    private final NicBlock block;
    private final ChangeRelay changes = new ChangeRelay(this::store);
    private final List<Stored> stored = new ArrayList<>();
    private final long generation;
    private volatile String lost;
    private volatile long changed;
    private volatile boolean many;

    /**
     * A picture to be taken.
     *
     * @param store keeps it
     * @param nic the NIC
     * @param news told when there is a change, or the NIC is lost; must only post
     */
    StoredNic(DescriptorStore store, TransferableNic nic, Runnable news) {
        this.store = store;
        this.nic = nic;
        this.news = news;
        block = nic.block();
        generation = store.generation();
    }

    /** Whether this is the very NIC, not another one of its id. */
    boolean is(TransferableNic other) {
        return other.block() == block;
    }

    TransferableNic nic() {
        return nic;
    }

    /** Why it cannot be followed any more, or null. */
    String lost() {
        return lost;
    }

    /** Whether there are changes. */
    boolean hasChanges() {
        return changed != 0;
    }

    /** Whether there are changes, and none has come for so long, or there are many. */
    boolean isDue(long restNanos) {
        return many || changed != 0 && System.nanoTime() - changed >= restNanos;
    }

    /**
     * Takes the picture and stores it.
     *
     * @param version the image's
     * @throws NicException it cannot be followed now
     * @throws IOException it is too large, or cannot be stored
     */
    void begin(int version) throws NicException, IOException {
        try (NicImage image = nic.follow(version, this)) {
            stored.add(store.put(image, generation, 0));
        }
        changes.prepareSent();
    }

    private void store(NicImage change) {
        try (change) {
            if (lost != null) {
                // one is missing: what comes after it must not look as if it were whole
                return;
            }
            stored.add(store.put(change, generation, stored.size()));
            changed = System.nanoTime();
            many = stored.size() > MANY;
        } catch (IOException | RuntimeException e) {
            LOG.error("NIC {}: a change is not in the descriptor store, so that it would be lost with this process: {}", nic.id(),
                    e.getMessage());
            lost = e.getMessage();
        }
        news.run();
    }

    @Override
    public void change(NicImage change) {
        changes.change(change);
    }

    @Override
    public void lost(String reason) {
        lost = reason;
        news.run();
    }

    /** Whoever goes on is started first. */
    @Override
    public boolean hurries() {
        return false;
    }

    /** Nothing more of it is stored; what is stored stays. */
    void leave() {
        changes.end();
        nic.end();
    }

    /** Ends and removes it. */
    void remove() {
        leave();
        stored.forEach(store::remove);
        stored.clear();
    }
}
