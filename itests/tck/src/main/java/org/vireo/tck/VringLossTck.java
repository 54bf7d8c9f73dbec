// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Assumptions;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.testsupport.Await;

/** What stands behind a port that takes rings goes, and comes again; or the port's owner dies. */
public abstract class VringLossTck extends VringLoanTck {
    private static final String UP = "link up";
    private static final String DOWN = "link down";

    /** For the kit's parts only. */
    VringLossTck() {
    }

    private BackendFixture.ExternalNetwork external() throws Exception {
        BackendFixture.ExternalNetwork n = kit().externalNetwork();
        Assumptions.assumeTrue(n != null, "nothing behind this netdev comes and goes (BackendFixture.externalNetwork)");
        return opensLater(n);
    }

    /** Opens when the other side is there, as the system does it: again and again. */
    private RingGuest openSoon(NetBackend b) {
        return Await.value(limit(), "the netdev opens when the other side has come", () -> {
            try {
                RingGuest g = rings(b, 1, PLAIN, 0);
                g.begin();
                return g;
            } catch (PortUnavailableException e) {
                return null;
            }
        });
    }

    private static void says(RingGuest g, String what, int times) {
        Await.until(limit(), "the port says " + what + ", it has said " + g.context().news(),
                () -> g.context().news().stream().filter(what::equals).count() >= times);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "rings-inherited", contract = "VringSpec.mayRun",
            says = "rings whose former owner died go on where they are, not where they once began")
    public void ringsThatMayRunGoOn() throws Exception {
        needsRings();
        BackendFixture.Network n = network(1);
        NetBackend source = backend(n);
        transfer(source);
        RingGuest p = rings(source, 1, PLAIN, 0);
        p.begin();
        BackendState s = save(source, p.port());
        bothWays(p, n, 1, 40);
        s.close();
        BackendState last = save(source, p.port());
        p.driver().offer(0, 41, 45, true);
        send(n, 41, 45);
        RingGuest q = ((RingGuest) load(backend(n), last, p)).inherits();
        p.die();
        q.transmit(0, 46, 60);
        expectTransmitted(n, 41, 60);
        send(n, 46, 60);
        q.driver().receiveUpTo(60);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "open-unavailable", contract = "PortUnavailableException",
            says = "what is not there yet is no wrong configuration: open() says so, leaves nothing, and is tried again")
    public void openBeforeTheOtherSide() throws Exception {
        needsRings();
        BackendFixture.ExternalNetwork n = external();
        NetBackend b = backend(n);
        assertThrows(PortUnavailableException.class, () -> b.open(context(1)), "the other side is not there");
        Census census = Census.take();
        String why = assertThrows(PortUnavailableException.class, () -> b.open(context(1)), "the other side is not there").getMessage();
        assertTrue(why != null && !why.isBlank(), "PortUnavailableException without a message");
        census.expectNothingMore("after a refused open()");
        n.come(false);
        bothWays(openSoon(b), n, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "other-side-returns", contract = "VringPort",
            says = "without its other side a port takes calls, says so with its link, and starts the rings again by itself")
    public void portsOutliveTheirOtherSide() throws Exception {
        needsRings();
        BackendFixture.ExternalNetwork n = external();
        n.come(false);
        RingGuest g = openSoon(backend(n));
        assertTrue(g.rings().profile().linkUp(), "link in the profile of a port that was just opened");
        bothWays(g, n, 1, 20);
        for (int i = 1; i <= 2; i++) {
            n.go();
            says(g, DOWN, i);
            int offered = g.driver().offer(0, 100 * i, 100 * i + 4, true);
            g.enable(0, false);
            g.memory(g.driver().ram().memory());
            g.call(() -> g.rings().call(0, g.driver().ring(0).call()));
            g.enable(0, true);
            n.come(false);
            says(g, UP, i);
            g.transmit(0, offered + 1, 100 * i + 30);
            expectTransmitted(n, 100 * i, 100 * i + 30);
            send(n, 100 * i, 100 * i + 30);
            g.expectReceived(100 * i, 100 * i + 30);
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "stopped-stays-stopped", contract = "VringPort",
            says = "a ring that was stopped is never started by itself")
    public void stoppedRingsAreNotStartedByThemselves() throws Exception {
        needsRings();
        BackendFixture.ExternalNetwork n = external();
        n.come(false);
        RingGuest g = openSoon(backend(n));
        bothWays(g, n, 1, 10);
        n.go();
        says(g, DOWN, 1);
        g.stop(0);
        n.come(false);
        says(g, UP, 1);
        g.transmit(0, 11, 15);
        expectTransmitted(n, 11, 15);
        int before = g.driver().ring(0).usedIndex();
        send(n, 11, 15);
        untilItWouldHaveHappened();
        assertEquals(before, g.driver().ring(0).usedIndex(), "used index of a ring that was stopped when the other side was away");
        g.start(0);
        send(n, 16, 20);
        g.driver().receiveUpTo(20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "profile-told", contract = "PortListener.profile",
            says = "an other side that can do more changes the profile, which is told; what is in force goes on")
    public void changedProfilesAreTold() throws Exception {
        needsRings();
        BackendFixture.ExternalNetwork n = external();
        n.come(false);
        RingGuest g = openSoon(backend(n));
        PortProfile before = g.rings().profile();
        bothWays(g, n, 1, 5);
        n.go();
        says(g, DOWN, 1);
        n.come(true);
        says(g, UP, 1);
        says(g, "profile", 1);
        PortProfile now = g.context().told();
        assertEquals(before.pairs(), now.pairs(), "pairs of the new profile");
        assertNotEquals(before.features(), now.features(), "features of the new profile");
        bothWays(g, n, 6, 10);
        g.still();
        g.close(NetPort.Disposal.RELEASE);
    }
}
