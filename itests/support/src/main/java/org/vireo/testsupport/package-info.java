// SPDX-License-Identifier: Apache-2.0
/** What tests need of the machine: requirements, interfaces and name spaces, processes, bounded waits. All clean up after themselves. */
@Export
@Version("1.0.0")
package org.vireo.testsupport;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
