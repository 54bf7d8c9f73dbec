// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import java.util.Map;
import org.junit.jupiter.api.DisplayName;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;

/** Configuration, opening, settings, closing. */
public abstract class LifeTck extends TckSupport {
    /** For the kit's parts only. */
    LifeTck() {
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetBackend: constructing and validate() touch nothing outside")
    public void validateTouchesNothing() throws Exception {
        BackendFixture.Network n = network(1);
        backend(n).validate();
        String before = n.observe();
        NetBackend b = backend(n);
        Census census = Census.take();
        b.validate();
        census.expectNothingMore("after validate()");
        assertEquals(before, n.observe());
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetBackend.validate: names the option that is wrong; making such a backend does not fail")
    public void validateNamesTheOption() throws Exception {
        for (Map.Entry<String, Map<String, ?>> e : kit().refusedOptions().entrySet()) {
            NetBackend b = kit().backend("tckrefused", e.getValue());
            NetdevException why = assertThrows(NetdevException.class, b::validate, e.getValue().toString());
            assertTrue(why.getMessage().contains(e.getKey()), "\"" + e.getKey() + "\" is missing in: " + why.getMessage());
            assertThrows(NetdevException.class, () -> b.open(context(1)), e.getValue().toString());
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetBackend.open: a second port of the same object is refused with AlreadyOpenException, and the first lives on")
    public void secondOpenIsRefused() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        FramePort p = running(b, 1);
        assertThrows(AlreadyOpenException.class, () -> b.open(context(1)));
        transmit(p.queue(0), header(p), 1, 3);
        expectTransmitted(n, 1, 3);
        p.close(NetPort.Disposal.RELEASE);
        assertTrue(open(b, 1) != p, "the closed port came again");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("OpenContext.pairs: a port with fewer pairs than the NIC is refused, and nothing is left behind")
    public void tooFewPairsAreRefused() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        assertThrows(NetdevException.class, () -> b.open(context(2)));
        Census census = Census.take();
        assertThrows(NetdevException.class, () -> b.open(context(2)));
        census.expectNothingMore("after a refused open()");
        running(b, 1);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetPort.profile: constant for the life of the port; FramePort.queue: the same object each time")
    public void profileIsConstant() throws Exception {
        int pairs = kit().maxPairs();
        NetBackend b = backend(network(pairs));
        FramePort p = open(b, pairs);
        PortProfile before = p.profile();
        String text = before.toString();
        assertTrue(before.pairs() >= pairs, text);
        p.apply(settings(p, pairs));
        p.apply(settings(p, 1));
        assertEquals(text, p.profile().toString());
        for (int i = 0; i < pairs; i++) {
            assertSame(p.queue(i), p.queue(i));
            assertSame(p.queue(i).events(), p.queue(i).events());
            assertTrue(p.queue(i).events().isOpen());
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetPort.apply: each header length and each pair of the profile can be had, there and back")
    public void applyTakesWhatTheProfileAllows() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        FramePort p = open(backend(n), pairs);
        int number = 1;
        for (int header : p.profile().headerLengths()) {
            for (int used = 0; used <= pairs; used++) {
                BitSet enabled = new BitSet();
                enabled.set(0, used);
                p.apply(PortSettings.of(header, 0, enabled));
                for (int i = 0; i < used; i++) {
                    transmit(p.queue(i), header, number, number);
                    expectTransmitted(n, number, number);
                    number++;
                }
            }
        }
        long guest = p.profile().features() & (1L << 1 | 1L << 7 | 1L << 8 | 1L << 9 | 1L << 10 | 1L << 54 | 1L << 55);
        BitSet first = new BitSet();
        first.set(0);
        p.apply(PortSettings.of(header(p), guest, first));
        p.apply(PortSettings.of(header(p), 0, first));
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetPort.apply: leaves the former settings in force if it throws")
    public void applyRestoresOnFailure() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        String before = n.observe();
        assertThrows(NetdevException.class, () -> p.apply(PortSettings.of(11, 0, new BitSet())));
        BitSet first = new BitSet();
        first.set(0);
        for (int header : new int[] {0, 10, 12}) {
            if (!p.profile().headerLengths().contains(header)) {
                assertThrows(NetdevException.class, () -> p.apply(PortSettings.of(header, 0, first)), "header length " + header);
            }
        }
        assertEquals(before, n.observe());
        transmit(p.queue(0), header(p), 1, 5);
        expectTransmitted(n, 1, 5);
        send(n, 1, 5);
        expectReceived(p, 1, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetPort.quiesce, resume: frames go on afterwards")
    public void quiesceAndResume() throws Exception {
        BackendFixture.Network n = network(1);
        FramePort p = running(backend(n), 1);
        p.quiesce();
        p.resume();
        transmit(p.queue(0), header(p), 1, 5);
        expectTransmitted(n, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Test
    @DisplayName("NetPort.close: when it returns nothing holds a descriptor, no thread is left; further calls do nothing")
    public void closeLeavesNothing() throws Exception {
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        NetBackend b = backend(n);
        cycle(b, pairs);
        Census census = Census.take();
        for (int i = 0; i < 10; i++) {
            cycle(b, pairs);
        }
        census.expectNothingMore("after close()");
    }

    private void cycle(NetBackend b, int pairs) throws Exception {
        FramePort p = running(b, pairs);
        p.statistics((name, value) -> {
            assertTrue(name.matches("[a-z0-9]+(-[a-z0-9]+)*"), "counter name " + name);
            assertTrue(value >= 0, name + " " + value);
        });
        p.close(NetPort.Disposal.RELEASE);
        for (int i = 0; i < pairs; i++) {
            assertFalse(p.queue(i).events().isOpen());
        }
        p.close(NetPort.Disposal.RELEASE);
        p.close(NetPort.Disposal.LEAVE);
    }
}
