// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.vireo.testsupport.TestBundle;

/** The bundle of backend-tap, and others that are made of it. */
final class TapBundle {
    static final Path JAR = Vireo.DIST.resolve("bundles/6/vireo-backend-tap.jar");
    static final String NAME = "org.vireo.backend.tap";

    private TapBundle() { }

    /** The same with other headers in its manifest. */
    static Path variant(Path file, Map<String, String> headers) throws IOException {
        return TestBundle.variant(JAR, file, headers);
    }

    /** The same as another version. */
    static Path version(Path file, String version) throws IOException {
        return variant(file, Map.of("Bundle-Version", version));
    }
}
