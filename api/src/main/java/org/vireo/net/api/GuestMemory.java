// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.List;
import org.osgi.annotation.versioning.ProviderType;

/** A guest's memory as the VMM shares it. Immutable. */
@ProviderType
public interface GuestMemory {
    /**
     * The regions; none overlaps another.
     *
     * @return an unmodifiable list
     */
    List<Region> regions();

    /** One region. */
    @ProviderType
    interface Region {
        /**
         * Where the guest sees it.
         *
         * @return guest physical address
         */
        long guestAddress();

        /**
         * Its length.
         *
         * @return bytes
         */
        long bytes();

        /**
         * Where the VMM sees it: an opaque number.
         *
         * @return address in the VMM
         */
        long userAddress();

        /**
         * Where it begins in the file.
         *
         * @return offset in bytes
         */
        long fileOffset();

        /**
         * The file, owned by the system.
         *
         * @return the descriptor
         */
        Fd file();
    }
}
