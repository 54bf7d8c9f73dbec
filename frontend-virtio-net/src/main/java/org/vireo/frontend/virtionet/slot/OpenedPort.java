// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.PortProfile;

/**
 * A port with what stays the same for its life, asked for once on the backend's thread: so that neither the NIC's actor nor a worker
 * calls a backend's code for it.
 *
 * @param port the port
 * @param profile what it can do
 * @param queues one for each pair of the NIC
 * @param events the queues' descriptors
 */
public record OpenedPort(FramePort port, PortProfile profile, List<FrameQueue> queues, List<Fd> events) {
    static OpenedPort of(FramePort port, PortProfile profile, int pairs) {
        List<FrameQueue> queues = new ArrayList<>();
        List<Fd> events = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            queues.add(port.queue(i));
            events.add(queues.get(i).events());
        }
        return new OpenedPort(port, profile, List.copyOf(queues), List.copyOf(events));
    }
}
