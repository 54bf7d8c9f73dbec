// SPDX-License-Identifier: Apache-2.0
/** {@code vireo bench peers}: what others have made (VMMs, drivers, switches), attached to Vireo. */
package org.vireo.bench.peers;
