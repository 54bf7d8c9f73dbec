// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.util.StringJoiner;

/** Turns masks into words. */
final class BitNames {
    private BitNames() {
    }

    static String of(long mask, String[] names) {
        StringJoiner j = new StringJoiner(" ");
        for (int bit = 0; bit < 64; bit++) {
            if ((mask >>> bit & 1) != 0) {
                j.add(bit < names.length && names[bit] != null ? names[bit] : "bit " + bit);
            }
        }
        return mask == 0 ? "none" : j.toString();
    }
}
