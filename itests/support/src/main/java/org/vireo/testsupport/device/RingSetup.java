// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport.device;

import java.io.IOException;
import org.vireo.net.api.Fd;
import org.vireo.net.api.VringSpec;

/**
 * Where a ring of a {@link TestDevice} is and where it goes on.
 *
 * @param size entries
 * @param descriptors the VMM's address of the descriptor table
 * @param driver the VMM's address of the available ring
 * @param device the VMM's address of the used ring
 * @param log guest physical address where the used ring is logged; -1: not at all
 * @param available next entry of the driver to look at
 * @param used next entry to give back
 * @param kick the driver's kicks, the device's own descriptor; null: it polls
 * @param call the driver's calls, the device's own descriptor; null: none
 */
public record RingSetup(int size, long descriptors, long driver, long device, long log, int available, int used, Fd kick, Fd call) {
    /**
     * The setup of a ring that a port is told to start.
     *
     * @param s what it was told
     * @return a setup with duplicates of the descriptors
     * @throws IOException no descriptor left
     */
    public static RingSetup of(VringSpec s) throws IOException {
        Fd kick = s.kick() == null ? null : s.kick().duplicate();
        boolean done = false;
        try {
            Fd call = s.call() == null ? null : s.call().duplicate();
            done = true;
            return new RingSetup(s.size(), s.descriptors(), s.driver(), s.device(), s.log(), s.position().available(), s.position().used(),
                    kick, call);
        } finally {
            if (!done && kick != null) {
                kick.close();
            }
        }
    }

    /**
     * The same ring at another place.
     *
     * @param index next entry to look at, and to give back
     * @return the setup, with the same descriptors
     */
    public RingSetup at(int index) {
        return new RingSetup(size, descriptors, driver, device, log, index, index, kick, call);
    }

    /**
     * The same ring with another call descriptor.
     *
     * @param now the device's own
     * @return the setup
     */
    public RingSetup called(Fd now) {
        return new RingSetup(size, descriptors, driver, device, log, available, used, kick, now);
    }

    /**
     * The same ring, logged elsewhere.
     *
     * @param guest guest physical address of its used ring; -1: not at all
     * @return the setup
     */
    public RingSetup logged(long guest) {
        return new RingSetup(size, descriptors, driver, device, guest, available, used, kick, call);
    }
}
