// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.posix.linux.EventFd;
import org.vireo.testsupport.device.DeviceMemory;
import org.vireo.testsupport.device.RingSetup;

/** Does what must not be done any more. */
final class Strays {
    private static final long LATER_NANOS = 60_000_000;
    private static final int HARMLESS = 2;

    private final RingFault fault;
    private long due;
    private DeviceMemory memory;
    private RingSetup ring;
    private Fd call;

    Strays(RingFault fault) {
        this.fault = fault;
    }

    /** A ring is being stopped: there will be something to do. */
    void stopped(RingSetup r, GuestMemory known, int index) throws IOException {
        if (index == 1 && (fault == RingFault.WRITES_AFTER_STOP || fault == RingFault.CALLS_AFTER_STOP)) {
            close();
            memory = DeviceMemory.of(known);
            ring = r;
            call = r.call() == null ? null : r.call().duplicate();
            due = System.nanoTime() + LATER_NANOS;
        }
    }

    /** Does it, if it is time. */
    void act() {
        if (memory == null || System.nanoTime() - due < 0) {
            return;
        }
        if (fault == RingFault.WRITES_AFTER_STOP) {
            RingPort.write(memory.user(ring.device()), HARMLESS);
        } else if (call != null) {
            EventFd.signal(call.number());
        }
        close();
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
                    LockSupport.parkNanos(LATER_NANOS);
                    RingPort.write(kept.user(r.device()), HARMLESS);
                });
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

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
