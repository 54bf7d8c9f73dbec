// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.PosixException;
import org.vireo.posix.linux.Pipe;
import org.vireo.posix.linux.Poll;
import org.vireo.vhostuser.DeviceStateTransfer;

/** What a VMM does that takes a device's state along ("Migrating back-end state" in the vhost-user specification). One thread at a time. */
public final class DeviceStates {
    private static final int CHUNK = 64 * 1024;

    private DeviceStates() {
    }

    /**
     * Saves the state of a device whose rings are stopped, and checks that it is whole. DEVICE_STATE is acknowledged.
     *
     * @param f to the device
     * @param fds makes the descriptors
     * @param timeout for what comes next
     * @return the state
     * @throws RefusedException the device said no
     * @throws IOException it did not answer, or the state did not end
     */
    public static byte[] save(FrontEnd f, Fds fds, Duration timeout) throws IOException {
        Pipe pipe = Pipe.create(fds, "device state");
        try (Fd ours = pipe.read()) {
            byte[] state;
            try (Fd theirs = begin(f, DeviceStateTransfer.SAVE, pipe.write())) {
                state = read(theirs == null ? ours : theirs, timeout);
            }
            f.checkDeviceState();
            return state;
        }
    }

    /**
     * Loads a state into a device whose rings are stopped, and checks that it could be. DEVICE_STATE is acknowledged.
     *
     * @param f to the device
     * @param fds makes the descriptors
     * @param state what {@link #save} gave
     * @param timeout for what is taken next
     * @throws RefusedException the device said no
     * @throws IOException it did not answer, or did not take the state
     */
    public static void load(FrontEnd f, Fds fds, byte[] state, Duration timeout) throws IOException {
        Pipe pipe = Pipe.create(fds, "device state");
        try (Fd ours = pipe.write(); Fd theirs = begin(f, DeviceStateTransfer.LOAD, pipe.read())) {
            write(theirs == null ? ours : theirs, state, timeout);
        }
        f.checkDeviceState();
    }

    /** What the device made instead, or null. */
    private static Fd begin(FrontEnd f, int direction, Fd end) throws IOException {
        try (end) {
            return f.deviceState(new DeviceStateTransfer(direction, DeviceStateTransfer.STOPPED), end).orElse(null);
        }
    }

    private static byte[] read(Fd from, Duration timeout) throws IOException {
        ByteArrayOutputStream state = new ByteArrayOutputStream();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment chunk = a.allocate(CHUNK);
            while (Poll.readable((int) timeout.toMillis(), from.number()) != 0) {
                long n = Posix.read(from.number(), chunk.address(), CHUNK);
                if (n == 0) {
                    return state.toByteArray();
                }
                if (n < 0) {
                    throw new PosixException("read of a device's state", (int) -n);
                }
                state.writeBytes(chunk.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE));
            }
        }
        throw new IOException("the device's state did not end: " + state.size() + " bytes came, then nothing for " + timeout);
    }

    private static void write(Fd to, byte[] state, Duration timeout) throws IOException {
        Posix.setNonBlocking(to.number());
        try (Arena a = Arena.ofConfined()) {
            MemorySegment all = a.allocateFrom(ValueLayout.JAVA_BYTE, state);
            int at = 0;
            while (at < state.length) {
                if (Poll.writable((int) timeout.toMillis(), to.number()) == 0) {
                    throw new IOException("the device took " + at + " of the " + state.length + " bytes of its state, then nothing for "
                            + timeout);
                }
                long n = Posix.write(to.number(), all.address() + at, state.length - at);
                if (n < 0) {
                    throw new PosixException("write of a device's state", (int) -n);
                }
                at += (int) n;
            }
        }
    }
}
