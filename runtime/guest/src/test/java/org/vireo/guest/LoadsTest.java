// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.ConnectException;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.testsupport.Await;

class LoadsTest {
    private final Fds fds = new Descriptors();

    private static InetSocketAddress freeAddress() throws IOException {
        try (DatagramSocket s = new DatagramSocket(0, InetAddress.getByName("127.0.0.1"))) {
            return new InetSocketAddress("127.0.0.1", s.getLocalPort());
        }
    }

    @Test
    void lossRepeatsAndReorderingAreToldApart() {
        SequenceCheck c = new SequenceCheck();
        for (long n : new long[] {0, 1, 2, 5, 3, 3, 4, 9, 9, 7}) {
            c.frame(n);
        }
        assertEquals(8, c.unique());
        assertEquals(2, c.duplicated());
        assertEquals(3, c.reordered());
        assertEquals(10, c.next());
        assertEquals(2, c.lost(10));
        assertEquals(5, c.lost(13));
    }

    @Test
    void numbersAreForgottenAfterFourMillion() {
        SequenceCheck c = new SequenceCheck();
        for (long n = 0; n < 9_000_000; n++) {
            if (n != 4_500_000) {
                c.frame(n);
            }
        }
        c.frame(8_999_999 - (1 << 22) + 1); // the oldest that is remembered
        assertEquals(1, c.duplicated());
        assertEquals(1, c.lost(9_000_000));
        c.frame(10); // long ago: cannot be told from one that was late
        assertEquals(1, c.duplicated());
        assertEquals(1, c.reordered());
        assertThrows(IllegalArgumentException.class, () -> c.frame(1L << 40));
    }

    @Test
    void numberedDatagramsAllArrive() throws Exception {
        InetSocketAddress at = freeAddress();
        try (NumberedReceiver r = new NumberedReceiver(fds, at); NumberedSender s = new NumberedSender(fds, at, 20_000, 64)) {
            CompletableFuture<Void> received = CompletableFuture.runAsync(() -> {
                try {
                    r.run(TimeUnit.SECONDS.toNanos(30));
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            s.run(100_000_000, 500_000_000);
            received.get(30, TimeUnit.SECONDS);
            assertTrue(s.sent() > 100, s.json());
            assertEquals(s.sent(), r.sent());
            assertEquals(s.sent(), r.check().unique(), r.json());
            assertEquals(0, r.check().duplicated() + r.check().reordered() + r.check().lost(s.sent()));
            assertTrue(r.json().contains("\"lost\":0,\"duplicated\":0,\"reordered\":0"), r.json());
        }
    }

    @Test
    void tcpGoesBothWays() throws Exception {
        InetSocketAddress at = freeAddress();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                TcpLoad.serve(at);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        String json = Await.value(Duration.ofSeconds(10), "the server", () -> {
            try {
                return TcpLoad.run(at, 100_000_000);
            } catch (ConnectException e) {
                return null;
            }
        });
        assertTrue(json.startsWith("{\"ok\":true,"), json);
    }

    @Test
    void argumentsAreNamedInErrors() {
        Arguments a = new Arguments(List.of("--to", "10.0.0.1:9", "--quick"), Set.of("to", "rate"), Set.of("quick"));
        assertEquals(9, a.address("to").getPort());
        assertTrue(a.has("quick"));
        assertEquals("--rate is missing", assertThrows(IllegalArgumentException.class, () -> a.required("rate")).getMessage());
        assertEquals("--to: '10.0.0.1:9' is not a number",
                assertThrows(IllegalArgumentException.class, () -> a.number("to", 0, 0, 9)).getMessage());
        Arguments packed = new Arguments(List.of("--packed", "on", "--to", "yes"), Set.of("to", "packed"), Set.of());
        assertTrue(packed.on("packed", false));
        assertTrue(a.on("rate", true), "not said");
        assertEquals("--to: 'yes' is neither on nor off",
                assertThrows(IllegalArgumentException.class, () -> packed.on("to", false)).getMessage());
        assertThrows(IllegalArgumentException.class, () -> new Arguments(List.of("--too"), Set.of("to"), Set.of()));
        assertThrows(IllegalArgumentException.class, () -> new Arguments(List.of("--to"), Set.of("to"), Set.of()));
    }
}
