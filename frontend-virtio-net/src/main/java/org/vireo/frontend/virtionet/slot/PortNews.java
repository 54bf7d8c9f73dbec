// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import org.vireo.net.api.PortListener;

/** Takes one port's news until the port is closed. */
interface PortNews extends PortListener {
    /** From now on nothing is passed on; what was and has not been handled counts no more. */
    void end();
}
