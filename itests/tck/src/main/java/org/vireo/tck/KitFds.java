// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;

/** Descriptors that stay open until they are closed: one that is lost would be closed by the garbage collector, and never be missed. */
final class KitFds implements Fds {
    private static final Set<Fd> OPEN = ConcurrentHashMap.newKeySet();

    private final Fds system = new Descriptors();

    @Override
    public Fd adopt(int number, String purpose) {
        return new Kept(system.adopt(number, purpose));
    }

    private static final class Kept implements Fd {
        private final Fd fd;

        Kept(Fd fd) {
            this.fd = fd;
            OPEN.add(this);
        }

        @Override
        public int number() {
            return fd.number();
        }

        @Override
        public Fd duplicate() throws IOException {
            return new Kept(fd.duplicate());
        }

        @Override
        public boolean isOpen() {
            return fd.isOpen();
        }

        @Override
        public void close() {
            OPEN.remove(this);
            fd.close();
        }

        @Override
        public String toString() {
            return fd.toString();
        }
    }
}
