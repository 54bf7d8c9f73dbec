// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What docs/integrate.md shows is what is tested. */
class IntegratePageIT {
    private static final Path SOURCES = Path.of(House.property("sources.dir"));

    @Test
    void theConfigurationOnThePageIsTheTests() throws IOException {
        String page = Files.readString(SOURCES.resolve("docs/integrate.md"));
        String test = Files.readString(SOURCES.resolve("itests/osgi/src/test/java/org/vireo/itests/osgi/IntegratorIT.java"));
        String shown = page.substring(page.indexOf("```java\n") + 8, page.indexOf("\n```\n"));
        String tested = String.join("\n", test.substring(test.indexOf("    // begin: docs"), test.indexOf("    // end: docs")).lines()
                .map(l -> l.startsWith("    ") ? l.substring(4) : l).toList());
        assertTrue(tested.contains(shown.strip()), () -> "docs/integrate.md shows\n" + shown + "\nand IntegratorIT has\n" + tested);
    }

    /** The bundles of a level stand in the order in which the page has them. */
    @Test
    void theLevelsOnThePageAreTheTests() throws IOException {
        List<String> rows = Files.readString(SOURCES.resolve("docs/integrate.md")).lines().filter(l -> l.matches("\\| \\d \\|.*")).toList();
        assertEquals(EmbeddedVireo.FULL, rows.size());
        List<String> missing = new ArrayList<>();
        EmbeddedVireo.LEVELS.forEach((level, artifacts) -> artifacts.stream().filter(a -> a.startsWith("vireo-"))
                .filter(a -> !rows.get(level - 1).contains(a)).forEach(missing::add));
        assertEquals(List.of(), missing);
    }
}
