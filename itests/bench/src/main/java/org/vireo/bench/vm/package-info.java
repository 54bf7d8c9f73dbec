// SPDX-License-Identifier: Apache-2.0
/** VMs that move between VMMs, with and without their memory being copied: between two hosts, on one host, and beside QEMU's own way. */
package org.vireo.bench.vm;
