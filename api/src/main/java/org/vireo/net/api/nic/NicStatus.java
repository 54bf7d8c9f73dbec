// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.Map;
import org.osgi.annotation.versioning.ProviderType;

/** A NIC at one moment. */
@ProviderType
public interface NicStatus {
    /**
     * The NIC's id.
     *
     * @return the id
     */
    String id();

    /**
     * The netdev's id.
     *
     * @return the id, or an empty text
     */
    String netdev();

    /**
     * Where it is in its life.
     *
     * @return the state
     */
    NicState state();

    /**
     * Why it is there, if that is not plain.
     *
     * @return a reason, or an empty text
     */
    String why();

    /**
     * Its options, explicit ones and defaults.
     *
     * @return an unmodifiable map
     */
    Map<String, String> options();

    /**
     * The VMM's process.
     *
     * @return its pid, or 0
     */
    long vmmPid();

    /**
     * What the driver acknowledged.
     *
     * @return virtio feature bits
     */
    long features();

    /**
     * How often it changed hands.
     *
     * @return epoch of the ownership word
     */
    long epoch();

    /**
     * Counters: {@code transmit-frames}, {@code receive-frames}, {@code drop-...} and so on; those of the backend too.
     *
     * @return an unmodifiable map in order
     */
    Map<String, Long> counters();
}
