// SPDX-License-Identifier: Apache-2.0
/**
 * NICs as those see them who manage them and who move them between processes. Nothing here concerns a backend.
 *
 * <p>The frontend provides {@link org.vireo.net.api.nic.Nics}, the handover {@link org.vireo.net.api.nic.Handovers}, the
 * control plane {@link org.vireo.net.api.nic.NetdevConfigurations} and {@link org.vireo.net.api.nic.EventSink}: none of them
 * knows another's classes.
 */
@Export
@Version("1.0.0")
package org.vireo.net.api.nic;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
