// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;

/** What is told to a service manager arrives, with its descriptors; what it passes is taken by who it is for. */
class ServiceManagerTest {
    private static final int AF_UNIX = 1;

    @TempDir
    private Path folder;
    private final Descriptors fds = new Descriptors();
    private Fd listener;

    @AfterEach
    void close() {
        if (listener != null) {
            listener.close();
        }
    }

    /** The service manager's end, at a path or at an abstract address. */
    private MessageSocket listen(String address) {
        listener = fds.adopt(Posix.socket(AF_UNIX, Posix.SOCK_DGRAM, 0), "service manager");
        byte[] b = address.getBytes(StandardCharsets.UTF_8);
        try (Arena a = Arena.ofConfined()) {
            MemorySegment to = a.allocate(2L + b.length, 8);
            to.set(ValueLayout.JAVA_SHORT, 0, (short) AF_UNIX);
            MemorySegment.copy(b, 0, to, ValueLayout.JAVA_BYTE, 2, b.length);
            if (b[0] == '@') {
                to.set(ValueLayout.JAVA_BYTE, 2, (byte) 0);
            }
            assertEquals(0, Posix.bind(listener.number(), to));
        }
        return new MessageSocket(listener, fds, "told");
    }

    private static String next(MessageSocket from) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(1000);
            long n = from.receive(m, 0, 1000, MessageSocket.DONT_WAIT);
            return n < 0 ? "nothing" : new String(m.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
        }
    }

    private static Map<String, String> at(String address) {
        return Map.of("NOTIFY_SOCKET", address);
    }

    @Test
    void whatIsToldArrives() throws IOException {
        for (String address : new String[] {folder.resolve("notify").toString(), "@vireo-test-" + ProcessHandle.current().pid()}) {
            MessageSocket there = listen(address);
            assertTrue(ServiceManager.isThere(at(address)));
            try (ServiceManager m = ServiceManager.connect(fds, at(address)); Fd event = EventFd.create(fds, "event")) {
                m.tell("READY=1");
                m.tell("FDSTORE=1\nFDNAME=a", event);
                assertEquals("READY=1", next(there));
                assertEquals("FDSTORE=1\nFDNAME=a", next(there));
                assertEquals(1, there.descriptors().size());
                assertEquals(0, OpenFiles.compare(event, there.descriptors().getFirst()));
                assertEquals("nothing", next(there));
            }
            close();
        }
    }

    @Test
    void aBarrierIsOverWhenAllBeforeItWasRead() throws IOException {
        String address = folder.resolve("notify").toString();
        MessageSocket there = listen(address);
        try (ServiceManager m = ServiceManager.connect(fds, at(address))) {
            assertFalse(m.await(fds, 20));
            Thread reader = Thread.ofPlatform().start(() -> {
                // what is read next closes the descriptor that came before
                for (int n = 0; n < 3;) {
                    Poll.readable(1_000, listener.number());
                    n += next(there).equals("nothing") ? n == 2 ? 1 : 0 : 1;
                }
            });
            assertTrue(m.await(fds, 15_000));
            reader.join(15_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "/", "relative/path", "vsock:2:1"})
    void anAddressThatIsNoneIsNamed(String address) {
        IOException e = assertThrows(IOException.class, () -> ServiceManager.connect(fds, at(address)));
        assertTrue(e.getMessage().contains("NOTIFY_SOCKET=" + address), e.getMessage());
    }

    @Test
    void nobodyThereIsAnError() {
        String address = folder.resolve("nobody").toString();
        IOException e = assertThrows(IOException.class, () -> ServiceManager.connect(fds, at(address)));
        assertTrue(e.getMessage().contains(address), e.getMessage());
        assertFalse(ServiceManager.isThere(Map.of()));
        assertFalse(ServiceManager.isThere(at("")));
    }

    @Test
    void onlyWhoItIsForTakesWhatWasPassed() throws IOException {
        long self = ProcessHandle.current().pid();
        assertEquals(List.of(), ServiceManager.take(fds, Map.of(), self));
        assertEquals(List.of(), ServiceManager.take(fds, Map.of("LISTEN_FDS", "3", "LISTEN_PID", String.valueOf(self + 1)), self));
        assertEquals(List.of(), ServiceManager.take(fds, Map.of("LISTEN_FDS", "0", "LISTEN_PID", String.valueOf(self)), self));
        IOException e = assertThrows(IOException.class,
                () -> ServiceManager.take(fds, Map.of("LISTEN_FDS", "-1", "LISTEN_PID", String.valueOf(self)), self));
        assertEquals("LISTEN_FDS=-1: is not a number", e.getMessage());
    }

    @Test
    void openFileDescriptionsHaveAnOrder() throws IOException {
        try (Fd a = EventFd.create(fds, "a"); Fd b = EventFd.create(fds, "b"); Fd again = a.duplicate()) {
            assertTrue(OpenFiles.canCompare(a));
            assertEquals(0, OpenFiles.compare(a, again));
            assertTrue(OpenFiles.compare(a, b) != 0);
            assertEquals(OpenFiles.compare(a, b), -OpenFiles.compare(b, again));
        }
    }
}
