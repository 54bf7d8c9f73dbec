// SPDX-License-Identifier: Apache-2.0
/**
 * A guest without a VM: the front-end role of vhost-user and a virtio-net driver, for the demonstration, the measurements, the backend
 * test kit and the tests. {@link org.vireo.guest.GuestNic} is where to begin; {@link org.vireo.guest.SoftGuest} makes a network
 * namespace a guest.
 */
@Export
@Version("1.0.0")
package org.vireo.guest;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
