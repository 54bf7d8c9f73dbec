// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.BitSet;
import org.vireo.net.api.PortSettings;

/**
 * How a port was used by the NIC that had it last, for the one that gets it.
 *
 * @param port the port, or null: nothing is known
 * @param settings those that are in force there, null: not known
 * @param pairs whose queues are in use, as far as that is known
 */
public record PortUse(OpenedPort port, PortSettings settings, BitSet pairs) {
    /** Nothing is known. */
    public static final PortUse UNKNOWN = new PortUse(null, null, new BitSet());

    /** A copy, which nobody changes. */
    public PortUse {
        pairs = (BitSet) pairs.clone();
    }

    @Override
    public BitSet pairs() {
        return (BitSet) pairs.clone();
    }

    /**
     * The settings that a port is known to have.
     *
     * @param of the port
     * @return null: it has to be told
     */
    public PortSettings settings(OpenedPort of) {
        return of == port ? settings : null;
    }
}
