// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.PackedInflightLayout;
import org.vireo.vhostuser.Request;

/**
 * The memory in which a back-end notes what it has taken and not returned ("Inflight I/O tracking"). It survives the back-end; the next
 * one reads what the last one left. Of packed rings it is read here, too ({@link PackedInflightLayout}), since nothing else says where
 * they go on.
 *
 * @param file the memory
 * @param spec where in it, and for how many rings of how many entries
 */
record Inflight(Fd file, InflightSpec spec) implements AutoCloseable {
    /**
     * Asks a back-end for it.
     *
     * @return the memory, or null: it has none
     */
    static Inflight ask(Connection c, int rings, int entries) throws IOException {
        try (Message m = c.ask(Request.GET_INFLIGHT_FD, new InflightSpec(0, 0, rings, entries).payload(), Connection.NO_DESCRIPTORS)) {
            InflightSpec told = m.inflight();
            if (told.size() == 0) {
                return null;
            }
            Fd file = m.takeDescriptor();
            boolean kept = false;
            try {
                Inflight i = new Inflight(file, new InflightSpec(told.size(), told.offset(), rings, entries));
                i.check();
                kept = true;
                return i;
            } finally {
                if (!kept) {
                    file.close();
                }
            }
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Whether the file has what was said of it. */
    void check() throws IOException {
        long bytes = org.vireo.posix.linux.SharedMemory.size(file);
        if (spec.size() < (long) PackedInflightLayout.HEADER * spec.queues() || spec.offset() < 0 || spec.size() > bytes - spec.offset()) {
            throw new IOException("the in-flight memory is said to have " + spec.size() + " bytes at " + spec.offset() + " for "
                    + spec.queues() + " rings, but its file has " + bytes);
        }
    }

    /** SET_INFLIGHT_FD. */
    void tell(Connection c) throws IOException {
        c.tell(Request.SET_INFLIGHT_FD, spec.payload(), List.of(file));
    }

    /**
     * Where a packed ring goes on that its back-end left without a word: what the driver sees returned ("When reconnecting").
     *
     * @param r a ring that was started
     * @param ring how
     * @param memory the guest's, where the ring lies
     * @return its position; null: the back-end died before it wrote anything, and where it was to begin is not known
     * @throws IOException the memory cannot be read, or what it says is impossible
     */
    RingPosition packedPosition(Ring r, VringSpec ring, GuestMemory memory) throws IOException {
        byte[] header = SharedBytes.read(file, spec.offset() + spec.size() / spec.queues() * r.index, PackedInflightLayout.HEADER);
        if (SharedBytes.u16(header, PackedInflightLayout.VERSION) == 0) {
            return r.told;
        }
        long word = MemorySegment.ofArray(header).get(ValueLayout.JAVA_LONG_UNALIGNED, PackedInflightLayout.USED);
        int at = PackedInflightLayout.oldUsed(word);
        int next = PackedInflightLayout.used(word);
        if (next != at && PackedInflightLayout.isCommitted(
                SharedBytes.descriptorFlags(memory, ring.descriptors(), at & PackedInflightLayout.INDEX), at)) {
            at = next;
        }
        if ((at & PackedInflightLayout.INDEX) >= ring.size()) {
            throw new IOException("the in-flight memory says that " + r + " of " + ring.size() + " entries is at "
                    + (at & PackedInflightLayout.INDEX));
        }
        return RingPosition.of(at, at);
    }

    @Override
    public void close() {
        file.close();
    }
}
