// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** Makes {@link Fd}s. Any thread. */
@ProviderType
public interface Fds {
    /**
     * Takes ownership of a number that was just opened by the caller.
     *
     * @param number an open descriptor that nobody else closes
     * @param purpose what it is, for messages: {@code "tap0 queue 1"}
     * @return the descriptor
     * @throws IllegalArgumentException the number is negative or not open
     */
    Fd adopt(int number, String purpose);
}
