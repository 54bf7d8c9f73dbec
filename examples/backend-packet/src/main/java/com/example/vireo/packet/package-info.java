// SPDX-License-Identifier: Apache-2.0
/**
 * Netdev type {@code packet}: the frames of a NIC go to and come from an interface that exists already, through packet sockets
 * (packet(7)), which can move to another implementation or process while the guest runs.
 */
// never imported: two versions of this bundle stand side by side during a swap, and each uses its own classes
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=packet")
package com.example.vireo.packet;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
