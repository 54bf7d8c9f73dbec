// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/** Programs that the distribution has as sources: unpacked in a stage's folder, and compiled there. */
public final class NativeSource {
    private static final String FOLDER = "/org/vireo/bench/native/";

    private NativeSource() {
    }

    /**
     * Unpacks one; a program in C is compiled too, under its name without the ending.
     *
     * @param stage whose folder
     * @param file its name
     * @throws BenchException the distribution lacks it, or it cannot be written or compiled
     */
    public static void unpack(Stage stage, String file) throws BenchException {
        Path source = stage.folder().resolve(file);
        try (InputStream in = NativeSource.class.getResourceAsStream(FOLDER + file)) {
            if (in == null) {
                throw new BenchException(file + " is missing in the distribution");
            }
            Files.copy(in, source, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            throw new BenchException(file + ": " + e.getMessage(), e);
        }
        if (file.endsWith(".c")) {
            String program = stage.folder().resolve(file.replace(".c", "")).toString();
            stage.run(List.of("cc", "-O2", "-Wall", "-o", program, source.toString()));
        }
    }
}
