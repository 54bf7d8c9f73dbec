// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.jar.Attributes;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The rooms of the house as they were built, and the arrows between them. A room is a bundle and a module of the same name. */
final class House {
    static final String API = "org.vireo.net.api";
    static final String POSIX = "org.vireo.posix";
    static final String JNR = "org.vireo.jnr.unixsocket";
    static final String VHOST_USER = "org.vireo.vhostuser";
    static final String HANDOVER = "org.vireo.handover";
    static final String CONTROL = "org.vireo.control";
    static final String HEALTH = "org.vireo.health";
    static final String LAUNCHER = "org.vireo.launcher";
    static final String GUEST = "org.vireo.guest";
    static final String FRONTEND = "org.vireo.frontend.virtionet";
    static final String TAP = "org.vireo.backend.tap";
    static final String VHOST_USER_BACKEND = "org.vireo.backend.vhostuser";

    static final String TEST_SUPPORT = "org.vireo.testsupport";
    static final String TCK = "org.vireo.tck";
    static final String BENCH = "org.vireo.bench";

    /** Who may use whom: docs/architecture.md. Everything else is forbidden. */
    static final Map<String, Set<String>> ARROWS = new TreeMap<>(Map.ofEntries(
            Map.entry(API, Set.of()),
            Map.entry(JNR, Set.of()),
            Map.entry(POSIX, Set.of(API, JNR)),
            Map.entry(VHOST_USER, Set.of(API, POSIX)),
            Map.entry(HANDOVER, Set.of(API, POSIX)),
            Map.entry(CONTROL, Set.of(API, POSIX)),
            Map.entry(HEALTH, Set.of(API)),
            Map.entry(LAUNCHER, Set.of(API, CONTROL)),
            Map.entry(GUEST, Set.of(API, POSIX, VHOST_USER)),
            Map.entry(FRONTEND, Set.of(API, POSIX, VHOST_USER)),
            Map.entry(TAP, Set.of(API, POSIX)),
            Map.entry(VHOST_USER_BACKEND, Set.of(API, POSIX, VHOST_USER)),
            Map.entry(TEST_SUPPORT, Set.of(API, POSIX)),
            Map.entry(TCK, Set.of(API, POSIX, TEST_SUPPORT)),
            Map.entry(BENCH, Set.of(API, POSIX, VHOST_USER, GUEST))));
    /** Which of its own packages each of the bench's may use; its root, the commands, may use all. */
    static final Map<String, Set<String>> BENCH_ARROWS = new TreeMap<>(Map.ofEntries(
            Map.entry("host", Set.of()),
            Map.entry("figures", Set.of()),
            Map.entry("traffic", Set.of("host")),
            Map.entry("guest", Set.of("host", "traffic")),
            Map.entry("measure", Set.of("host", "figures")),
            Map.entry("series", Set.of("host", "figures", "traffic", "guest")),
            Map.entry("faults", Set.of("host", "traffic")),
            Map.entry("peers", Set.of("host", "traffic", "guest")),
            Map.entry("vm", Set.of("host", "figures", "traffic", "guest"))));

    private static final Path BUNDLES = Path.of(property("bundles.dir"));
    private static final Map<String, Room> ROOMS = read();

    private House() {
    }

    /** A built jar of the house. */
    record Room(String name, Path jar, Attributes manifest, Set<String> packages) {
        /** Packages of a header like Import-Package, without java.*. */
        Set<String> packagesOf(String header) {
            Set<String> found = new TreeSet<>();
            for (String clause : clauses(manifest.getValue(header))) {
                for (String part : clause.split(";")) {
                    if (!part.contains("=")) {
                        found.add(part.strip());
                    }
                }
            }
            found.removeIf(p -> p.startsWith("java."));
            return found;
        }

        @Override
        public String toString() {
            return name;
        }
    }

    static String property(String name) {
        String value = System.getProperty(name);
        if (value == null) {
            throw new IllegalStateException("system property " + name + " is missing: run this test with mvn verify");
        }
        return value;
    }

    /** The path of a copied jar. */
    static Path jar(String artifact) {
        Path jar = BUNDLES.resolve(artifact + ".jar");
        if (!Files.isRegularFile(jar)) {
            throw new IllegalStateException("there is no " + jar + ": run this test with mvn verify");
        }
        return jar;
    }

    static Map<String, Room> rooms() {
        return ROOMS;
    }

    /** The rooms that live in a framework. The launcher does not: it starts one; nor does the bench, which has a command of its own. */
    static List<Room> inFramework() {
        return ROOMS.values().stream().filter(r -> !r.name().equals(LAUNCHER) && !r.name().equals(BENCH)).toList();
    }

    static Room room(String name) {
        Room room = ROOMS.get(name);
        if (room == null) {
            throw new AssertionError("no jar of the house has the symbolic name " + name + ", there are " + ROOMS.keySet());
        }
        return room;
    }

    /** Netdev types that the built backends say they provide. */
    static Set<String> netdevTypes() {
        Set<String> types = new TreeSet<>();
        Pattern type = Pattern.compile("net\\.backend;net\\.backend(?::String)?=\"?([a-z0-9-]+)\"?");
        for (Room room : ROOMS.values()) {
            String provided = room.manifest().getValue("Provide-Capability");
            Matcher m = type.matcher(provided == null ? "" : provided);
            while (m.find()) {
                types.add(m.group(1));
            }
        }
        return types;
    }

    private static Map<String, Room> read() {
        Map<String, Room> rooms = new LinkedHashMap<>();
        try (var jars = Files.list(BUNDLES)) {
            for (Path jar : jars.filter(j -> j.getFileName().toString().startsWith("vireo-")).sorted(Comparator.naturalOrder()).toList()) {
                Room room = room(jar);
                rooms.put(room.name(), room);
            }
            return rooms;
        } catch (IOException e) {
            throw new UncheckedIOException("no bundles in " + BUNDLES + ": run this test with mvn verify", e);
        }
    }

    private static Room room(Path jar) throws IOException {
        try (JarFile file = new JarFile(jar.toFile())) {
            Attributes manifest = file.getManifest().getMainAttributes();
            String name = manifest.getValue("Bundle-SymbolicName");
            Set<String> packages = new TreeSet<>();
            file.stream().map(e -> e.getName()).filter(n -> n.endsWith(".class") && n.contains("/"))
                    .forEach(n -> packages.add(n.substring(0, n.lastIndexOf('/')).replace('/', '.')));
            return new Room(name == null ? jar.getFileName() + " without a symbolic name" : name.split(";")[0], jar, manifest, packages);
        }
    }

    /** Splits a manifest header at the commas that are not quoted. */
    private static List<String> clauses(String header) {
        return header == null ? List.of() : List.of(header.split(",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)"));
    }
}
