// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.PosixException;

/** epoll(7): level, edge, one-shot, data, removal. */
@Timeout(60)
class EpollTest {
    private final Descriptors fds = new Descriptors();
    private Epoll epoll;
    private Fd event;

    @BeforeEach
    void open() throws IOException {
        epoll = new Epoll(fds, 8);
        event = EventFd.create(fds, "event");
    }

    @AfterEach
    void close() {
        event.close();
        epoll.close();
    }

    @Test
    void levelReportsTheStateUntilItIsTaken() throws Exception {
        epoll.add(event, Epoll.IN, 0x1234_5678_9abc_def0L);
        assertEquals(0, epoll.await(0));
        EventFd.signal(event.number());
        for (int look = 0; look < 3; look++) {
            assertEquals(1, epoll.await(1_000));
            assertEquals(Epoll.IN, epoll.events(0));
            assertEquals(0x1234_5678_9abc_def0L, epoll.data(0));
        }
        assertEquals(1, EventFd.drain(event.number()));
        assertEquals(0, epoll.await(0));
        epoll.remove(event);
    }

    @Test
    void edgeReportsEachSignalOnceWithoutReading() throws Exception {
        epoll.add(event, Epoll.IN | Epoll.EDGE, 7);
        EventFd.signal(event.number());
        assertEquals(1, epoll.await(1_000));
        assertEquals(0, epoll.await(0));
        EventFd.signal(event.number());
        assertEquals(1, epoll.await(1_000), "a signal on top of an unread one is an edge too");
        assertEquals(7, epoll.data(0));
        assertEquals(0, epoll.await(0));
        epoll.remove(event);
    }

    @Test
    void edgeReportsAtOnceWhatWasThereBefore() throws Exception {
        EventFd.signal(event.number());
        epoll.add(event, Epoll.IN | Epoll.EDGE, 1);
        assertEquals(1, epoll.await(0));
        assertEquals(0, epoll.await(0));
        epoll.modify(event, Epoll.IN | Epoll.EDGE, 2);
        assertEquals(1, epoll.await(0), "modify looks anew");
        assertEquals(2, epoll.data(0));
        epoll.remove(event);
    }

    @Test
    void oneShotWaitsToBeModified() throws Exception {
        epoll.add(event, Epoll.IN | Epoll.ONESHOT, 1);
        EventFd.signal(event.number());
        assertEquals(1, epoll.await(1_000));
        EventFd.signal(event.number());
        assertEquals(0, epoll.await(0));
        epoll.modify(event, Epoll.IN | Epoll.ONESHOT, 1);
        assertEquals(1, epoll.await(0));
        epoll.remove(event);
    }

    @Test
    void eachEventHasItsOwnData() throws Exception {
        Fd second = EventFd.create(fds, "second");
        epoll.add(event, Epoll.IN, Long.MIN_VALUE);
        epoll.add(second, Epoll.IN | Epoll.OUT, -1);
        EventFd.signal(event.number());
        EventFd.signal(second.number());
        assertEquals(2, epoll.await(1_000));
        var seen = new TreeSet<String>();
        for (int i = 0; i < 2; i++) {
            seen.add(epoll.data(i) + ":" + epoll.events(i));
        }
        assertEquals(new TreeSet<>(java.util.List.of(Long.MIN_VALUE + ":" + Epoll.IN, "-1:" + (Epoll.IN | Epoll.OUT))), seen);
        epoll.remove(event);
        epoll.remove(second);
        second.close();
    }

    @Test
    void hangUpIsReportedUnasked() throws Exception {
        Fd[] pair = UnixSockets.pair(fds, 1, true, "pair");
        epoll.add(pair[0], Epoll.RDHUP, 1);
        assertEquals(0, epoll.await(0));
        pair[1].close();
        assertEquals(1, epoll.await(1_000));
        assertTrue((epoll.events(0) & Epoll.HUP) != 0 && (epoll.events(0) & Epoll.RDHUP) != 0, "events " + epoll.events(0));
        epoll.remove(pair[0]);
        pair[0].close();
    }

    @Test
    void removedItIsSilentAlthoughItsFileLivesOn() throws Exception {
        Fd duplicate = event.duplicate();
        epoll.add(event, Epoll.IN, 1);
        epoll.remove(event);
        EventFd.signal(duplicate.number());
        assertEquals(0, epoll.await(0));
        duplicate.close();
    }

    @Test
    void removingOrModifyingAStrangerIsAnErrorAndCountsNothing() throws Exception {
        assertEquals(Errno.ENOENT, assertThrows(PosixException.class, () -> epoll.remove(event)).errno());
        assertEquals(Errno.ENOENT, assertThrows(PosixException.class, () -> epoll.modify(event, Epoll.IN, 1)).errno());
        epoll.add(event, Epoll.IN, 1);
        assertEquals(Errno.EEXIST, assertThrows(PosixException.class, () -> epoll.add(event, Epoll.IN, 1)).errno());
        // Neither failure may have moved the count that guards close(): registered once, so refused; removed once, so free.
        assertThrows(IllegalStateException.class, event::close);
        epoll.remove(event);
        event.close();
    }
}
