// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.vireo.guest.GuestNic;
import org.vireo.guest.InflightArea;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.Ownership;
import org.vireo.net.api.nic.Ownership.Phase;
import org.vireo.net.api.nic.TransferableNic;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.ProtocolFeatures;

/** A VMM cuts memory off while its NIC stands still: whoever starts the rings again is told, and no other NIC suffers. */
class CutMemoryTest {
    private Harness source;
    private Harness target;
    private FakeNetwork net;

    @BeforeEach
    void start() throws Exception {
        source = new Harness(1);
        target = new Harness(1);
        net = source.network(1);
        source.backend("neta", net);
        target.backend("neta", net);
        source.nic("a");
    }

    @AfterEach
    void stop() {
        target.close();
        source.close();
    }

    private GuestNic guest(boolean packed) throws Exception {
        return source.guest("a", GuestNic.options().ringSize(64).packed(packed).inflight(true));
    }

    private TransferableNic out(String id) {
        return source.registry.transferable(id).orElseThrow();
    }

    private IncomingNic prepare(TransferableNic out) throws NicException {
        NicImage image = out.begin(1, true, false, NicImage::close);
        return target.registry.prepare(image, true, Harness.soon());
    }

    private static void dead(TransferableNic nic) {
        long word = nic.block().word();
        Ownership taken = Ownership.decode(word).next(Phase.TAKEN, nic.block().self(), Ownership.NONE);
        assertTrue(nic.block().compareAndSet(word, taken.encode()));
    }

    /** Both are taken by the same thread, one after the other. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aNicThatCannotBeTakenCostsNoOther(boolean packed) throws Exception {
        FakeNetwork otherNet = source.network(1);
        source.backend("netb", otherNet);
        target.backend("netb", otherNet);
        source.nic("b");
        GuestNic other = source.guest("b", GuestNic.options());
        GuestNic g = guest(packed);
        InflightArea memory = source.unsealed(g);
        net.passBothWays(g, 1);
        TransferableNic out = out("a");
        IncomingNic in = prepare(out);
        out.freeze(Harness.soon());
        SharedMemory.resize(memory.file(), 0);
        dead(out);
        NicException e = assertThrows(NicException.class, in::take);
        assertTrue(e.getMessage().contains("MEMORY_GONE: a ring 0"), e.getMessage());
        in.giveBack();
        IncomingNic second = prepare(out("b"));
        HandoverInsideTest.succeed(out("b"), second);
        otherNet.passBothWays(other, 2);
        in.close();
    }

    /** The log of a VM that is migrated is written to before anything runs. */
    @Test
    void aNicWhoseLogWasCutIsNotTaken() throws Exception {
        GuestNic g = guest(false);
        try (VmmMigration m = new VmmMigration(source.fds, g, 0, 0)) {
            m.begin();
            TransferableNic out = out("a");
            IncomingNic in = prepare(out);
            out.freeze(Harness.soon());
            m.cut();
            dead(out);
            NicException e = assertThrows(NicException.class, in::take);
            assertTrue(e.getMessage().contains("MEMORY_GONE"), e.getMessage());
            in.giveBack();
            in.close();
        }
    }

    /** Nobody has taken it, and it goes on where it was: its VMM is heard in any case. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whoGoesOnHearsItsVmm(boolean log) throws Exception {
        GuestNic g = guest(false);
        InflightArea memory = source.unsealed(g);
        net.passBothWays(g, 1);
        try (VmmMigration m = new VmmMigration(source.fds, g, 0, 0)) {
            m.begin();
            TransferableNic nic = out("a");
            nic.begin(1, true, false, NicImage::close).close();
            nic.freeze(Harness.soon());
            if (log) {
                m.cut();
                // who took it has died
                dead(nic);
            } else {
                SharedMemory.resize(memory.file(), 0);
            }
            nic.resume();
            source.awaitState("a", NicState.FAILED);
            assertTrue(source.status("a").why().contains("MEMORY_GONE"), source.status("a").why());
            assertTrue((g.frontEnd().getProtocolFeatures() & ProtocolFeatures.INFLIGHT_SHMFD) != 0);
        }
    }
}
