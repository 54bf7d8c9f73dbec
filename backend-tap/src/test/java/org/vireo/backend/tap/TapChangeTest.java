// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortSettings;
import org.vireo.net.api.StateTransferException;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestTap;

/** A TAP that is open goes on with another configuration: what differs changes when the new port is told that it is the owner. */
class TapChangeTest {
    private TestTap tap;
    private TapBackend former;
    private FramePort open;

    @BeforeEach
    void begin() {
        Requirements.tap();
        tap = TestTap.tap();
    }

    @AfterEach
    void end() {
        if (open != null) {
            open.close(NetPort.Disposal.LEAVE);
        }
        if (tap != null) {
            tap.close();
        }
    }

    private void open(String... options) throws NetdevException {
        former = backend(options);
        open = (FramePort) former.open(new OneFrame.Context(1));
        open.apply(settings(open));
    }

    private TapBackend backend(String... options) {
        Map<String, String> m = new java.util.LinkedHashMap<>(Map.of("ifname", tap.name()));
        for (int i = 0; i < options.length; i += 2) {
            m.put(options[i], options[i + 1]);
        }
        return new TapBackend("net0", m);
    }

    private static PortSettings settings(FramePort p) {
        return PortSettings.of(12, 0, BitSet.valueOf(new long[] {1}));
    }

    /** Loaded, but not told yet that it is the owner. */
    private FramePort load(TapBackend next) throws Exception {
        try (BackendState s = former.save(open, 1)) {
            return (FramePort) next.load(s, new OneFrame.Context(1));
        }
    }

    private FramePort goOn(TapBackend next) throws Exception {
        FramePort p = load(next);
        p.apply(settings(p));
        open.close(NetPort.Disposal.LEAVE);
        open = p;
        former = next;
        return p;
    }

    private int sendBuffer() throws Exception {
        return TapIoctl.sendBuffer(open.queue(0).events().number());
    }

    private String show() {
        return tap.run("ip", "-o", "link", "show", "dev", tap.name());
    }

    @Test
    void whatDiffersChangesWithTheFirstSettings() throws Exception {
        try (TestTap one = TestTap.bridge(null); TestTap two = TestTap.bridge(null)) {
            open("sndbuf", "100000", "br", one.name());
            String before = show();
            TapBackend next = backend("sndbuf", "200000", "mtu", "2000", "br", two.name());
            FramePort p = load(next);
            assertEquals(before, show(), "an inert port changes nothing");
            assertEquals(100_000, sendBuffer());
            assertEquals(2000, p.profile().mtu());
            p.close(NetPort.Disposal.LEAVE);
            goOn(next);
            assertEquals(200_000, sendBuffer());
            assertTrue(show().contains(" mtu 2000 ") && show().contains(" master " + two.name() + " "), show());
            goOn(backend());
            assertEquals(Integer.MAX_VALUE, sendBuffer(), "no limit any more");
            assertTrue(show().contains(" mtu 2000 "), "what is not given any more stays: " + show());
            assertFalse(show().contains(" master "), "but for the bridge: " + show());
        }
    }

    @Test
    void theSameConfigurationLeavesAloneWhatOthersHaveChanged() throws Exception {
        try (TestTap one = TestTap.bridge(null); TestTap two = TestTap.bridge(null)) {
            open("mtu", "1400", "br", one.name());
            tap.run("ip", "link", "set", tap.name(), "mtu", "1300", "master", two.name());
            goOn(backend("mtu", "1400", "br", one.name()));
            assertTrue(show().contains(" mtu 1300 ") && show().contains(" master " + two.name() + " "), show());
        }
    }

    @Test
    void whatTheKernelRefusesLeavesEverythingAsItWas() throws Exception {
        try (TestTap one = TestTap.bridge(null)) {
            open("sndbuf", "100000", "br", one.name());
            FramePort p = load(backend("sndbuf", "200000", "mtu", "2000", "br", "nosuchbridge"));
            NetdevException e = assertThrows(NetdevException.class, () -> p.apply(settings(p)));
            assertTrue(e.getMessage().contains("br=nosuchbridge") && e.getMessage().contains("ip link add"), e.getMessage());
            p.close(NetPort.Disposal.LEAVE);
            assertEquals(100_000, sendBuffer());
            assertTrue(show().contains(" mtu 1500 ") && show().contains(" master " + one.name() + " "), show());
        }
    }

    @Test
    void whatCannotChangeWhileItIsOpenIsRefusedBeforeAnythingIs() throws Exception {
        open();
        StateTransferException e = assertThrows(StateTransferException.class,
                () -> load(new TapBackend("net0", Map.of("ifname", "other"))));
        assertTrue(e.getMessage().contains("ifname") && e.getMessage().contains("other") && e.getMessage().contains(tap.name()),
                e.getMessage());
        assertThrows(StateTransferException.class, () -> load(backend("queues", "2")));
        assertThrows(StateTransferException.class, () -> load(backend("vnet_hdr", "off")));
    }

    @Test
    void aPersistentInterfaceOutlivesItsPort() throws Exception {
        open();
        assertTrue(open.profile().lasting(), open.profile().toString());
        assertTrue(goOn(backend()).profile().lasting(), "also when it was loaded");
        FramePort made = (FramePort) new TapBackend("net1", Map.of("ifname", TestTap.freshName())).open(new OneFrame.Context(1));
        assertFalse(made.profile().lasting(), "it goes with its descriptor");
        made.close(NetPort.Disposal.RELEASE);
    }
}
