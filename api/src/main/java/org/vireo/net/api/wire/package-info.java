// SPDX-License-Identifier: Apache-2.0
/**
 * States as bytes: the one encoding of {@link org.vireo.net.api.Section}s and {@link org.vireo.net.api.BackendState}s outside a process.
 * Backends have nothing to do with it.
 */
@Export
@Version("1.0.0")
package org.vireo.net.api.wire;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
