// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import jnr.unixsocket.UnixSocketAddress;
import jnr.unixsocket.UnixSocketChannel;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.TestSupport;

/** Listening, connecting, accepting; what may lie at the path and what may not. */
@Timeout(60)
class UnixSocketsTest {
    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();

    private String refused(Path path) {
        IOException e = assertThrows(IOException.class, () -> UnixSockets.listen(fds, path, 0600, "listener"));
        assertTrue(e.getMessage().contains(path.toString()), e.getMessage());
        return e.getMessage();
    }

    @Test
    void connectsAndAcceptsAndKnowsThePeer() throws Exception {
        Path path = folder.resolve("s");
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "listener")) {
            assertNull(UnixSockets.accept(listener, fds, false, "none"), "nobody has connected");
            try (Fd client = UnixSockets.connect(fds, path, "client"); Fd server = UnixSockets.accept(listener, fds, false, "server")) {
                Assertions.assertNotNull(server);
                assertTrue((Posix.statusFlags(server.number()) & Posix.O_NONBLOCK) != 0);
                assertEquals(0, Posix.statusFlags(client.number()) & Posix.O_NONBLOCK);
                assertEquals(ProcessHandle.current().pid(), UnixSockets.peer(server).pid());
                int uid = (int) Files.getAttribute(path, "unix:uid");
                assertEquals(uid, UnixSockets.peer(server).uid());
                UnixSockets.shutdown(server);
                assertEquals(1, Poll.readable(1_000, client.number()));
            }
        }
    }

    @Test
    void acceptedMayBlock() throws Exception {
        Path path = folder.resolve("s");
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "listener"); Fd client = UnixSockets.connect(fds, path, "client");
                Fd server = UnixSockets.accept(listener, fds, true, "server")) {
            assertTrue(client.isOpen());
            assertEquals(0, Posix.statusFlags(server.number()) & Posix.O_NONBLOCK);
        }
    }

    @Test
    void modeIsWhatWasAsked() throws Exception {
        for (int mode : new int[] {0600, 0660, 0777, 0640}) {
            Path path = folder.resolve("mode" + mode);
            try (Fd listener = UnixSockets.listen(fds, path, mode, "listener")) {
                assertTrue(listener.isOpen());
                assertEquals(mode, (int) Files.getAttribute(path, "unix:mode") & 07777, Integer.toOctalString(mode));
            }
        }
    }

    @Test
    void deadSocketIsReplaced() throws Exception {
        Path path = folder.resolve("s");
        UnixSockets.listen(fds, path, 0600, "of a process that was killed").close();
        assertTrue(Files.exists(path));
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "listener"); Fd client = UnixSockets.connect(fds, path, "client")) {
            assertTrue(client.isOpen());
            present(UnixSockets.accept(listener, fds, false, "server")).close();
        }
    }

    private static Fd present(Fd fd) {
        Assertions.assertNotNull(fd);
        return fd;
    }

    @Test
    void liveSocketIsRefusedAndGoesOn() throws Exception {
        Path path = folder.resolve("s");
        try (Fd live = UnixSockets.listen(fds, path, 0600, "live")) {
            String message = refused(path);
            assertTrue(message.contains("another process listens"), message);
            present(UnixSockets.accept(live, fds, false, "the probe")).close();
            try (Fd client = UnixSockets.connect(fds, path, "client")) {
                assertTrue(client.isOpen());
                present(UnixSockets.accept(live, fds, false, "server")).close();
            }
        }
    }

    @Test
    void liveSocketWithAFullQueueIsLiveToo() throws Exception {
        Path path = folder.resolve("s");
        List<UnixSocketChannel> waiting = new ArrayList<>();
        try (Fd live = UnixSockets.listen(fds, path, 0600, "live, but it does not accept")) {
            boolean connected;
            do {
                UnixSocketChannel c = UnixSocketChannel.open();
                waiting.add(c);
                c.configureBlocking(false);
                connected = c.connect(new UnixSocketAddress(path.toFile()));
            } while (connected && waiting.size() < 10_000);
            assertFalse(connected, "the queue never got full");
            String message = refused(path);
            assertTrue(message.contains("another process listens"), message);
            IOException e = assertThrows(IOException.class, () -> UnixSockets.connect(fds, path, "client"));
            assertTrue(e.getMessage().contains(path.toString()) && e.getMessage().contains("queue"), e.getMessage());
            assertTrue(live.isOpen());
        } finally {
            for (UnixSocketChannel c : waiting) {
                c.close();
            }
        }
    }

    @Test
    void filesFoldersAndLinksAreLeftAlone() throws Exception {
        Path file = Files.writeString(folder.resolve("file"), "precious");
        Path sub = Files.createDirectory(folder.resolve("folder"));
        Path dead = folder.resolve("dead");
        UnixSockets.listen(fds, dead, 0600, "dead").close();
        Path link = Files.createSymbolicLink(folder.resolve("link"), dead);
        Path dangling = Files.createSymbolicLink(folder.resolve("dangling"), folder.resolve("nothing"));
        assertTrue(refused(file).contains("a file"));
        assertTrue(refused(sub).contains("a folder"));
        assertTrue(refused(link).contains("a symbolic link"));
        assertTrue(refused(dangling).contains("a symbolic link"));
        assertEquals("precious", Files.readString(file));
        assertTrue(Files.isDirectory(sub));
        assertTrue(Files.isSymbolicLink(link));
        assertTrue(Files.exists(dead, LinkOption.NOFOLLOW_LINKS));
        assertFalse(Files.exists(folder.resolve("nothing")));
    }

    @Test
    void missingFolderIsNamed() {
        String message = refused(folder.resolve("no/such/s"));
        assertTrue(message.contains("no folder " + folder.resolve("no/such")), message);
    }

    @Test
    void longestPathWorksAndOneMoreByteIsRefused() throws Exception {
        Path base = Files.createTempDirectory(Path.of("/tmp"), "p");
        Path path = base.resolve("x".repeat(107 - base.toString().length() - 1));
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "listener"); Fd client = UnixSockets.connect(fds, path, "client")) {
            assertEquals(107, path.toString().length());
            assertTrue(client.isOpen());
            present(UnixSockets.accept(listener, fds, false, "server")).close();
            Path longer = base.resolve(path.getFileName() + "x");
            assertTrue(refused(longer).contains("107 bytes"));
            assertFalse(Files.exists(longer));
            IOException e = assertThrows(IOException.class, () -> UnixSockets.connect(fds, longer, "client"));
            assertTrue(e.getMessage().contains("107 bytes"), e.getMessage());
        } finally {
            Files.deleteIfExists(path);
            Files.delete(base);
        }
    }

    @Test
    void nobodyThereIsToldWithoutLosingADescriptor() throws Exception {
        Path dead = folder.resolve("dead");
        UnixSockets.listen(fds, dead, 0600, "dead").close();
        Path missing = folder.resolve("missing");
        for (Path path : List.of(dead, missing)) {
            IOException e = assertThrows(IOException.class, () -> UnixSockets.connect(fds, path, "client"));
            assertTrue(e.getMessage().contains("cannot connect to " + path), e.getMessage());
        }
        long before = TestSupport.openDescriptors();
        for (int i = 0; i < 50; i++) {
            assertThrows(IOException.class, () -> UnixSockets.connect(fds, dead, "client"));
            assertThrows(IOException.class, () -> UnixSockets.connect(fds, missing, "client"));
        }
        TestSupport.assertNoMoreDescriptorsThan(before);
    }

    private String unconnected(Path path) {
        return assertThrows(IOException.class, () -> UnixSockets.connect(fds, path, "client")).getMessage();
    }

    /** Links are followed, as connect does. */
    @Test
    void whatIsNoSocketIsNamedToWhoConnects() throws Exception {
        Path file = Files.writeString(folder.resolve("f"), "x");
        Path link = Files.createSymbolicLink(folder.resolve("l"), folder);
        assertEquals("cannot connect to " + folder + ": it is a folder, not a socket", unconnected(folder));
        assertEquals("cannot connect to " + file + ": it is a file, not a socket", unconnected(file));
        assertEquals("cannot connect to " + link + ": it is a folder, not a socket", unconnected(link));
        assertEquals("cannot connect to /dev/null: it is a device or a pipe, not a socket", unconnected(Path.of("/dev/null")));
        Path missing = folder.resolve("missing");
        Path dangling = Files.createSymbolicLink(folder.resolve("d"), missing);
        assertEquals(unconnected(missing).replace("missing", "d"), unconnected(dangling));
        assertEquals("x", Files.readString(file));
    }

    @Test
    void descriptorsStayFlatOverConnectionsAndListeners() throws Exception {
        Path path = folder.resolve("s");
        long before = -1;
        for (int i = 0; i < 100; i++) {
            try (Fd listener = UnixSockets.listen(fds, path, 0600, "listener")) {
                refused(path);
                UnixSockets.connect(fds, path, "client").close();
                try (Fd a = UnixSockets.accept(listener, fds, false, "a"); Fd b = UnixSockets.accept(listener, fds, false, "b")) {
                    assertTrue(a.isOpen() && b.isOpen());
                }
            }
            if (i == 10) {
                before = TestSupport.openDescriptors();
            }
        }
        TestSupport.assertNoMoreDescriptorsThan(before);
    }

    @Test
    void withoutFreeNumbersTheConnectionWaits() throws Exception {
        assertEquals("EMFILE twice, then accepted", TestSupport.runWithFewDescriptors(128, ScarceDescriptors.class, "accept"));
    }

    @Test
    void peerOfSomethingElseIsAnError() throws Exception {
        try (Fd e = EventFd.create(fds, "no socket")) {
            assertThrows(IOException.class, () -> UnixSockets.peer(e));
        }
    }
}
