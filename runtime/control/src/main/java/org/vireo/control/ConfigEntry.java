// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.nio.file.Path;
import java.util.Map;

/** A file of the configuration folder, and what became of it. With the folder's lock, or by a step of its own. */
final class ConfigEntry {
    /** Where a file is. */
    enum Stand {
        /** Its content is new. */
        OPEN,
        /** It works when something else has come. */
        WAITS,
        /** It does not work as it is. */
        REFUSED,
        /** Its id is somebody else's. */
        FOREIGN,
        /** Somebody else has deleted what it had made. */
        LEFT,
        /** What it asks for is so. */
        DONE
    }

    final Path file;
    /** What tells its content from another; null: it could not be read. */
    String content;
    /** What the content asks for, or the one before it that asked for something. */
    ConfigFile wanted;
    /** Whether the content asks for nothing that can be understood. */
    boolean wrong;
    /** Options of what it has made, or null. */
    Map<String, String> made;
    /** Options of what it had made when that went, without it. */
    Map<String, String> lost;
    Stand stand = Stand.OPEN;
    /** What was said about it last, so that it is said once. */
    String said = "";
    boolean removed;

    ConfigEntry(Path file) {
        this.file = file;
    }

    boolean isNic() {
        return wanted != null && wanted.isNic();
    }

    /** Whether something is to be done about it. */
    boolean isOpen() {
        return !removed && !wrong && (stand == Stand.OPEN || stand == Stand.WAITS);
    }

    /** Its content is another one, of which nothing is known yet. */
    void changed(String to) {
        content = to;
        said = "";
        stand = Stand.OPEN;
        wrong = true;
    }

    /** Its content is what it was: a touch asks for another try. */
    void again(boolean forLong) {
        if (stand == Stand.DONE) {
            stand = Stand.OPEN;
        } else if (!forLong && (stand == Stand.REFUSED || stand == Stand.FOREIGN) && !wrong) {
            said = "";
            stand = Stand.OPEN;
        }
    }

    /** What stood in its way may have gone. */
    void retry() {
        if (stand == Stand.REFUSED && made == null && !wrong) {
            stand = Stand.OPEN;
        }
    }
}
