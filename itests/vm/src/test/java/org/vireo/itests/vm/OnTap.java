// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestNamespace;
import org.vireo.testsupport.TestTap;

/** For each test a network namespace with a persistent TAP in it, which outlives daemons; both are gone afterwards. */
final class OnTap implements BeforeEachCallback, AfterEachCallback {
    private TestNamespace namespace;
    private TestTap tap;

    @Override
    public void beforeEach(ExtensionContext context) {
        Requirements.root();
        Requirements.tap();
        Requirements.namespaces();
        namespace = TestNamespace.create();
        tap = TestTap.tap(namespace, "vnet_hdr").up();
    }

    @Override
    public void afterEach(ExtensionContext context) {
        if (tap != null) {
            tap.close();
        }
        if (namespace != null) {
            namespace.close();
        }
    }

    TestNamespace namespace() {
        return namespace;
    }

    /** The TAP's name. */
    String tap() {
        return tap.name();
    }

    /** Frames that the TAP has had from its guest. */
    long arrived() {
        return namespace.framesReceived(tap.name());
    }
}
