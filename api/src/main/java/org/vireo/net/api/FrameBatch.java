// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.lang.foreign.MemorySegment;
import org.osgi.annotation.versioning.ProviderType;

/**
 * Frames that a guest transmits, in guest memory. Valid during one {@link FrameQueue#transmit} and on its thread only. Frame
 * numbers are 0 to {@link #size()} - 1. The guest may change the bytes at any moment: what is checked has to be read once.
 */
@ProviderType
public interface FrameBatch {
    /**
     * How many frames there are.
     *
     * @return the number, at least 1
     */
    int size();

    /**
     * Length of a frame with its header.
     *
     * @param frame its number
     * @return bytes
     */
    int bytes(int frame);

    /**
     * Address of a frame's {@code struct iovec} array (readv(2)): 16 bytes each, address and length as native 64 bit. The
     * virtio-net header comes first, in the length that was applied; with length 0 there is none.
     *
     * @param frame its number
     * @return a native address
     */
    long iovecs(int frame);

    /**
     * Entries of a frame's array.
     *
     * @param frame its number
     * @return 1 to 1024
     */
    int iovecCount(int frame);

    /**
     * Copies bytes of a frame, for backends that keep frames in memory.
     *
     * @param frame its number
     * @param from offset in the frame, header included
     * @param to destination
     * @param at offset in the destination
     * @param bytes how many
     * @throws IndexOutOfBoundsException beyond the frame or the destination
     */
    void copyTo(int frame, long from, MemorySegment to, long at, int bytes);

    /**
     * Reports that a frame was given to the network. In order, each frame once; several at a time if one system call took them.
     *
     * @param frame its number: it and all before it are taken
     */
    void taken(int frame);

    /**
     * Reports that a frame cannot be sent and is given up; counts as {@link #taken}.
     *
     * @param frame its number: it is dropped, all before it are taken
     * @param why the reason, counted
     */
    void drop(int frame, DropReason why);
}
