// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.osgi.framework.Constants;
import org.osgi.framework.ServiceReference;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.BackendFixture;
import org.vireo.tck.BackendTck;
import org.vireo.tck.Rule;

/** The kit's rules, and those that concern a bundle. */
public final class BundleTck extends BackendTck {
    private BundleFixture fixture;

    /** For JUnit. */
    public BundleTck() {
        // no state yet
    }

    @Override
    protected BackendFixture fixture() {
        try {
            fixture = new BundleFixture();
            return fixture;
        } catch (Exception e) {
            throw new AssertionError(e.getMessage(), e);
        }
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "service-names", contract = "BackendStateTransfer",
            says = "is implemented by the same object as NetBackend, and both are names of its one service")
    public void oneServiceUnderBothNames() throws Exception {
        ServiceReference<?> r = fixture.service("tckservice", fixture.options().config(1));
        List<String> names = List.of((String[]) r.getProperty(Constants.OBJECTCLASS));
        NetBackend b = fixture.platform().object(r);
        assertTrue(names.contains(NetBackend.class.getName()), names.toString());
        assertEquals(b instanceof BackendStateTransfer, names.contains(BackendStateTransfer.class.getName()),
                "implements BackendStateTransfer, and is registered so");
        assertSame(b, fixture.platform().object(r));
    }

    /**
     * A rule.
     *
     * @throws Exception it is broken
     */
    @Rule(id = "netdevs-apart", contract = "package-info",
            says = "each configuration makes a netdev of its own, with its own id")
    public void oneNetdevForEachConfiguration() throws Exception {
        Map<String, String> options = fixture.options().config(1);
        ServiceReference<?> a = fixture.service("tckone", options);
        ServiceReference<?> b = fixture.service("tcktwo", options);
        assertTrue(fixture.platform().object(a) != fixture.platform().object(b), "two configurations made one object");
        assertTrue(!a.getProperty(NetBackend.NETDEV_ID).equals(b.getProperty(NetBackend.NETDEV_ID)), "two netdevs with one id");
    }
}
