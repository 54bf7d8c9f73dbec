// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import org.osgi.annotation.versioning.ProviderType;

/** Takes counters. */
@ProviderType
public interface StatisticsSink {
    /**
     * A counter that only grows.
     *
     * @param name lower case, words joined by hyphens
     * @param value its value
     */
    void counter(String name, long value);
}
