// SPDX-License-Identifier: Apache-2.0
/** Netdev type {@code rogue}: takes all frames, brings none, and does one thing wrong that its option {@code fault} names. */
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=rogue")
package org.example.rogue;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
