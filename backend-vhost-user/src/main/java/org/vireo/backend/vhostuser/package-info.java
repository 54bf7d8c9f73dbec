// SPDX-License-Identifier: Apache-2.0
/**
 * Netdev type {@code vhost-user}: gives the guest's rings to an external back-end process, and to the next one when that has gone.
 */
// never imported: two versions of this bundle stand side by side during a swap, and each uses its own classes
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=vhost-user")
package org.vireo.backend.vhostuser;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
