// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.SortedMap;
import java.util.TreeMap;

/** What this process has open, but for what the JVM opens for itself whenever it likes: jars, and files of /proc. */
public final class OpenFiles {
    private static final String DESCRIPTORS = "/proc/self/fd";

    private OpenFiles() {
    }

    /**
     * What its descriptors are.
     *
     * @return by number, as the kernel names it: a path, or a kind and an inode
     */
    public static SortedMap<Integer, String> links() {
        String[] numbers = new File(DESCRIPTORS).list();
        if (numbers == null) {
            throw new IllegalStateException(DESCRIPTORS + " cannot be read: mount /proc");
        }
        SortedMap<Integer, String> open = new TreeMap<>();
        for (String n : numbers) {
            String target = target(n);
            if (!target.isEmpty() && !target.endsWith(".jar") && !target.startsWith("/proc/")) {
                open.put(Integer.valueOf(n), target);
            }
        }
        return open;
    }

    private static String target(String number) {
        try {
            return Files.readSymbolicLink(Path.of(DESCRIPTORS, number)).toString();
        } catch (NoSuchFileException e) {
            // the listing's own, or closed meanwhile
            return "";
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * How many descriptors are open.
     *
     * @return their number
     */
    public static int count() {
        return links().size();
    }
}
