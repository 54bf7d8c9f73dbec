// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.EventFd;

/**
 * Descriptors that are valid for one call: duplicates, which are closed when it has ended. Then their numbers belong to event counters of
 * the kit that nobody signals, so that whoever keeps a number and uses it later is noticed.
 */
final class KitLoan implements AutoCloseable {
    private final Fds fds;
    private final List<Fd> lent = new ArrayList<>();
    private final List<Fd> strangers = new ArrayList<>();

    KitLoan(Fds fds) {
        this.fds = fds;
    }

    Fd of(Fd own) throws IOException {
        if (own == null) {
            return null;
        }
        Fd d = own.duplicate();
        lent.add(d);
        return d;
    }

    /** The call has ended. */
    void end() throws IOException {
        lent.forEach(Fd::close);
        for (int i = 0; i < lent.size() + 2; i++) {
            strangers.add(EventFd.create(fds, "the kit's stranger"));
        }
    }

    /** Nobody has signalled or read what has the numbers now. */
    void expectUntouched() {
        for (Fd s : strangers) {
            assertEquals(0, EventFd.drain(s.number()), "something was written to a descriptor that has the number of one which was lent"
                    + " for a call that had ended");
        }
    }

    @Override
    public void close() {
        lent.forEach(Fd::close);
        strangers.forEach(Fd::close);
    }
}
