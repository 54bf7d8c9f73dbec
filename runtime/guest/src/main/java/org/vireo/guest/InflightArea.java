// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import org.vireo.net.api.Fd;
import org.vireo.vhostuser.InflightSpec;

/**
 * Memory in which a device keeps what it has taken and not given back; a front-end keeps it for the next device.
 *
 * @param spec where it lies in the file, and for which rings
 * @param file the memory, which is the area's
 */
public record InflightArea(InflightSpec spec, Fd file) implements AutoCloseable {
    @Override
    public void close() {
        file.close();
    }
}
