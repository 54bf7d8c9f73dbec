// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Frames both ways between a rehearsal's driver and the far end of a stand-in for a port's queue. */
public final class RehearsalTraffic {
    private static final int BURST = 64;
    private static final long PATIENCE_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private final RehearsalDriver driver;

    /**
     * Traffic of a driver, whose buffers are all posted from now on.
     *
     * @param driver the driver
     */
    public RehearsalTraffic(RehearsalDriver driver) {
        this.driver = driver;
        driver.post(0, RehearsalDriver.SIZE);
    }

    /**
     * Moves frames.
     *
     * @param rounds how often a burst goes each way
     * @param farEnd number of the far end's descriptor
     * @param goesOn whether there is still somebody to move them
     * @return how many were moved
     */
    public long move(int rounds, int farEnd, BooleanSupplier goesOn) {
        long moved = 0;
        for (int round = 0; round < rounds && goesOn.getAsBoolean(); round++) {
            driver.post(1, Math.min(BURST, driver.free(1)));
            int fed = driver.feed(farEnd, BURST);
            int back = 0;
            long patience = System.nanoTime() + PATIENCE_NANOS;
            while (back < fed && System.nanoTime() < patience) {
                driver.drain(farEnd);
                moved += driver.reclaim(1);
                int n = driver.reclaim(0);
                if (n == 0) {
                    LockSupport.parkNanos(1000);
                } else {
                    back += n;
                    driver.post(0, n);
                }
            }
            moved += back;
        }
        return moved;
    }
}
