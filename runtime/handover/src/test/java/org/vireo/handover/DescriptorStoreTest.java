// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.handover.DescriptorStore.Found;
import org.vireo.handover.DescriptorStore.Stored;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.nic.NicImage;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.OpenFiles;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.ServiceManager;
import org.vireo.posix.linux.ServiceManager.Kept;

/** What is in the service manager's store after each step, and what the next process makes of it. */
class DescriptorStoreTest {
    private static final int AF_UNIX = 1;

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();
    private final List<Fd> own = new ArrayList<>();
    private final Map<String, Fd> stored = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();
    private Fd listener;
    private MessageSocket manager;

    @BeforeEach
    void listen() {
        listener = fds.adopt(Posix.socket(AF_UNIX, Posix.SOCK_DGRAM, 0), "service manager");
        byte[] path = address().getBytes(StandardCharsets.UTF_8);
        try (Arena a = Arena.ofConfined()) {
            MemorySegment to = a.allocate(2L + path.length, 8);
            to.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
            MemorySegment.copy(path, 0, to, ValueLayout.JAVA_BYTE, 2, path.length);
            assertEquals(0, Posix.bind(listener.number(), to));
        }
        manager = new MessageSocket(listener, fds, "stored");
    }

    @AfterEach
    void close() {
        stored.values().forEach(Fd::close);
        own.forEach(Fd::close);
        listener.close();
    }

    private String address() {
        return folder.resolve("notify").toString();
    }

    private DescriptorStore store() throws IOException {
        return new DescriptorStore(fds, ServiceManager.connect(fds, Map.of("NOTIFY_SOCKET", address())));
    }

    private Fd event(String name) throws IOException {
        Fd fd = EventFd.create(fds, name);
        own.add(fd);
        return fd;
    }

