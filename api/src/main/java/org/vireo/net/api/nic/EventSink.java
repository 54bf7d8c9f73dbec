// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.Map;
import org.osgi.annotation.versioning.ConsumerType;

/** Takes events of NICs, netdevs and handovers: register it as a service. Any thread; calls must not block. */
@ConsumerType
public interface EventSink {
    /**
     * Something happened.
     *
     * @param name upper case, words joined by underscores, as in QMP: {@code NIC_STATE}
     * @param data values are String, Long, Boolean, List, Map
     */
    void event(String name, Map<String, ?> data);
}
