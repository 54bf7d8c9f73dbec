// SPDX-License-Identifier: Apache-2.0
/**
 * Netdev type {@code tap}: the frames of a NIC go to and come from a TAP interface of the Linux kernel, whose descriptors can move to
 * another implementation or process while the guest runs.
 */
// never imported: two versions of this bundle stand side by side during a swap, and each uses its own classes
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=tap")
package org.vireo.backend.tap;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
