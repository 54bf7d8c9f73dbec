// SPDX-License-Identifier: Apache-2.0
/**
 * The backend test kit: the rules of {@link org.vireo.net.api} as tests, for whoever writes a backend. Extend
 * {@link org.vireo.tck.BackendTck} and give it a {@link org.vireo.tck.BackendFixture}. It knows the contract and no backend.
 */
@Export
@Version("1.0.0")
package org.vireo.tck;

import org.osgi.annotation.bundle.Export;
import org.osgi.annotation.versioning.Version;
