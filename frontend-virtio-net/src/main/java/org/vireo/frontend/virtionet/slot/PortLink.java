// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

/**
 * A port's link.
 *
 * @param up whether it is up
 * @param why it is not, in the backend's words; empty: it did not say
 */
public record PortLink(boolean up, String why) {
    private static final int MOST_CHARACTERS = 2_000;

    /** What a backend said, who may say anything. */
    static PortLink down(String why) {
        return new PortLink(false, why == null ? "" : why.length() > MOST_CHARACTERS ? why.substring(0, MOST_CHARACTERS) + "..." : why);
    }
}
