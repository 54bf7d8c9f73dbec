// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.util.List;
import org.vireo.net.api.Fd;

/**
 * A TAP as it was just opened: the first queue attached, the others not.
 *
 * @param facts what was probed
 * @param queues a descriptor for each queue pair
 * @param headerLength the header's length now
 * @param offload the TUN_F_ bits now, or {@link TapControl#UNKNOWN}
 * @param linkUp whether the interface is up and has a carrier, as far as can be seen from here
 */
record OpenedTap(TapFacts facts, List<Fd> queues, int headerLength, int offload, boolean linkUp) {
}
