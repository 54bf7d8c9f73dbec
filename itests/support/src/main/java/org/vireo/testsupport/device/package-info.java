// SPDX-License-Identifier: Apache-2.0
/**
 * The device's side of virtqueues for tests: what stands behind a port that takes rings, or serves them itself. Small and plain, of split
 * rings only; it trusts the driver.
 */
@Export
@Version("1.0.0")
package org.vireo.testsupport.device;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
