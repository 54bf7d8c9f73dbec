// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.testsupport.device.DeviceMemory;
import org.vireo.testsupport.device.RingSetup;

/** Does what must not be done any more, again and again: whoever looks sees it, however late. */
final class Strays {
    private static final long PAUSE_NANOS = 5_000_000;
    /** Added to a ring's flags: it leaves the one that has a meaning. */
    private static final int HARMLESS = 2;

    private final RingFault fault;
    private final Path there;
    private DeviceMemory memory;
    private RingSetup ring;
    private Fd call;

    /**
     * Of a port.
     *
     * @param fault what it does wrong
     * @param there is there for as long as the other side is
     */
    Strays(RingFault fault, Path there) {
        this.fault = fault;
        this.there = there;
    }

    /** A ring is being stopped: there is something to do, until it is started again. */
    void stopped(RingSetup r, GuestMemory known, int index) throws IOException {
        if (index == 1 && (fault == RingFault.WRITES_AFTER_STOP || fault == RingFault.CALLS_AFTER_STOP)) {
            close();
            memory = DeviceMemory.of(known);
            ring = r;
            call = r.call() == null ? null : r.call().duplicate();
        }
    }

    /** Does it, if there is something to do. */
    void act() {
        if (memory == null) {
            return;
        }
        if (fault == RingFault.WRITES_AFTER_STOP) {
            write(memory.user(ring.device()));
        } else if (call != null) {
            EventFd.signal(call.number());
        }
    }

    /** The port is being closed. */
    void closing(RingSetup r, GuestMemory known) {
        if (r == null || known == null || fault != RingFault.WRITES_AFTER_CLOSE && fault != RingFault.CLOSE_LEAKS_MEMORY) {
            return;
        }
        try {
            DeviceMemory kept = DeviceMemory.of(known);
            if (fault == RingFault.WRITES_AFTER_CLOSE) {
                Thread.ofPlatform().daemon().name("stray").start(() -> {
                    try (kept) {
                        while (Files.exists(there)) {
                            write(kept.user(r.device()));
                            LockSupport.parkNanos(PAUSE_NANOS);
                        }
                    }
                });
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Each time another value than any before. */
    private static void write(long at) {
        MemorySegment m = SharedMemory.addressSpace();
        m.set(ValueLayout.JAVA_SHORT, at, (short) (m.get(ValueLayout.JAVA_SHORT, at) + HARMLESS));
    }

    /** Ends what {@link #stopped} began. */
    void close() {
        if (memory != null) {
            memory.close();
            memory = null;
        }
        if (call != null) {
            call.close();
            call = null;
        }
    }
}
