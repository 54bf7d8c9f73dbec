// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.lang.foreign.MemorySegment;
import org.osgi.annotation.versioning.ProviderType;

/**
 * Buffers that the guest posted for frames, a window over them that moves with each frame. Valid during one
 * {@link FrameQueue#receive} and on its thread only; addresses change with each delivery and have to be asked again.
 */
@ProviderType
public interface ReceiveWindow {
    /**
     * Address of the {@code struct iovec} array (readv(2)) for the next frame, its header included.
     *
     * @return a native address
     */
    long iovecs();

    /**
     * Entries of the array.
     *
     * @return 1 to 1024; 0 when the window is full
     */
    int iovecCount();

    /**
     * Room for the next frame with its header: at least one largest frame.
     *
     * @return bytes; 0 when the window is full
     */
    int room();

    /**
     * Says that a frame was read into the window.
     *
     * @param bytes its length with the header. More than {@link #room()} means that it was cut off: it is dropped and counted
     * @return true: there is room for another largest frame; false: the window is full, stop
     * @throws IllegalArgumentException less than the header's length
     * @throws IllegalStateException the window was full already
     */
    boolean deliver(int bytes);

    /**
     * Copies a frame into the window and delivers it, for backends that hold frames in memory.
     *
     * @param from where the frame is, header included
     * @param at offset
     * @param bytes length with the header
     * @return as {@link #deliver}
     */
    boolean put(MemorySegment from, long at, int bytes);

    /**
     * Counts a frame that the device lost on its way here, so nothing is delivered.
     *
     * @param why the reason
     */
    void lost(DropReason why);
}
