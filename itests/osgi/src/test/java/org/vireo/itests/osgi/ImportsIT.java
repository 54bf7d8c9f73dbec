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
        try (JarFile jar = new JarFile(room.jar().toFile())) {
            for (var entry : jar.stream().filter(e -> e.getName().endsWith(".class")).toList()) {
                if (entry.getName().endsWith("module-info.class")) {
                    continue;
                }
                try (InputStream in = jar.getInputStream(entry)) {
                    ClassModel model = ClassFile.of().parse(in.readAllBytes());
                    String user = model.thisClass().asInternalName().replace('/', '.');
                    for (PoolEntry e : model.constantPool()) {
                        if (e instanceof ClassEntry c) {
                            addPackage(used, c.asInternalName(), user);
                        } else if (e instanceof Utf8Entry u) {
                            Matcher m = INTERNAL_NAME.matcher(u.stringValue());
                            while (m.find()) {
                                addPackage(used, m.group(1) + "X", user);
                            }
                        }
                    }
                }
            }
        }
        return used;
    }

    private static void addPackage(Map<String, String> used, String internalName, String user) {
        String name = internalName.replaceFirst("^\\[+L?", "");
        int slash = name.lastIndexOf('/');
        if (slash > 0) {
            used.putIfAbsent(name.substring(0, slash).replace('/', '.'), user);
        }
    }
}
