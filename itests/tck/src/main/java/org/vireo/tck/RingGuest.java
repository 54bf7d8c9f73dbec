// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.VringPort;

/**
 * In front of a port that takes the rings: the guest and the frontend, as the port sees them. Each call is timed. The rings go from port to
 * port as in the system: they are stopped here, and go on there where they were.
 */
final class RingGuest extends KitGuest {
    /** VringPort: "with a deadline of two seconds". */
    private static final long DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final VringPort port;
    private final Shared shared;
    private boolean told;
    private boolean opened;
    private boolean mayRun;
    private long longestNanos;

    /** What does not belong to one port: the guest's driver, and where its rings are. */
    private static final class Shared {
        final KitDriver driver;
        final List<RingPosition> positions = new ArrayList<>();
        RingGuest holder;
        /** Who had them last: its threads stand still while somebody else has them. */
        RingGuest last;

        Shared(KitDriver driver, int begin) {
            this.driver = driver;
            driver.rings().forEach(r -> positions.add(RingPosition.of(begin, begin)));
        }
    }

    /** A call to the port. */
    interface Call {
        void run() throws NetdevException, IOException;
    }

    /** In front of a port that was opened. */
    RingGuest(VringPort port, KitContext context, int pairs, KitDriver driver, int begin) {
        this(port, context, pairs, new Shared(driver, begin));
        opened = true;
    }

    private RingGuest(VringPort port, KitContext context, int pairs, Shared shared) {
        super(port, context, pairs);
        this.port = port;
        this.shared = shared;
    }

    VringPort rings() {
        return port;
    }

    KitDriver driver() {
        return shared.driver;
    }

    RingPosition position(int ring) {
        return shared.positions.get(ring);
    }

    /** Calls the port; how long that takes is noted. */
    void call(Call c) throws NetdevException, IOException {
        long begin = System.nanoTime();
        try {
            c.run();
        } finally {
            longestNanos = Math.max(longestNanos, System.nanoTime() - begin);
        }
    }

    /** The longest call so far. */
    long longestNanos() {
        return longestNanos;
    }

    static long deadlineNanos() {
        return DEADLINE_NANOS;
    }

    /** Tells all that rings need before they are started. */
    void tell() throws Exception {
        call(() -> port.apply(TckSupport.settings(port, pairs())));
        call(() -> port.features(shared.driver.features()));
        memory(shared.driver.ram().memory());
        if (!opened) {
            call(() -> port.log(null));
        }
        told = true;
    }

    void memory(GuestMemory m) throws Exception {
        call(() -> port.memory(m));
    }

    @Override
    void forget() {
        shared.driver.close();
    }

    @Override
    void begin() throws Exception {
        hold();
    }

    /** Brings the rings here, wherever they are. */
    private void hold() throws Exception {
        assertFalse(isClosed(), "the kit uses a port that it has closed");
        if (shared.holder == this) {
            return;
        }
        if (shared.holder != null && !mayRun) {
            shared.holder.still();
        }
        if (shared.last != null && shared.last != this) {
            shared.last.quiesce();
        }
        shared.last = this;
        goOn();
        if (!told) {
            tell();
            for (int i = 0; i < shared.positions.size(); i++) {
                enable(i, true);
            }
        }
        shared.holder = this;
        for (int i = 0; i < shared.positions.size(); i++) {
            start(i);
        }
        mayRun = false;
    }

    /** Starts a ring where it is. */
    void start(int ring) throws Exception {
        KitRing r = shared.driver.ring(ring);
        start(ring, r.kick(), r.call());
    }

    void start(int ring, Fd kick, Fd call) throws Exception {
        shared.holder = this;
        call(() -> port.start(ring, shared.driver.ring(ring).spec(position(ring), mayRun, kick, call)));
    }

    /** Stops a ring, and notes where it is. */
    void stop(int ring) throws Exception {
        RingPosition[] at = {null};
        call(() -> at[0] = port.stop(ring));
        isAt(ring, at[0]);
    }

    private void isAt(int ring, RingPosition told) {
        int used = shared.driver.ring(ring).usedIndex();
        shared.positions.set(ring, told == null ? RingPosition.of(used, used) : told);
    }

    /** Where all rings are, for another process. */
    String positions() {
        return shared.positions.stream().map(WiredRings::text).collect(Collectors.joining(" "));
    }

    /** Where another process says that they are. */
    void positions(String told) {
        String[] all = told.split(" ");
        for (int i = 0; i < all.length; i++) {
            isAt(i, WiredRings.position(all[i]));
        }
    }

    void enable(int ring, boolean on) throws Exception {
        call(() -> port.enable(ring, on));
    }

    @Override
    void still() throws Exception {
        if (shared.holder == this) {
            if (!isClosed()) {
                for (int i = 0; i < shared.positions.size(); i++) {
                    stop(i);
                }
            }
            shared.holder = null;
        }
    }

    /** It is left with running rings, as by a process that is killed. */
    void die() {
        close(NetPort.Disposal.LEAVE);
    }

    /** What its former owner left may run. */
    RingGuest inherits() {
        mayRun = true;
        return this;
    }

    @Override
    void transmit(int pair, int first, int last) throws Exception {
        hold();
        shared.driver.transmit(pair, first, last);
    }

    @Override
    void expectReceived(int first, int last) throws Exception {
        hold();
        shared.driver.expectReceived(pairs(), first, last);
    }

    @Override
    RingGuest before(NetPort loaded, KitContext with) {
        return new RingGuest((VringPort) loaded, with, pairs(), shared);
    }
}
