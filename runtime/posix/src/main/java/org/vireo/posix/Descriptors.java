// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import org.osgi.service.component.annotations.Component;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.internal.OwnedFd;

/** Makes {@link Fd}s: the service, and the same for those who run without a framework. */
@Component
public final class Descriptors implements Fds {
    /** A maker of descriptors; it has no state. */
    public Descriptors() {
        // nothing to set up
    }

    /**
     * Whether a descriptor is one of those made here. Others are somebody's own code, and may tell any number.
     *
     * @param fd a descriptor, or null
     * @return whether
     */
    public static boolean made(Fd fd) {
        return fd instanceof OwnedFd;
    }

    @Override
    public Fd adopt(int number, String purpose) {
        if (number < 0 || !Posix.isOpen(number)) {
            throw new IllegalArgumentException(purpose + ": descriptor " + number + " is not open");
        }
        return new OwnedFd(number, purpose);
    }
}
