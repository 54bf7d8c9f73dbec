// SPDX-License-Identifier: Apache-2.0
/**
 * The vhost-user protocol: messages, their layout and their rules, and the channel that carries them. Shared by both roles. "Front-end"
 * and "back-end" are the specification's words: the front-end is the VMM's side, the back-end the device's. Both have
 * peers that come and go as often as they like: {@link org.vireo.vhostuser.FlapDamping} says what a log gets of that.
 */
@Export
@Version("1.0.0")
package org.vireo.vhostuser;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
