## SPDX-License-Identifier: Apache-2.0
/** Netdev type {@code ${type}}: each frame is a datagram between two UNIX sockets. */
// never imported: two versions of this bundle stand side by side during a swap, and each uses its own classes
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=${type}")
package ${package};

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
