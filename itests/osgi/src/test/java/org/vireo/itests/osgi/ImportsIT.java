// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassModel;
import java.lang.classfile.constantpool.ClassEntry;
import java.lang.classfile.constantpool.PoolEntry;
import java.lang.classfile.constantpool.Utf8Entry;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.BiConsumer;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Who uses whom: in the manifests, and in the byte code, which says the same of what is private or never imported. */
class ImportsIT {
    private static final Pattern INTERNAL_NAME = Pattern.compile("L((?:[\\w$]+/)+)[\\w$]+;");

    @Test
    void theArrowsNameEveryRoomThatWasBuilt() {
        assertEquals(House.ARROWS.keySet(), new TreeSet<>(House.rooms().keySet()));
    }

    @Test
    void manifestsImportAlongTheArrowsOnly() {
        Map<String, String> owner = new TreeMap<>();
        for (House.Room room : House.rooms().values()) {
            room.packagesOf("Export-Package").forEach(p -> owner.merge(p, room.name(), (a, b) -> a + " and " + b));
        }
        Set<String> wrong = new TreeSet<>();
        for (House.Room room : House.rooms().values()) {
            for (String p : room.packagesOf("Import-Package")) {
                String from = owner.get(p);
                boolean ours = p.startsWith("org.vireo.");
                if (ours && from == null) {
                    wrong.add(room + " imports " + p + ", which nobody exports");
                } else if (from != null && !from.equals(room.name()) && !House.ARROWS.get(room.name()).contains(from)) {
                    wrong.add(room + " imports " + p + " of " + from);
                }
            }
        }
        assertEquals(Set.of(), wrong);
    }

    @Test
    void theContractImportsTheJdkAndOsgiOnly() {
        Set<String> imports = House.room(House.API).packagesOf("Import-Package");
        imports.removeIf(p -> p.startsWith("org.osgi.") || House.room(House.API).packages().contains(p));
        assertEquals(Set.of(), imports);
    }

    @Test
    void frontendBackendsAndHandoverImportNothingOfEachOther() {
        Set<String> apart = Set.of(House.FRONTEND, House.TAP, House.VHOST_USER_BACKEND, House.HANDOVER);
        for (String one : apart) {
            for (String other : apart) {
                Set<String> shared = House.room(one).packagesOf("Import-Package");
                shared.retainAll(House.room(other).packages());
                assertTrue(one.equals(other) || shared.isEmpty(), () -> one + " imports " + shared + " of " + other);
            }
        }
    }

    @Test
    void byteCodeUsesAlongTheArrowsOnly() throws IOException {
        Map<String, String> owner = new TreeMap<>();
        for (House.Room room : House.rooms().values()) {
            room.packages().forEach(p -> owner.merge(p, room.name(), (a, b) -> a + " and " + b));
        }
        Set<String> wrong = new TreeSet<>();
        for (House.Room room : House.rooms().values()) {
            if (!room.name().equals(House.JNR)) {
                usedPackages(room).forEach((p, user) -> {
                    String from = owner.getOrDefault(p, p.startsWith("org.vireo.") ? "nobody" : room.name());
                    if (!from.equals(room.name()) && !House.ARROWS.get(room.name()).contains(from)) {
                        wrong.add(user + " uses " + p + " of " + from);
                    }
                });
            }
        }
        assertEquals(Set.of(), wrong);
    }

    @Test
    void packagesOfTheBenchUseEachOtherOneWayOnly() throws IOException {
        House.Room bench = House.room(House.BENCH);
        Set<String> named = new TreeSet<>(Set.of(House.BENCH));
        House.BENCH_ARROWS.keySet().forEach(p -> named.add(House.BENCH + "." + p));
        Set<String> packages = new TreeSet<>(bench.packages());
        assertEquals(named, packages);
        Set<String> wrong = new TreeSet<>();
        eachUse(bench, (user, used) -> {
            String from = user.substring(0, user.lastIndexOf('.'));
            Set<String> arrows = from.equals(House.BENCH) ? House.BENCH_ARROWS.keySet()
                    : House.BENCH_ARROWS.get(from.substring(House.BENCH.length() + 1));
            if (packages.contains(used) && !used.equals(from) && (used.equals(House.BENCH)
                    || !arrows.contains(used.substring(House.BENCH.length() + 1)))) {
                wrong.add(user + " uses " + used);
            }
        });
        assertEquals(Set.of(), wrong);
    }

    @Test
    void noPackageIsInTwoRooms() {
        Map<String, String> owner = new TreeMap<>();
        Set<String> wrong = new TreeSet<>();
        for (House.Room room : House.rooms().values()) {
            for (String p : room.packages()) {
                String other = owner.put(p, room.name());
                if (other != null) {
                    wrong.add(p + " is in " + other + " and " + room);
                }
            }
        }
        assertEquals(Set.of(), wrong);
    }

    @Test
    void exportedPackagesCarryVersionsOfTheirOwn() {
        for (House.Room room : House.rooms().values()) {
            String header = room.manifest().getValue("Export-Package");
            for (String p : room.packagesOf("Export-Package")) {
                assertTrue(Pattern.compile(Pattern.quote(p) + "(;[^,]*)?;version=\"\\d+\\.\\d+\\.\\d+\"").matcher(header).find(),
                        () -> room + " exports " + p + " without a version: " + header);
                assertFalse(p.endsWith(".internal"), () -> room + " exports " + p);
            }
        }
    }

    /** Packages that the classes of a room mention, with one class that does. */
    private static Map<String, String> usedPackages(House.Room room) throws IOException {
        Map<String, String> used = new TreeMap<>();
        eachUse(room, (user, p) -> used.putIfAbsent(p, user));
        return used;
    }

    /** Tells each class of a room, and each package that it mentions. */
    private static void eachUse(House.Room room, BiConsumer<String, String> use) throws IOException {
        try (JarFile jar = new JarFile(room.jar().toFile())) {
            for (var entry : jar.stream().filter(e -> e.getName().endsWith(".class")).toList()) {
                if (entry.getName().endsWith("module-info.class")) {
                    continue;
                }
                try (InputStream in = jar.getInputStream(entry)) {
                    ClassModel model = ClassFile.of().parse(in.readAllBytes());
                    String user = model.thisClass().asInternalName().replace('/', '.');
                    packagesIn(model).forEach(p -> use.accept(user, p));
                }
            }
        }
    }

    private static Set<String> packagesIn(ClassModel model) {
        Set<String> packages = new TreeSet<>();
        for (PoolEntry e : model.constantPool()) {
            if (e instanceof ClassEntry c) {
                addPackage(packages, c.asInternalName());
            } else if (e instanceof Utf8Entry u) {
                Matcher m = INTERNAL_NAME.matcher(u.stringValue());
                while (m.find()) {
                    addPackage(packages, m.group(1) + "X");
                }
            }
        }
        return packages;
    }

    private static void addPackage(Set<String> packages, String internalName) {
        String name = internalName.replaceFirst("^\\[+L?", "");
        int slash = name.lastIndexOf('/');
        if (slash > 0) {
            packages.add(name.substring(0, slash).replace('/', '.'));
        }
    }
}
