// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What the kernel knows of the connections to a path that somebody listens on (/proc/net/unix, proc(5)): most back-ends serve one
 * front-end, and where they have one they do not say so. They leave the next connection in the listener's queue, or accept it and are
 * silent, or hang up.
 *
 * @param accepted connections that were accepted and that both sides still hold
 * @param waiting those that nobody has accepted, also of front-ends that have hung up meanwhile
 */
record Occupancy(int accepted, int waiting) {
    private static final String CONNECTED = "03";
    /** The other half of a connection is there before somebody accepts it, but is nobody's. */
    private static final String CONNECTING = "02";
    private static final int REFERENCES = 1;
    private static final int STATE = 5;
    private static final int PATH = 7;
    private static final int COLUMNS = 8;
    /** Its own, that of who looks, and that of the other side until it closes. */
    private static final int WITH_PEER = 3;
    private static final String REMEDY = ", and may serve one front-end only: 'ss -xp' names the other; end that, or give this netdev a"
            + " back-end of its own";
    private static final Path TABLE = Path.of("/proc/net/unix");

    /** Reads the whole table: not to be asked where nothing can come of it. */
    static Occupancy of(String path) {
        try {
            // paths are bytes of any charset
            return of(path, Files.readAllLines(TABLE, StandardCharsets.ISO_8859_1));
        } catch (IOException e) {
            return new Occupancy(0, 0);
        }
    }

    static Occupancy of(String path, List<String> table) {
        String bytes = new String(path.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
        int accepted = 0;
        int waiting = 0;
        for (String line : table) {
            if (!line.endsWith(bytes)) {
                continue; // cheap: a machine may have thousands
            }
            String[] columns = line.strip().split(" +", COLUMNS);
            if (columns.length == COLUMNS && columns[PATH].equals(bytes)) {
                accepted += columns[STATE].equals(CONNECTED) && Integer.parseInt(columns[REFERENCES], 16) >= WITH_PEER ? 1 : 0;
                waiting += columns[STATE].equals(CONNECTING) ? 1 : 0;
            }
        }
        return new Occupancy(accepted, waiting);
    }

    /** What that means for a connection that was not answered, or not even made since the queue is full. */
    String ofSilence(String who) {
        if (waiting > 0 && accepted > 0) {
            return "; " + who + " has not accepted it, but " + others(accepted) + " before" + REMEDY;
        }
        if (waiting > 0) {
            return "; " + who + " accepts no connection: it is stuck, stopped or not ready yet";
        }
        return accepted > 1 ? "; " + who + " has accepted it and " + others(accepted - 1) + " before" + REMEDY : "";
    }

    /** What that means for a connection that was closed before it was of any use. */
    String ofEnd(String who) {
        return accepted > 0 ? "; " + who + " has " + others(accepted) + REMEDY : "";
    }

    private static String others(int n) {
        return n == 1 ? "another connection" : n + " other connections";
    }
}
