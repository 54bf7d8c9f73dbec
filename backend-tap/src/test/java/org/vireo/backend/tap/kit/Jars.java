// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap.kit;

import java.io.File;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** The jars of the class path, and the backend's own as it is shipped. */
final class Jars {
    /** System property with the path of the backend's jar. */
    static final String BACKEND = "vireo.bundle";

    private Jars() {
    }

    /** The jars whose file names begin so. */
    static List<Path> named(String... prefixes) {
        List<Path> found = all().filter(p -> Stream.of(prefixes).anyMatch(x -> p.getFileName().toString().startsWith(x))).toList();
        if (found.size() < prefixes.length) {
            throw new IllegalStateException("of " + List.of(prefixes) + " the class path has only " + found);
        }
        return found;
    }

    /** The backend's bundle, which is a module too. */
    static Path backend() {
        String jar = System.getProperty(BACKEND);
        if (jar == null || !new File(jar).isFile()) {
            throw new IllegalStateException("system property " + BACKEND + " has to name the backend's jar, not " + jar);
        }
        return Path.of(jar);
    }

    private static Stream<Path> all() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator)).filter(s -> s.endsWith(".jar")).map(Path::of);
    }
}
