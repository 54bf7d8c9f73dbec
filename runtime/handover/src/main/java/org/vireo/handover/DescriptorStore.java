// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.handover.wire.StoredRecord;
import org.vireo.handover.wire.StoredRecord.Encoded;
import org.vireo.handover.wire.WireException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.OpenFiles;
import org.vireo.posix.linux.ServiceManager;
import org.vireo.posix.linux.ServiceManager.Kept;

/**
 * What this process has in the store of its service manager (sd_notify(3), FDSTORE): NICs' images as memory files, and the descriptors
 * that these name. The service manager keeps one of each open file description and ignores others, whatever their names: so each is
 * stored once here, and counted. Any thread.
 */
final class DescriptorStore implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(DescriptorStore.class);
    private static final String FD = "fd-";
    private static final String RECORD = "nic-";
    private static final int AWAIT_MILLIS = 2_000;

    private final Fds fds;
    private final ServiceManager manager;
    private final TreeMap<Fd, Entry> descriptors = new TreeMap<>(OpenFiles::compare);
    /** Names of records that an earlier process stored. */
    private final List<String> former = new ArrayList<>();
    /** The last number given. Names are not used again, not by the next process either: a name that could not be removed harms nobody. */
    private long last = System.currentTimeMillis() * 1_000;

    /** A stored descriptor. */
    private static final class Entry {
        private final long number;
        private final Fd fd;
        private int users;

        private Entry(long number, Fd fd) {
            this.number = number;
            this.fd = fd;
        }
    }

    /** A stored record: its name, and what it uses. */
    record Stored(String name, List<Fd> uses) { }

    /**
     * A NIC as an earlier process left it.
     *
     * @param picture the whole NIC
     * @param changes of it, in order
     */
    record Found(NicImage picture, List<NicImage> changes) {
        /** Number of the state that it leads to. */
        private long last() {
            return changes.isEmpty() ? picture.seq() : changes.getLast().seq();
        }

        void close() {
            picture.close();
            changes.forEach(NicImage::close);
        }
    }

    /**
     * A store.
     *
     * @param fds makes descriptors
     * @param manager keeps what is stored; closed with this
     * @throws IOException the kernel does not tell which descriptors are the same
     */
    DescriptorStore(Fds fds, ServiceManager manager) throws IOException {
        this.fds = fds;
        this.manager = manager;
        try (Fd any = EventFd.create(fds, "comparison")) {
            if (!OpenFiles.canCompare(any)) {
                throw new IOException("this kernel does not compare descriptors (kcmp(2)): the descriptor store cannot be used");
            }
        }
    }

    /**
     * Reads what an earlier process left. It stays in the store until {@link #forgetFormer}.
     *
     * @param kept what the service manager passed; owned by this from now on
     * @param problems takes what cannot be used, and why
     * @return the NICs that are complete
     */
    synchronized List<Found> adopt(List<Kept> kept, List<String> problems) {
        Map<Long, Fd> by = new HashMap<>();
        Map<String, StoredRecord> records = new TreeMap<>();
        for (Kept k : kept) {
            long number = number(k.name());
            last = Math.max(last, number);
            if (k.name().equals(FD + number)) {
                Entry e = new Entry(number, k.fd());
                if (descriptors.putIfAbsent(k.fd(), e) == null) {
                    by.put(number, k.fd());
                } else {
                    k.fd().close();
                }
            } else if (k.name().equals(RECORD + number)) {
                former.add(k.name());
                try (Fd file = k.fd()) {
                    records.put(k.name(), StoredRecord.read(file));
                } catch (IOException e) {
                    problems.add("stored NIC " + k.name() + ": " + e.getMessage());
                }
            } else {
                problems.add("the service manager passed \"" + k.name() + "\", which is nothing of ours");
                k.fd().close();
            }
        }
        return found(records, by, problems);
    }

    private static long number(String name) {
        String digits = name.substring(name.lastIndexOf('-') + 1);
        return digits.matches("[0-9]{1,18}") ? Long.parseLong(digits) : 0;
    }

    /** Of each NIC the set that goes furthest. */
    private static List<Found> found(Map<String, StoredRecord> records, Map<Long, Fd> by, List<String> problems) {
        List<StoredRecord> all = records.values().stream()
                .sorted(Comparator.comparingLong(StoredRecord::generation).thenComparingInt(StoredRecord::index)).toList();
        Map<Long, Found> sets = new TreeMap<>();
        for (StoredRecord r : all) {
            Found set = sets.get(r.generation());
            if (r.index() > 0 && (set == null || set.changes.size() != r.index() - 1)) {
                // after one that is missing
                continue;
            }
            try {
                NicImage image = image(r, by);
                if (r.index() == 0) {
                    sets.put(r.generation(), new Found(image, new ArrayList<>()));
                } else if ((int) image.seq() == (int) set.last() + 1) {
                    set.changes.add(image);
                } else {
                    image.close();
                }
            } catch (IOException e) {
                problems.add("stored NIC, picture " + r.generation() + (r.index() == 0 ? "" : ", change " + r.index()) + ": "
                        + e.getMessage());
            }
        }
        Map<String, Found> best = new TreeMap<>();
        for (Found set : sets.values()) {
            best.merge(set.picture.nic(), set, (a, b) -> {
                Found keep = Long.compareUnsigned(b.last(), a.last()) >= 0 ? b : a;
                (keep == a ? b : a).close();
                return keep;
            });
        }
        return List.copyOf(best.values());
    }

    private static NicImage image(StoredRecord r, Map<Long, Fd> by) throws IOException {
        List<Fd> its = new ArrayList<>();
        try {
            for (long number : r.numbers()) {
                Fd fd = by.get(number);
                if (fd == null) {
                    throw new WireException("incomplete: descriptor " + FD + number + " was not kept; FileDescriptorStoreMax= of the"
                            + " unit may be too small");
                }
                its.add(fd.duplicate());
            }
        } catch (IOException e) {
            its.forEach(Fd::close);
            throw e;
        }
        return r.image(its);
    }

    /** A number for the next picture: larger than all before, those of earlier processes too. */
    synchronized long generation() {
        return ++last;
    }

    /**
     * Stores a record. When this returns it is safe, also if this process ends at once.
     *
     * @param image stays the caller's
     * @param generation of the picture
     * @param index 0, or the number of the change
     * @return what to remove later
     * @throws IOException the service manager does not take it; nothing of it is left
     */
    synchronized Stored put(NicImage image, long generation, int index) throws IOException {
        Encoded e = StoredRecord.encode(image, index);
        List<Fd> uses = new ArrayList<>();
        try {
            List<Long> numbers = new ArrayList<>();
            for (Fd fd : e.descriptors()) {
                Entry entry = use(fd);
                uses.add(entry.fd);
                numbers.add(entry.number);
            }
            String name = RECORD + ++last;
            try (Fd file = new StoredRecord(generation, index, numbers, e.payload()).write(fds, name)) {
                store(name, file);
            }
            return new Stored(name, uses);
        } catch (IOException | RuntimeException x) {
            release(uses);
            throw x;
        }
    }

    private Entry use(Fd fd) throws IOException {
        Entry known = descriptors.get(fd);
        if (known != null) {
            known.users++;
            return known;
        }
        Fd own = fd.duplicate();
        Entry entry = new Entry(++last, own);
        try {
            store(FD + entry.number, own);
        } catch (IOException e) {
            own.close();
            throw e;
        }
        entry.users = 1;
        descriptors.put(own, entry);
        return entry;
    }

    private void store(String name, Fd fd) throws IOException {
        // a connection that is hung up is ours to remove, after its NIC has said so
        manager.tell("FDSTORE=1\nFDPOLL=0\nFDNAME=" + name, fd);
    }

    /** Removes a record, and the descriptors that nothing else uses. */
    synchronized void remove(Stored stored) {
        unstore(stored.name);
        release(stored.uses);
    }

    private void release(List<Fd> uses) {
        for (Fd fd : uses) {
            Entry e = descriptors.get(fd);
            if (--e.users == 0) {
                forget(e);
            }
        }
    }

    private void forget(Entry e) {
        descriptors.remove(e.fd);
        unstore(FD + e.number);
        e.fd.close();
    }

    private void unstore(String name) {
        try {
            manager.tell("FDSTOREREMOVE=1\nFDNAME=" + name);
        } catch (IOException e) {
            LOG.warn("{} stays in the descriptor store: {}", name, e.getMessage());
        }
    }

    /** Removes what an earlier process left and nobody goes on with, and waits until the service manager has done that. */
    synchronized void forgetFormer() {
        if (former.isEmpty() && descriptors.values().stream().allMatch(e -> e.users > 0)) {
            return;
        }
        former.forEach(this::unstore);
        former.clear();
        for (Entry e : List.copyOf(descriptors.values())) {
            if (e.users == 0) {
                forget(e);
            }
        }
        try {
            if (!manager.await(fds, AWAIT_MILLIS)) {
                LOG.warn("the service manager has not answered for {} ms: a port of before may still be open", AWAIT_MILLIS);
            }
        } catch (IOException e) {
            LOG.warn("the service manager cannot be waited for: {}", e.getMessage());
        }
    }

    /** Lets go; what is stored stays there. */
    @Override
    public synchronized void close() {
        descriptors.values().forEach(e -> e.fd.close());
        descriptors.clear();
        manager.close();
    }
}
