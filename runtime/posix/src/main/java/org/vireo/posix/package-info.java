// SPDX-License-Identifier: Apache-2.0
/**
 * The few system calls that a backend needs, and descriptors that are closed exactly once. The one place with native code: all
 * else calls it. Needs {@code --enable-native-access=ALL-UNNAMED} (or the module's name).
 */
@Export
@Version("1.1.0")
package org.vireo.posix;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