    /** Does what was told, as systemd does it: a second descriptor of one open file description is ignored. */
    private List<String> names() throws IOException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(1000);
            for (long n = manager.receive(m, 0, 1000, MessageSocket.DONT_WAIT); n > 0;
                    n = manager.receive(m, 0, 1000, MessageSocket.DONT_WAIT)) {
                String told = new String(m.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
                if (told.equals("BARRIER=1")) {
                    manager.closeDescriptors();
                    continue;
                }
                List<String> lines = List.of(told.split("\n"));
                String name = lines.getLast().substring("FDNAME=".length());
                if (lines.contains("FDSTORE=1")) {
                    assertTrue(lines.contains("FDPOLL=0"), lines.toString());
                    Fd fd = manager.descriptors().removeFirst();
                    if (stored.values().stream().anyMatch(s -> OpenFiles.compare(s, fd) == 0)) {
                        fd.close();
                    } else {
                        stored.put(name, fd);
                    }
                } else {
                    assertEquals("FDSTOREREMOVE=1", lines.getFirst());
                    stored.remove(name).close();
                }
            }
        }
        return List.copyOf(stored.keySet());
    }

    private List<Kept> passed() throws IOException {
        names();
        List<Kept> kept = new ArrayList<>();
        for (Map.Entry<String, Fd> e : stored.entrySet()) {
            kept.add(new Kept(e.getKey(), e.getValue().duplicate()));
        }
        return kept;
    }

    private static NicImage image(String nic, long seq, Fd... with) throws IOException {
        Section.Builder b = Section.builder("device").number("features", seq);
        for (int i = 0; i < with.length; i++) {
            b.descriptor("fd" + i, with[i].duplicate());
        }
        return NicImage.of(nic, 1, seq, List.of(b.build()), null);
    }

    private static Stored put(DescriptorStore s, long generation, int index, NicImage image) throws IOException {
        try (image) {
            return s.put(image, generation, index);
        }
    }

    private static List<String> describe(List<Found> found) {
        List<String> all = found.stream().map(f -> f.picture().nic() + " " + f.picture().seq()
                + f.changes().stream().map(c -> "+" + c.seq()).reduce("", String::concat)).toList();
        found.forEach(Found::close);
        return all;
    }

    @Test
    void eachOpenFileDescriptionIsStoredOnceForAllWhoUseIt() throws IOException {
        Fd memory = event("memory");
        Fd a = event("a");
        try (DescriptorStore s = store()) {
            Stored first = put(s, s.generation(), 0, image("nic0", 1, memory, a, a));
            List<String> one = names();
            assertEquals(3, one.size());
            Stored second = put(s, s.generation(), 0, image("nic1", 1, memory, event("b")));
            assertEquals(5, names().size());
            s.remove(first);
            assertEquals(3, names().size());
            s.remove(second);
            assertEquals(List.of(), names());
        }
    }

    @Test
    void theNextProcessFindsTheNewestPictureAndItsChanges() throws IOException {
        Fd memory = event("memory");
        try (DescriptorStore s = store()) {
            put(s, s.generation(), 0, image("nic0", 1, memory));
            long newest = s.generation();
            put(s, newest, 0, image("nic0", 2, memory, event("kick")));
            put(s, newest, 1, image("nic0", 3, event("call")));
            put(s, newest, 2, image("nic0", 4));
            put(s, s.generation(), 0, image("nic1", 9));
        }
        try (DescriptorStore next = store()) {
            assertEquals(List.of("nic0 2+3+4", "nic1 9"), describe(next.adopt(passed(), problems)));
            assertEquals(List.of(), problems);
            // who goes on with one of them stores what the store has
            int before = names().size();
            Stored again = put(next, next.generation(), 0, image("nic0", 5, memory));
            assertEquals(before + 1, names().size());
            forgetFormer(next);
            assertEquals(2, names().size(), names().toString());
            next.remove(again);
            assertEquals(List.of(), names());
        }
    }

    /** It waits for the service manager. */
    private void forgetFormer(DescriptorStore s) throws IOException {
        Thread t = Thread.ofPlatform().start(s::forgetFormer);
        while (t.isAlive()) {
            Poll.readable(10, listener.number());
            names();
        }
    }

    /** While a new picture is stored, changes go to the former one: death in between leaves the one that goes further. */
    @Test
    void theSetThatGoesFurthestIsUsed() throws IOException {
        try (DescriptorStore s = store()) {
            long former = s.generation();
            put(s, former, 0, image("nic0", 1, event("a")));
            put(s, s.generation(), 0, image("nic0", 2, event("b")));
            put(s, former, 1, image("nic0", 2));
            put(s, former, 2, image("nic0", 3, event("c")));
            // one was not stored
            put(s, former, 3, image("nic0", 5));
        }
        try (DescriptorStore next = store()) {
            assertEquals(List.of("nic0 1+2+3"), describe(next.adopt(passed(), problems)));
            assertEquals(List.of(), problems);
        }
    }

    @Test
    void holesEndWhatIsUsed() throws IOException {
        try (DescriptorStore s = store()) {
            long one = s.generation();
            put(s, one, 0, image("nic0", 1, event("a")));
            put(s, one, 1, image("nic0", 2, event("b")));
            put(s, one, 2, image("nic0", 3));
            put(s, s.generation(), 0, image("nic1", 1, event("c"), event("d")));
        }
        List<Kept> kept = new ArrayList<>(passed());
        // of the change, and of the second NIC
        for (Kept k : List.copyOf(kept)) {
            if (OpenFiles.compare(k.fd(), own.get(1)) == 0 || OpenFiles.compare(k.fd(), own.get(3)) == 0) {
                k.fd().close();
                kept.remove(k);
            }
        }
        kept.add(new Kept("http", event("of somebody else").duplicate()));
        kept.add(new Kept("nic-77", event("no record").duplicate()));
        try (DescriptorStore next = store()) {
            assertEquals(List.of("nic0 1"), describe(next.adopt(kept, problems)));
        }
        assertEquals(4, problems.size(), problems.toString());
        assertEquals(2, problems.stream().filter(p -> p.contains("was not kept; FileDescriptorStoreMax=")).count(), problems.toString());
        assertTrue(problems.stream().anyMatch(p -> p.contains("\"http\", which is nothing of ours")), problems.toString());
        assertTrue(problems.stream().anyMatch(p -> p.startsWith("stored NIC nic-77: ")), problems.toString());
    }
}
