// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.vireo.net.api.Fd;
import org.vireo.posix.Posix;
import org.vireo.testsupport.device.TestDevice;

/** The socket as a device's network. */
final class SocketNetwork implements TestDevice.Outside {
    private static final int MOST = 4096;
    private static final int THAT_ONE = 77;

    private final Fd socket;
    private final RingFault fault;
    private final MemorySegment buffer = Arena.ofAuto().allocate(MOST);
    private volatile int sent;
    private boolean mute;

    SocketNetwork(Fd socket, RingFault fault) {
        this.socket = socket;
        this.fault = fault;
    }

    int sent() {
        return sent;
    }

    /** Whether frames go nowhere. */
    void mute(boolean on) {
        mute = on;
    }

    @Override
    public void send(byte[] frame) {
        sent++;
        if (mute || fault == RingFault.LOSES_ONE && sent == THAT_ONE) {
            return;
        }
        MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, 0, frame.length);
        Posix.write(socket.number(), buffer.address(), frame.length);
    }

    @Override
    public byte[] next() {
        long n = mute ? 0 : Posix.read(socket.number(), buffer.address(), MOST);
        return n <= 0 ? null : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
    }
}
