// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ConsumerType;

/** A port whose frames pass through the frontend. */
@ConsumerType
public interface FramePort extends NetPort {
    /**
     * The queue of a pair. The same object each time.
     *
     * @param pair 0 to {@link PortProfile#pairs()} - 1
     * @return the queue
     */
    FrameQueue queue(int pair);
}
