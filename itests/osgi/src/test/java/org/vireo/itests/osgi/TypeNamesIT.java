// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The sources of the frontend and of the handover name no backend's type: not as a text, not in an identifier, and import nothing
 * of a backend. "vhost-user" is also the protocol that the frontend speaks, so only a text that is exactly that counts as the type.
 */
class TypeNamesIT {
    private static final Path SOURCES = Path.of(House.property("sources.dir"));
    private static final Pattern TOKEN = Pattern.compile(
            "//[^\\n]*|/\\*.*?\\*/|\"\"\"(?<block>.*?)\"\"\"|\"(?<text>(?:\\\\.|[^\"\\\\\\n])*)\""
            + "|'(?:\\\\.|[^'\\\\])+'|(?<name>[A-Za-z_$][\\w$]*)", Pattern.DOTALL);
    private static final Pattern WORD = Pattern.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+");

    /** Types of the house's backends: what they provide, and what they are known by should they provide nothing. */
    private static Set<String> types() {
        Set<String> types = new TreeSet<>(House.netdevTypes());
        types.add("tap");
        types.add("vhost-user");
        return types;
    }

    private static List<String> findings(String file, String source, Set<String> types) {
        List<String> found = new ArrayList<>();
        Matcher token = TOKEN.matcher(source);
        while (token.find()) {
            String text = token.group("text") != null ? token.group("text") : token.group("block");
            if (text != null && types.contains(text.strip())) {
                found.add(file + ": the text \"" + text + '"');
            }
            if (token.group("name") != null) {
                Matcher word = WORD.matcher(token.group("name"));
                while (word.find()) {
                    if (types.contains(word.group().toLowerCase(java.util.Locale.ROOT))) {
                        found.add(file + ": the name " + token.group("name"));
                    }
                }
            }
        }
        if (source.contains("org.vireo.backend")) {
            found.add(file + ": a package of a backend");
        }
        return found;
    }

    @ParameterizedTest
    @ValueSource(strings = {"frontend-virtio-net", "runtime/handover"})
    void sourcesNameNoBackend(String module) throws IOException {
        List<String> found = new ArrayList<>();
        int files = 0;
        try (var all = Files.walk(SOURCES.resolve(module).resolve("src/main"))) {
            for (Path file : all.filter(Files::isRegularFile).toList()) {
                files++;
                found.addAll(findings(SOURCES.relativize(file).toString(), Files.readString(file), types()));
            }
        }
        assertTrue(files > 0, module + " has no sources");
        assertEquals(List.of(), found);
    }

    @Test
    void theScanFindsWhatItIsFor() {
        Set<String> types = Set.of("tap", "vhost-user");
        for (String bad : List.of("if (type.equals(\"tap\"))", "TapPort p;", "int tapQueue;", "boolean isTap = x;",
                "Set.of(\"vhost-user\")",
                "static final int TAP_FLAGS = 1;",
                "import org.vireo.backend.other.Thing;", "String s = \"\"\"\n    tap\n    \"\"\";")) {
            assertFalse(findings("Bad.java", bad, types).isEmpty(), bad);
        }
        for (String good : List.of("// a TAP drops them", "/* tap */ int x;", "log.info(\"vhost-user session ended\")",
                "int mapped, tape;", "import org.vireo.vhostuser.Request;",
                "char c = '\"'; int staple;")) {
            assertEquals(List.of(), findings("Good.java", good, types), good);
        }
    }
}
