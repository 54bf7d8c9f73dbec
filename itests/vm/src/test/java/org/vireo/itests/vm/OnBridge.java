// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestTap;

/** For each test a network namespace with two persistent TAPs on a bridge in it; all is gone afterwards. */
final class OnBridge implements BeforeEachCallback, AfterEachCallback {
    private final OnTap on = new OnTap();
    private TestTap bridge;
    private TestTap other;

    @Override
    public void beforeEach(ExtensionContext context) {
        on.beforeEach(context);
        bridge = TestTap.bridge(on.namespace()).up();
        other = TestTap.tap(on.namespace(), "vnet_hdr").up().master(bridge);
        on.namespace().run("ip", "link", "set", on.tap(), "master", bridge.name());
    }

    @Override
    public void afterEach(ExtensionContext context) {
        if (other != null) {
            other.close();
        }
        if (bridge != null) {
            bridge.close();
        }
        on.afterEach(context);
    }

    TestNamespace namespace() {
        return on.namespace();
    }

    /** One TAP. */
    String tap() {
        return on.tap();
    }

    /** The other one. */
    String otherTap() {
        return other.name();
    }
}
