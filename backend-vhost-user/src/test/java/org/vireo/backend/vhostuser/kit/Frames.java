// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser.kit;

import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.vireo.testsupport.device.TestDevice;

/** The network behind a back-end: two queues. Any thread. */
final class Frames implements TestDevice.Outside {
    private final BlockingQueue<byte[]> toGuest = new LinkedBlockingQueue<>();
    private final BlockingQueue<byte[]> fromGuest = new LinkedBlockingQueue<>();

    void toGuest(byte[] frame) {
        toGuest.add(frame);
    }

    /** The next frame from the guest, or null: none came in time. */
    byte[] fromGuest(Duration limit) {
        try {
            return fromGuest.poll(limit.toNanos(), TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
    }

    @Override
    public void send(byte[] frame) {
        fromGuest.add(frame);
    }

    @Override
    public byte[] next() {
        return toGuest.poll();
    }
}
