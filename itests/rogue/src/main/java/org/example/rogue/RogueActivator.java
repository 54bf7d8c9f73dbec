// SPDX-License-Identifier: Apache-2.0
package org.example.rogue;

import org.osgi.framework.BundleActivator;
import org.osgi.framework.BundleContext;

/** An activator that throws: of variants of this bundle that name it. */
public final class RogueActivator implements BundleActivator {
    /** For the framework. */
    public RogueActivator() {
        // nothing to set up
    }

    @Override
    public void start(BundleContext context) {
        throw new IllegalStateException("the rogue's activator throws");
    }

    @Override
    public void stop(BundleContext context) {
        // never started
    }
}
