// SPDX-License-Identifier: Apache-2.0
/** The same thing many times under traffic (handovers, swaps, failovers), and how long each froze the guest. */
package org.vireo.bench.series;
