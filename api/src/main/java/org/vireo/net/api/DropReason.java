// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

/** Why a frame was given up. Each is a counter of the NIC. */
public enum DropReason {
    /** The device refused the frame for what it contains, {@code EINVAL} for instance. */
    INVALID,
    /** The device is down or not attached just now, {@code EIO} or {@code EBUSY} for instance. */
    LINK_DOWN,
    /** The frame is longer than the device or the guest's buffers take. */
    TOO_LONG,
    /** No memory in the kernel. */
    NO_MEMORY,
    /** The pair is disabled: transmit is processed and discarded. */
    DISABLED,
    /** Any other error of the device that concerns the one frame. */
    OTHER
}
