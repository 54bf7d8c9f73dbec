// SPDX-License-Identifier: Apache-2.0
/** Guests that a NIC is given to: a network namespace, or a Linux under QEMU, what it boots, and the traffic that has to work with it. */
package org.vireo.bench.guest;
