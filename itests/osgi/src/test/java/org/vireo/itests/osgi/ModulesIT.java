// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.module.Configuration;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every jar of the house is a named module that resolves, with requirements that are the same arrows. */
class ModulesIT {
    /** What modules of the house may need of others at run time. */
    private static final Set<String> OTHERS = Set.of("org.slf4j", "com.fasterxml.jackson.core", "osgi.core", "org.osgi.service.component",
            "org.osgi.service.cm");
    /** The framework is the launcher's alone. Its jar repeats packages of osgi.core, so the two are never modules of one layer. */
    private static final Map<String, Set<String>> OTHERS_OF_ONE = Map.of(
            House.LAUNCHER, Set.of("org.apache.felix.framework"),
            House.HEALTH, Set.of("org.apache.felix.healthcheck.api"),
            House.TCK, Set.of("org.junit.jupiter.api"),
            House.TEST_SUPPORT, Set.of("org.junit.jupiter.api"));
    private static final ModuleFinder PATH = ModuleFinder.of(Stream.concat(House.rooms().values().stream().map(House.Room::jar),
            Stream.of("slf4j-api", "jackson-core", "osgi.core", "org.osgi.service.component", "org.osgi.service.cm",
                    "org.apache.felix.framework", "org.apache.felix.healthcheck.api", "junit-jupiter-api", "junit-platform-commons",
                    "opentest4j", "apiguardian-api")
                    .map(House::jar)).toArray(Path[]::new));

    static List<String> names() {
        return List.copyOf(House.rooms().keySet());
    }

    private static ModuleDescriptor descriptor(String name) {
        return PATH.find(name).map(ModuleReference::descriptor).orElseThrow(() -> new AssertionError("there is no module " + name));
    }

    @ParameterizedTest
    @MethodSource("names")
    void isANamedModuleOfTheBundlesName(String name) {
        assertFalse(descriptor(name).isAutomatic(), name + " has no module-info");
    }

    @ParameterizedTest
    @MethodSource("names")
    void resolvesAndCanBeDefined(String name) {
        Configuration c = assertDoesNotThrow(() -> Configuration.resolve(PATH, List.of(ModuleLayer.boot().configuration()),
                ModuleFinder.ofSystem(), Set.of(name)));
        ModuleLayer layer = assertDoesNotThrow(() -> ModuleLayer.defineModulesWithOneLoader(c, List.of(ModuleLayer.boot()), null).layer());
        assertTrue(layer.findModule(name).isPresent());
    }

    @ParameterizedTest
    @MethodSource("names")
    void needsAtRunTimeOnlyWhatTheArrowsAllow(String name) {
        Set<String> wrong = new TreeSet<>();
        for (ModuleDescriptor.Requires r : descriptor(name).requires()) {
            boolean system = ModuleFinder.ofSystem().find(r.name()).isPresent();
            boolean forCompilationOnly = r.modifiers().contains(ModuleDescriptor.Requires.Modifier.STATIC);
            boolean other = OTHERS.contains(r.name()) || OTHERS_OF_ONE.getOrDefault(name, Set.of()).contains(r.name());
            if (!system && !forCompilationOnly && !other && !House.ARROWS.get(name).contains(r.name())) {
                wrong.add(r.name());
            }
        }
        assertEquals(Set.of(), wrong);
    }

    @ParameterizedTest
    @MethodSource("names")
    void exportsTheSamePackagesAsTheBundle(String name) {
        Set<String> exported = new TreeSet<>();
        descriptor(name).exports().stream().filter(e -> !e.isQualified()).forEach(e -> exported.add(e.source()));
        assertEquals(House.room(name).packagesOf("Export-Package"), exported);
    }

    @Test
    void allThatLiveTogetherMakeOneLayer() {
        Set<String> names = new TreeSet<>();
        House.inFramework().forEach(r -> names.add(r.name()));
        Configuration c = Configuration.resolve(PATH, List.of(ModuleLayer.boot().configuration()), ModuleFinder.ofSystem(), names);
        ModuleLayer layer = ModuleLayer.defineModulesWithOneLoader(c, List.of(ModuleLayer.boot()), null).layer();
        Set<String> found = new TreeSet<>();
        layer.modules().forEach(m -> found.add(m.getName()));
        assertTrue(found.containsAll(names), found.toString());
    }
}
