// SPDX-License-Identifier: Apache-2.0
/**
 * The commands {@code vireo demo} and {@code vireo bench}: what they are asked, in which order it is done, and how it is printed. All
 * else is in the packages below this one. Each of {@code measure}, {@code series}, {@code faults}, {@code peers} and {@code vm} does one
 * kind of thing and knows no other of them; they share {@code guest}, {@code traffic}, {@code figures} and {@code host}, in this order:
 * none of these uses one before it.
 */
package org.vireo.bench;
