// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.util.ArrayList;
import java.util.List;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/**
 * One case of the matrix of peers: something that others have made is attached to Vireo, and has to work.
 *
 * @param peer who
 * @param what what is done with it
 * @param quick whether it belongs to the short run too
 * @param needs pairs of a command and the package that has it
 * @param body does it
 */
record PeerCase(String peer, String what, boolean quick, List<String> needs, Body body) {
    /** Does a case. */
    @FunctionalInterface
    interface Body {
        /**
         * Does it.
         *
         * @param stage what is made for it; struck afterwards
         * @param image what Linux guests boot
         * @return what was seen
         * @throws BenchException something is not as it must be
         */
        String run(Stage stage, GuestImage image) throws BenchException;
    }

    /** As a table names it. */
    String line() {
        return peer + ": " + what;
    }

    /** Which commands are missing, with their packages. */
    List<String> missing() {
        List<String> m = new ArrayList<>();
        for (int i = 0; i < needs.size(); i += 2) {
            if (Tools.find(needs.get(i)) == null) {
                m.add(needs.get(i) + " (package " + needs.get(i + 1) + ")");
            }
        }
        return m;
    }

    /** All of them. */
    static List<PeerCase> all() {
        List<PeerCase> all = new ArrayList<>();
        LinuxGuestCases.addTo(all);
        DpdkGuestCases.addTo(all);
        BackEndCases.addTo(all);
        return all;
    }
}
