// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;

/**
 * What memory one back-end was told of. With CONFIGURE_MEM_SLOTS it is told the differences, region by region, as most front-ends do
 * it; else the whole table, of at most 8 regions.
 */
final class MemoryTable {
    private static final int TABLE_LIMIT = 8;

    private List<Entry> told = List.of();
    private boolean known;

    /** A region as it was told. The same addresses in another file are another region. */
    private record Entry(MemoryRegionSpec spec, Object file, Fd fd) {
        static Entry of(GuestMemory.Region r) throws IOException {
            Object file = Files.readAttributes(Path.of("/proc/self/fd/" + r.file().number()), BasicFileAttributes.class).fileKey();
            return new Entry(new MemoryRegionSpec(r.guestAddress(), r.bytes(), r.userAddress(), r.fileOffset()), file, r.file());
        }

        boolean same(Entry other) {
            return spec.equals(other.spec) && file.equals(other.file);
        }

        boolean overlaps(Entry other) {
            return spec.guest() - other.spec.guest() < other.spec.size() && other.spec.guest() - spec.guest() < spec.size();
        }

        boolean holds(long user) {
            return user - spec.user() >= 0 && user - spec.user() < spec.size();
        }
    }

    /**
     * A table.
     *
     * @param known whether the back-end was told of nothing so far; else somebody else has told it, perhaps
     */
    MemoryTable(boolean known) {
        this.known = known;
    }

    /** Whether the back-end holds memory of a guest, perhaps. */
    boolean isEmpty() {
        return known && told.isEmpty();
    }

    /** What is to be done, checked: nothing was said yet. */
    final class Change {
        private final List<Entry> wanted;
        private final boolean slots;

        private Change(List<Entry> wanted, boolean slots) {
            this.wanted = wanted;
            this.slots = slots;
        }

        /** Whether memory at an address goes away, if only for a moment. A back-end that is told a whole table looks after that itself. */
        boolean disturbs(long user) {
            return slots && known && removed().stream().anyMatch(e -> e.holds(user));
        }

        /** Whether other memory comes where some is that the guest may have given buffers of: while it is away, nothing may run. */
        boolean replaces() {
            return slots && known && removed().stream().anyMatch(e -> wanted.stream().anyMatch(e::overlaps));
        }

        private List<Entry> removed() {
            return told.stream().filter(e -> wanted.stream().noneMatch(e::same)).toList();
        }

        /** Tells it. */
        void tell(Connection c) throws IOException {
            if (slots && known) {
                differences(c);
            } else if (!wanted.isEmpty()) {
                table(c);
            }
            told = wanted;
            known = true;
            c.barrier();
        }

        private void differences(Connection c) throws IOException {
            List<Entry> now = new ArrayList<>(told);
            for (Entry e : removed()) {
                c.tell(Request.REM_MEM_REG, e.spec.payload(), Connection.NO_DESCRIPTORS);
                now.remove(e);
                told = List.copyOf(now);
            }
            for (Entry e : wanted) {
                if (told.stream().noneMatch(e::same)) {
                    c.tell(Request.ADD_MEM_REG, e.spec.payload(), List.of(e.fd));
                    now.add(e);
                    told = List.copyOf(now);
                }
            }
        }

        private void table(Connection c) throws IOException {
            c.tell(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(wanted.stream().map(Entry::spec).toList()),
                    wanted.stream().map(Entry::fd).toList());
        }
    }

    /**
     * Plans to tell of memory.
     *
     * @throws NetdevException there is more of it than the back-end takes
     * @throws NewConnectionException the back-end cannot be told on this connection, but on another one
     * @throws IOException the memory's files cannot be looked at
     */
    Change change(String prefix, Offer offer, GuestMemory memory) throws IOException, NetdevException {
        List<Entry> wanted = new ArrayList<>();
        for (GuestMemory.Region r : memory.regions()) {
            wanted.add(Entry.of(r));
        }
        boolean slots = offer.has(ProtocolFeatures.CONFIGURE_MEM_SLOTS);
        long most = slots ? offer.memorySlots() : TABLE_LIMIT;
        if (wanted.size() > most) {
            throw new NetdevException(prefix + "the guest's memory has " + wanted.size() + " regions, but the back-end takes " + most
                    + (slots ? "" : ", as it has no CONFIGURE_MEM_SLOTS") + ": give the guest its memory in fewer pieces");
        }
        if (slots && !known && wanted.size() > TABLE_LIMIT) {
            throw new NewConnectionException("what memory its former front-end told of is not known, and a table of " + wanted.size()
                    + " regions is too long");
        }
        return new Change(List.copyOf(wanted), slots);
    }
}
