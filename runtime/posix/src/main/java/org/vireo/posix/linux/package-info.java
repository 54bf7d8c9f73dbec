// SPDX-License-Identifier: Apache-2.0
/** What Vireo's own bundles need of Linux beyond {@link org.vireo.posix}: epoll, shared memory, sockets that carry descriptors. */
@Export
@Version("1.0.0")
package org.vireo.posix.linux;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
