// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.RingPosition;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.Request;

/**
 * The memory in which a back-end notes what it has taken and not returned ("Inflight I/O tracking"). It survives the back-end; the next
 * one reads what the last one left. The part of packed rings that is read here, each at a whole part of the region's size:
 *
 * <pre>
 *  0          8         10         12          14              16         18             20          21
 *  | features | version | desc_num | free_head | old_free_head | used_idx | old_used_idx | used_wrap | old_used_wrap |
 * </pre>
 *
 * @param file the memory
 * @param spec where in it, and for how many rings of how many entries
 */
record Inflight(Fd file, InflightSpec spec) implements AutoCloseable {
    private static final int HEADER_BYTES = 22;
    private static final int OLD_USED_INDEX = 18;
    private static final int OLD_USED_WRAP = 21;

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
        if (spec.size() < (long) HEADER_BYTES * spec.queues() || spec.offset() < 0 || spec.size() > bytes - spec.offset()) {
            throw new IOException("the in-flight memory is said to have " + spec.size() + " bytes at " + spec.offset() + " for "
                    + spec.queues() + " rings, but its file has " + bytes);
        }
    }

    /** SET_INFLIGHT_FD. */
    void tell(Connection c) throws IOException {
        c.tell(Request.SET_INFLIGHT_FD, spec.payload(), List.of(file));
    }

    /** Where a packed ring goes on: what the driver has seen returned. */
    RingPosition packedPosition(int ring) throws IOException {
        byte[] b = SharedBytes.read(file, spec.offset() + spec.size() / spec.queues() * ring, HEADER_BYTES);
        int index = SharedBytes.u16(b, OLD_USED_INDEX) & 0x7fff | (b[OLD_USED_WRAP] != 0 ? 0x8000 : 0);
        return RingPosition.of(index, index);
    }

    @Override
    public void close() {
        file.close();
    }
}
