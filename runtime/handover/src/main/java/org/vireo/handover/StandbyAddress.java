// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import org.vireo.net.api.nic.NicException;

/**
 * Where processes stand by for one another, as people write it: {@code unix:PATH[,fence=auto|off]}.
 *
 * @param uri {@code unix:PATH}
 * @param fences whether a standby fences an active process that stands still
 */
record StandbyAddress(String uri, boolean fences) {
    private static final String FENCE = ",fence=";

    static StandbyAddress parse(String text) throws NicException {
        int at = text.lastIndexOf(FENCE);
        if (at < 0) {
            if (text.matches(".*,[a-z-]+=[^/]*")) {
                throw new NicException("\"" + text + "\": after the path there may be fence=auto or fence=off, nothing else");
            }
            return new StandbyAddress(text, false);
        }
        String value = text.substring(at + FENCE.length());
        return switch (value) {
            case "auto" -> new StandbyAddress(text.substring(0, at), true);
            case "off" -> new StandbyAddress(text.substring(0, at), false);
            default -> throw new NicException("\"" + text + "\": fence=" + value + " is neither auto nor off");
        };
    }
}
