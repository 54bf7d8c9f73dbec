// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * The folder that Vireo is installed in: {@code lib/} is the launcher's class path, {@code bundles/LEVEL/} holds the bundles in the
 * order in which they are started; those of level 0 are installed only.
 *
 * @param folder the folder
 */
record Distribution(Path folder) {
    /** The highest level. */
    static final int HIGHEST = 9;

    /**
     * The distribution that the process was started from.
     *
     * @return what the system property {@code vireo.home} says, or the folder above the launcher's jar
     */
    static Distribution current() {
        String home = System.getProperty("vireo.home");
        if (home != null) {
            return new Distribution(Path.of(home));
        }
        String jar = Distribution.class.getProtectionDomain().getCodeSource().getLocation().getPath();
        return new Distribution(Path.of(jar).resolve("../..").normalize());
    }

    /**
     * The bundles' jars.
     *
     * @return in the order in which they are started
     * @throws IOException there is none
     */
    List<Path> bundles() throws IOException {
        Path bundles = folder.resolve("bundles");
        if (!Files.isDirectory(bundles)) {
            throw new IOException("there is no folder " + bundles + ": the installation is not complete; build it with mvn package");
        }
        List<Path> all = new ArrayList<>();
        for (Path level : sorted(bundles, "[0-" + HIGHEST + "]")) {
            all.addAll(sorted(level, "*.jar"));
        }
        return all;
    }

    /**
     * The level of a bundle.
     *
     * @param jar one of {@link #bundles()}
     * @return the name of its folder
     */
    static int level(Path jar) {
        return Integer.parseInt(jar.getParent().getFileName().toString());
    }

    private static List<Path> sorted(Path folder, String glob) throws IOException {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(folder, glob)) {
            entries.forEach(found::add);
        }
        Collections.sort(found);
        return found;
    }
}
