// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import org.vireo.net.api.Fd;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.ReceiveWindow;

/**
 * The same queue as another object.
 *
 * @param queue the queue
 */
record OtherDescriptor(FrameQueue queue) implements FrameQueue {
    @Override
    public Fd events() {
        return queue.events();
    }

    @Override
    public int transmit(FrameBatch batch) throws NetdevException {
        return queue.transmit(batch);
    }

    @Override
    public int receive(ReceiveWindow window) throws NetdevException {
        return queue.receive(window);
    }
}
