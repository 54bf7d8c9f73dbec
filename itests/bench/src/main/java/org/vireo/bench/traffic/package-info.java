// SPDX-License-Identifier: Apache-2.0
/**
 * Numbered frames and checksummed bytes: who sends and receives them knows what was lost, repeated, reordered or changed. Some of it is
 * programs, which run in a network namespace of their own.
 */
package org.vireo.bench.traffic;
