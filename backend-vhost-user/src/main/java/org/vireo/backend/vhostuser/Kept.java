// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.DirtyLog;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringSpec;

/** What a port was told and has to tell the next back-end too: with descriptors of its own, as those that it is given are only lent. */
final class Kept {
    private Kept() {
    }

    /**
     * Another descriptor of the same file; null of null.
     *
     * @throws NetdevException this process has no more: that is no fault of the back-end
     */
    static Fd copy(Fd fd) throws NetdevException {
        try {
            return fd == null ? null : fd.duplicate();
        } catch (IOException e) {
            throw new NetdevException("what a back-end is to be told cannot be kept: " + e.getMessage(), e);
        }
    }

    static void close(Fd fd) {
        if (fd != null) {
            fd.close();
        }
    }

    /** A guest's memory. */
    record Memory(List<GuestMemory.Region> regions) implements GuestMemory, AutoCloseable {
        static Memory of(GuestMemory given) throws NetdevException {
            List<GuestMemory.Region> all = new ArrayList<>();
            try {
                for (GuestMemory.Region r : given.regions()) {
                    all.add(new KeptRegion(r.guestAddress(), r.bytes(), r.userAddress(), r.fileOffset(), copy(r.file())));
                }
            } catch (NetdevException e) {
                all.forEach(r -> r.file().close());
                throw e;
            }
            return new Memory(List.copyOf(all));
        }

        @Override
        public void close() {
            regions.forEach(r -> r.file().close());
        }
    }

    private record KeptRegion(long guestAddress, long bytes, long userAddress, long fileOffset, Fd file) implements GuestMemory.Region { }

    /** A log of written pages. */
    record Log(Fd file, long offset, long bytes, Fd event) implements DirtyLog, AutoCloseable {
        static Log of(DirtyLog given) throws NetdevException {
            if (given == null) {
                return null;
            }
            Fd file = copy(given.file());
            try {
                return new Log(file, given.offset(), given.bytes(), copy(given.event()));
            } catch (NetdevException e) {
                file.close();
                throw e;
            }
        }

        @Override
        public void close() {
            file.close();
            Kept.close(event);
        }
    }

    /** How a ring was started; its call descriptor is kept apart, since it may be replaced. */
    record Vring(int size, long descriptors, long driver, long device, long log, RingPosition position, boolean mayRun, Fd kick, Fd call)
            implements VringSpec, AutoCloseable {
        static Vring of(VringSpec s) throws NetdevException {
            return new Vring(s.size(), s.descriptors(), s.driver(), s.device(), s.log(), s.position(), s.mayRun(), copy(s.kick()), null);
        }

        @Override
        public void close() {
            Kept.close(kick);
        }
    }
}
