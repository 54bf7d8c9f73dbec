// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.testsupport.Await;

/** Only queues of enabled pairs are in use, and this follows at run time. */
class MultiQueueTest {
    private static final int PAIRS = 8;

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void onlyEnabledPairsAreApplied(boolean packed) throws Exception {
        try (Harness h = new Harness(2)) {
            FakeNetwork net = h.network(PAIRS);
            FakeBackend backend = h.backend("neta", net);
            h.nic("a", "queues", "8");
            GuestNic g = h.guest("a", GuestNic.options().packed(packed).pairs(PAIRS).enabledPairs(2).ringSize(64));
            assertEquals(16, g.frontEnd().queueNumber());
            checkEnabled(h, backend, 2);
            for (int i = 0; i < 30; i++) {
                for (int p = 2; p < PAIRS; p++) {
                    g.enablePair(p, true);
                }
                checkEnabled(h, backend, PAIRS);
                passThrough(g, net, PAIRS, i);
                for (int p = 2; p < PAIRS; p++) {
                    g.enablePair(p, false);
                }
                checkEnabled(h, backend, 2);
                passThrough(g, net, 2, i);
            }
        }
    }

    private static void checkEnabled(Harness h, FakeBackend backend, int n) {
        for (int p = 0; p < PAIRS; p++) {
            assertEquals(p < n, backend.applied.enabled(p), "pair " + p + " of " + n + ", " + backend.applied);
        }
    }

    private static void passThrough(GuestNic g, FakeNetwork net, int pairs, int number) {
        for (int p = 0; p < pairs; p++) {
            net.sendSurely(p, FakeBackend.frame(12, 60, number));
            assertTrue(g.transmit(p).send(FakeBackend.frame(0, 60, number), Harness.soon()));
        }
        for (int p = 0; p < pairs; p++) {
            byte[] b = g.receive(p).take(Harness.soon());
            assertNotNull(b);
            assertEquals(number, FakeBackend.number(b, 12));
            assertEquals(number, FakeBackend.number(net.take(p), 12));
        }
    }

    @Test
    void aBackendWithTooFewPairsIsRefusedByName() throws Exception {
        try (Harness h = new Harness(1)) {
            h.backend("neta", h.network(1));
            NicException e = assertThrows(NicException.class, () -> h.nic("a", "queues", "2"));
            assertTrue(e.getMessage().contains("1 queue pairs, the NIC wants 2"), e.getMessage());
            assertFalse(Files.exists(h.socket("a")), "the socket is left behind");
            Await.until(Harness.LIMIT, "the port to be closed", () -> h.registry.list().isEmpty());
        }
    }
}
