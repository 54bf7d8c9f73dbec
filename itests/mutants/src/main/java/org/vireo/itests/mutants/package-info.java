// SPDX-License-Identifier: Apache-2.0
/**
 * Netdev type {@code mutant}: each frame is a packet on a socket whose number is given. With {@code fault=} it breaks a rule of the
 * contract, which the backend test kit has to notice.
 */
@Export(substitution = Export.Substitution.NOIMPORT)
@Version("1.0.0")
@Capability(namespace = "net.backend", attribute = "net.backend=mutant")
package org.vireo.itests.mutants;

import org.osgi.annotation.bundle.Capability;
import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
