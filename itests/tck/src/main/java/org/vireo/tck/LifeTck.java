// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;

/** Configuration, opening, settings, closing. */
public abstract class LifeTck extends TckSupport {
    private static final String UNKNOWN = "vireotcknosuchoption";

    /** For the kit's parts only. */
    LifeTck() {
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "validate-inert", contract = "NetBackend.validate",
            says = "constructing and validate() touch nothing outside")
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
    @Rule(id = "validate-unknown-option", contract = "NetBackend.validate",
            says = "refuses an option that it does not know, by name; so does open()")
    public void unknownOptionIsRefused() throws Exception {
        BackendFixture.Network n = network(1);
        Map<String, Object> options = new LinkedHashMap<>(n.options());
        options.put(UNKNOWN, "1");
        NetBackend b = kit().backend("tckunknown", options);
        NetdevException why = assertThrows(NetdevException.class, b::validate, "option " + UNKNOWN + " is accepted");
        assertTrue(String.valueOf(why.getMessage()).contains(UNKNOWN), "\"" + UNKNOWN + "\" is missing in: " + why.getMessage());
        Census census = Census.take();
        assertThrows(NetdevException.class, () -> b.open(context(1)), "open() with option " + UNKNOWN);
        census.expectNothingMore("after a refused open()");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "options-with-a-dot", contract = "package-info",
            says = "an option with a dot in its name was added by the framework and is none of the backend's")
    public void optionsOfTheFrameworkAreIgnored() throws Exception {
        Map<String, Object> options = new LinkedHashMap<>(network(1).options());
        options.put("org.vireo.tck", "1");
        kit().backend("tckdot", options).validate();
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "validate-names-the-option", contract = "NetBackend.validate",
            says = "names the option that is wrong; making such a backend does not fail")
    public void validateNamesTheOption() throws Exception {
        Map<String, Map<String, ?>> all = kit().refusedOptions();
        Assumptions.assumeFalse(all.isEmpty(), "no options are known that have to be refused (--refuse NAME=VALUE)");
        for (Map.Entry<String, Map<String, ?>> e : all.entrySet()) {
            NetBackend b = kit().backend("tckrefused", e.getValue());
            NetdevException why = assertThrows(NetdevException.class, b::validate, e.getValue().toString());
            assertTrue(String.valueOf(why.getMessage()).contains(e.getKey()), "\"" + e.getKey() + "\" is missing in: " + why.getMessage());
            assertThrows(NetdevException.class, () -> b.open(context(1)), e.getValue().toString());
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "open-once", contract = "NetBackend.open",
            says = "a second port of the same object is refused with AlreadyOpenException, and the first lives on")
    public void secondOpenIsRefused() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        KitGuest g = running(b, 1);
        assertThrows(AlreadyOpenException.class, () -> b.open(context(1)));
        g.transmit(0, 1, 3);
        expectTransmitted(n, 1, 3);
        g.close(NetPort.Disposal.RELEASE);
        assertTrue(open(b, 1).port() != g.port(), "the closed port came again");
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "open-too-few-pairs", contract = "OpenContext.pairs",
            says = "a port with fewer pairs than the NIC is refused, and nothing is left behind")
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
    @Rule(id = "profile-constant", contract = "NetPort.profile",
            says = "constant for the life of the port; a pair has the same queue and descriptor each time")
    public void profileIsConstant() throws Exception {
        int pairs = kit().maxPairs();
        NetBackend b = backend(network(pairs));
        NetPort p = open(b, pairs).port();
        PortProfile before = p.profile();
        String text = before.toString();
        assertTrue(before.pairs() >= pairs, text);
        p.apply(settings(p, pairs));
        p.apply(settings(p, 1));
        assertEquals(text, p.profile().toString());
        if (p instanceof FramePort f) {
            for (int i = 0; i < pairs; i++) {
                assertSame(f.queue(i), f.queue(i));
                assertSame(f.queue(i).events(), f.queue(i).events());
                assertTrue(f.queue(i).events().isOpen());
            }
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "apply-what-the-profile-allows", contract = "NetPort.apply",
            says = "each header length and each pair of the profile can be had, there and back")
    public void applyTakesWhatTheProfileAllows() throws Exception {
        needsFrames();
        int pairs = kit().maxPairs();
        BackendFixture.Network n = network(pairs);
        FramePort p = openFrames(backend(n), pairs);
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
    @Rule(id = "apply-fails-unchanged", contract = "NetPort.apply",
            says = "leaves the former settings in force if it throws")
    public void applyRestoresOnFailure() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
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
    @Rule(id = "quiesce-resume", contract = "ThreadedPort.quiesce",
            says = "after resume() frames go on")
    public void quiesceAndResume() throws Exception {
        BackendFixture.Network n = network(1);
        KitGuest g = running(backend(n), 1);
        g.still();
        quiesce(g.port());
        resume(g.port());
        g.transmit(0, 1, 5);
        expectTransmitted(n, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "quiesce-stills", contract = "ThreadedPort.quiesce",
            says = "nothing touches the descriptors but its own threads, and they not after quiesce(): what arrives waits")
    public void quietPortTouchesNothing() throws Exception {
        needsFrames();
        BackendFixture.Network n = network(1);
        FramePort p = runningFrames(backend(n), 1);
        drain(p.queue(0), new KitWindow(64, LARGEST, header(p)), number -> { });
        quiesce(p);
        send(n, 1, 20);
        untilItWouldHaveHappened();
        resume(p);
        expectReceived(p, 1, 1, 20);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "refusals-say-why", contract = "NetdevException",
            says = "what was wrong, with which value: a refusal has a message, and that of settings names the value")
    public void refusalsHaveMessages() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        expectMessage(assertThrows(NetdevException.class, () -> b.open(context(2)), "2 pairs"), "2");
        NetPort p = running(b, 1).port();
        expectMessage(assertThrows(NetdevException.class, () -> b.open(context(1)), "a second port"), "");
        if (p instanceof FramePort) {
            expectMessage(assertThrows(NetdevException.class, () -> p.apply(PortSettings.of(11, 0, new BitSet())), "header length 11"),
                    "11");
        }
    }

    private static void expectMessage(NetdevException e, String value) {
        assertTrue(e.getMessage() != null && !e.getMessage().isBlank(), e.getClass().getSimpleName() + " without a message");
        assertTrue(e.getMessage().contains(value), "\"" + value + "\" is missing in: " + e.getMessage());
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "statistics", contract = "NetPort.statistics",
            says = "counters only grow, and have names of lower case words joined by hyphens")
    public void countersOnlyGrow() throws Exception {
        BackendFixture.Network n = network(1);
        KitGuest g = running(backend(n), 1);
        Map<String, Long> before = statistics(g.port());
        g.transmit(0, 1, 10);
        Map<String, Long> after = statistics(g.port());
        before.forEach((name, value) -> assertTrue(after.getOrDefault(name, -1L) >= value,
                "counter " + name + " was " + value + " and is " + after.get(name)));
        seen(after.size() + " counters");
    }

    private static Map<String, Long> statistics(NetPort p) {
        Map<String, Long> all = new LinkedHashMap<>();
        p.statistics((name, value) -> {
            assertTrue(name.matches("[a-z0-9]+(-[a-z0-9]+)*"), "counter name " + name);
            assertTrue(value >= 0, name + " " + value);
            assertNull(all.put(name, value), "counter " + name + " is told twice");
        });
        return all;
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "close-twice", contract = "NetPort.close",
            says = "further calls do nothing, not even to a port that was opened since")
    public void furtherClosesDoNothing() throws Exception {
        BackendFixture.Network n = network(1);
        NetBackend b = backend(n);
        KitGuest first = running(b, 1);
        first.close(NetPort.Disposal.RELEASE);
        KitGuest second = running(b, 1);
        first.close(NetPort.Disposal.RELEASE);
        first.close(NetPort.Disposal.LEAVE);
        if (second.port() instanceof FramePort f) {
            assertTrue(f.queue(0).events().isOpen(), "closing a port twice closed another one");
        }
        second.transmit(0, 1, 5);
        expectTransmitted(n, 1, 5);
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "close-leaves-nothing", contract = "NetPort.close",
            says = "when it returns nothing holds a descriptor, and no thread is left")
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
        KitGuest g = running(b, pairs);
        g.close(NetPort.Disposal.RELEASE);
        for (int i = 0; g.port() instanceof FramePort f && i < pairs; i++) {
            assertFalse(f.queue(i).events().isOpen());
        }
        g.forget();
    }
}
