// SPDX-License-Identifier: Apache-2.0
/**
 * Netdev type {@code tap-meter}: takes a TAP over from netdev type {@code tap} under a running guest, counts its frames by kind, and can
 * be replaced by {@code tap} again.
 */
// never imported: two versions of this bundle stand side by side during a swap, and each uses its own classes
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=tap-meter")
package com.example.vireo.tapmeter;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
