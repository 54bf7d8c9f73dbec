// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.vireo.guest.GuestNic;
import org.vireo.guest.SplitRing;
import org.vireo.net.api.nic.NicState;
import org.vireo.posix.linux.SharedMemory;

/** A driver that breaks a rule costs its own NIC, once and by name; what shares its worker goes on. */
class HostileRingTest {
    private Harness h;
    private FakeNetwork otherNet;
    private GuestNic other;
    private FakeNetwork net;

    @BeforeEach
    void start() throws Exception {
        h = new Harness(1);
        net = h.network(1);
        h.backend("neta", net);
        h.nic("a");
        otherNet = h.network(1);
        h.backend("netb", otherNet);
        h.nic("b");
        other = h.guest("b", GuestNic.options());
    }

    @AfterEach
    void stop() throws Exception {
        h.close();
    }

    /** What a hostile driver writes into its transmit ring. */
    enum Attack {
        LOOP("CHAIN_TOO_LONG") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().specs().getFirst().guest(), 16, SplitRing.NEXT, 1);
                r.descriptor(1, g.ram().specs().getFirst().guest(), 16, SplitRing.NEXT, 0);
            }
        },
        OUTSIDE("ADDRESS_OUTSIDE") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, 0xdead_0000_0000L, 64, 0, 0);
            }
        },
        NEGATIVE("ADDRESS_OUTSIDE") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, -4096, 8192, 0, 0);
            }
        },
        BEYOND_END("ADDRESS_OUTSIDE") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().specs().getFirst().guest() + g.ram().specs().getFirst().size() - 8, 64, 0, 0);
            }
        },
        NESTED("NESTED_INDIRECT") {
            @Override
            void write(GuestNic g, SplitRing r) {
                long table = g.ram().allocate(64, 16);
                SplitRing.writeDescriptor(g.ram().address(table), table, 16, SplitRing.INDIRECT, 0);
                r.descriptor(0, table, 16, SplitRing.INDIRECT, 0);
            }
        },
        ODD_TABLE("INDIRECT_LENGTH") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().allocate(64, 16), 24, SplitRing.INDIRECT, 0);
            }
        },
        EMPTY_TABLE("INDIRECT_LENGTH") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().allocate(64, 16), 0, SplitRing.INDIRECT, 0);
            }
        },
        NEXT_BEYOND("NEXT_OUT_OF_RANGE") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().specs().getFirst().guest(), 64, SplitRing.NEXT, 256);
            }
        },
        WRITABLE("WRITABLE_IN_TRANSMIT") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().specs().getFirst().guest(), 64, SplitRing.WRITE, 0);
            }
        },
        NO_HEADER("NO_ROOM_FOR_HEADER") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.descriptor(0, g.ram().specs().getFirst().guest(), 11, 0, 0);
            }
        },
        HEAD_BEYOND("HEAD_OUT_OF_RANGE") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.available(0, 256);
            }
        },
        INDEX_TOO_FAR("INDEX_TOO_FAR") {
            @Override
            void write(GuestNic g, SplitRing r) {
                r.publishAvailable(257);
            }
        };

        private final String rule;

        Attack(String rule) {
            this.rule = rule;
        }

        abstract void write(GuestNic g, SplitRing r);
    }

    @ParameterizedTest
    @EnumSource(Attack.class)
    void aBrokenRuleIsNamedAndHarmsNobodyElse(Attack attack) throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        SplitRing r = g.transmit(0).ring();
        r.available(0, 0);
        attack.write(g, r);
        if (attack != Attack.INDEX_TOO_FAR) {
            r.publishAvailable(1);
        }
        g.transmit(0).kick();
        h.awaitState("a", NicState.FAILED);
        assertTrue(h.status("a").why().startsWith(attack.rule), h.status("a").why());
        assertTrue(h.status("a").why().contains("a ring 1"), h.status("a").why());
        // it stops at once, and the bad chain is not parsed again for ever
        long t = System.nanoTime();
        g.frontEnd().stop(1);
        long micros = TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - t);
        assertTrue(micros < 5_000_000, "GET_VRING_BASE took " + micros + " us");
        h.awaitState("a", NicState.FAILED);
        neighbourWorks();
        h.registry.remove("a");
        neighbourWorks();
        assertEquals(1, h.events.stream().filter(e -> e.startsWith("NIC_STATE a failed")).count(), h.events.toString());
    }

    /** The worker takes out what broke; that is heard of later, perhaps when its VMM stops the rings already. */
    @Test
    void aRingThatBreaksWhileItIsStoppedCutsNobodyOff() throws Exception {
        for (int i = 0; i < 100; i++) {
            GuestNic g = h.guest("a", GuestNic.options());
            g.transmit(0).ring().publishAvailable(257);
            g.transmit(0).kick();
            g.frontEnd().stop(1);
            g.frontEnd().stop(0);
            g.close();
        }
        neighbourWorks();
    }

    private void neighbourWorks() {
        for (int i = 0; i < 100; i++) {
            assertTrue(other.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
            assertEquals(i, FakeBackend.number(otherNet.take(0), 12));
            otherNet.sendSurely(0, FakeBackend.frame(12, 60, i));
            byte[] b = other.receive(0).take(Harness.soon());
            assertNotNull(b);
            assertEquals(i, FakeBackend.number(b, 12));
        }
    }

    /** After a failure, the next VMM finds a NIC that works. */
    @Test
    void theNextVmmIsServed() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        g.transmit(0).ring().publishAvailable(300);
        g.transmit(0).kick();
        h.awaitState("a", NicState.FAILED);
        g.close();
        h.awaitState("a", NicState.FAILED);
        GuestNic next = h.guest("a", GuestNic.options());
        h.awaitState("a", NicState.RUNNING);
        assertTrue(next.transmit(0).send(FakeBackend.frame(0, 60, 3), Harness.soon()));
        assertEquals(3, FakeBackend.number(net.take(0), 12));
    }

    /** The VMM cuts its memory file short under traffic: only that NIC fails (SIGBUS is an InternalError in a worker). */
    @Test
    void truncatedMemoryCostsOnlyItsOwnNic() throws Exception {
        GuestNic g = h.guest("a", GuestNic.options());
        for (int i = 0; i < 100; i++) {
            assertTrue(g.transmit(0).send(FakeBackend.frame(0, 60, i), Harness.soon()));
        }
        assertTrue(g.transmit(0).awaitAll(Harness.soon()));
        SharedMemory.resize(g.ram().files().getFirst(), 4096);
        g.transmit(0).kick();
        g.receive(0).kick();
        net.sendSurely(0, FakeBackend.frame(12, 60, 1));
        h.awaitState("a", NicState.FAILED);
        assertTrue(h.status("a").why().contains("truncated"), h.status("a").why());
        neighbourWorks();
        g.frontEnd().close();
        h.registry.remove("a");
        neighbourWorks();
        h.nic("a");
        GuestNic next = h.guest("a", GuestNic.options());
        assertTrue(next.transmit(0).send(FakeBackend.frame(0, 60, 3), Harness.soon()));
        assertTrue(next.transmit(0).awaitAll(Harness.soon()));
    }
}
