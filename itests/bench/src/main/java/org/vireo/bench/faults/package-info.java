// SPDX-License-Identifier: Apache-2.0
/** {@code vireo bench faults}: something goes wrong at each point of a handover, on either side. */
package org.vireo.bench.faults;
