// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Pipe;
import org.vireo.posix.linux.Poll;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.Request;

/**
 * Asks a back-end for its state, or gives it one ("Migrating back-end state" in the vhost-user specification). What goes wrong with the
 * state is a {@link NetdevException}: the connection is as good as before. With the port's lock.
 */
final class DeviceStateExchange {
    private static final int CHUNK = 64 * 1024;
    private static final long ERROR = 0xff;

    private final Connection connection;
    private final Fds fds;
    private final String prefix;
    private final long deadlineNanos;

    /**
     * With a back-end.
     *
     * @param connection to it
     * @param fds makes descriptors
     * @param prefix how messages begin
     * @param deadlineNanos until when the state has to have passed
     */
    DeviceStateExchange(Connection connection, Fds fds, String prefix, long deadlineNanos) {
        this.connection = connection;
        this.fds = fds;
        this.prefix = prefix;
        this.deadlineNanos = deadlineNanos;
    }

    byte[] save(int most) throws NetdevException, IOException {
        try (Fd ours = begin(DeviceStateTransfer.SAVE)) {
            byte[] state = read(ours, most);
            check("saved");
            return state;
        }
    }

    void load(byte[] state) throws NetdevException, IOException {
        try (Fd ours = begin(DeviceStateTransfer.LOAD)) {
            write(ours, state);
        }
        // its end has been shown
        check("loaded");
    }

    private static String name(int direction) {
        return direction == DeviceStateTransfer.SAVE ? "save its" : "load a";
    }

    /** This side's end, which does not block. */
    private Fd begin(int direction) throws NetdevException, IOException {
        Pipe pipe = Pipe.create(fds, prefix + "device state");
        boolean saves = direction == DeviceStateTransfer.SAVE;
        Fd ours = saves ? pipe.read() : pipe.write();
        try (Fd theirs = saves ? pipe.write() : pipe.read();
                Message m = connection.ask(Request.SET_DEVICE_STATE_FD,
                        new DeviceStateTransfer(direction, DeviceStateTransfer.STOPPED).payload(), List.of(theirs))) {
            long said = m.u64();
            if ((said & ERROR) != 0) {
                throw new NetdevException(prefix + "the back-end refuses to " + name(direction) + " state (" + (said & ERROR) + ")");
            }
            if ((said & Message.NO_DESCRIPTOR) == 0) {
                ours.close();
                ours = m.takeDescriptor();
            }
            Posix.setNonBlocking(ours.number());
            return ours;
        } catch (MalformedMessageException e) {
            ours.close();
            throw new IOException(e.getMessage(), e);
        } catch (NetdevException | IOException e) {
            ours.close();
            throw e;
        }
    }

    private byte[] read(Fd from, int most) throws NetdevException {
        ByteArrayOutputStream state = new ByteArrayOutputStream();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment chunk = a.allocate(CHUNK);
            while (true) {
                long n = Posix.read(from.number(), chunk.address(), CHUNK);
                if (n == 0) {
                    return state.toByteArray();
                }
                if (n > 0) {
                    state.writeBytes(chunk.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE));
                } else if (n == -Errno.EAGAIN) {
                    Poll.readable(left("the back-end's state did not end, " + state.size() + " bytes came"), from.number());
                } else if (n != -Errno.EINTR) {
                    throw new NetdevException(prefix + "the back-end's state cannot be read: " + Errno.text((int) -n));
                }
                if (state.size() > most) {
                    throw new NetdevException(prefix + "the back-end's state is larger than the " + most + " bytes that are taken");
                }
            }
        }
    }

    private void write(Fd to, byte[] state) throws NetdevException {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment chunk = a.allocate(CHUNK);
            int at = 0;
            while (at < state.length) {
                int part = Math.min(CHUNK, state.length - at);
                MemorySegment.copy(state, at, chunk, ValueLayout.JAVA_BYTE, 0, part);
                long n = Posix.write(to.number(), chunk.address(), part);
                if (n > 0) {
                    at += (int) n;
                } else if (n == -Errno.EAGAIN) {
                    Poll.writable(left("the back-end took " + at + " of the " + state.length + " bytes of its state"), to.number());
                } else if (n != -Errno.EINTR) {
                    throw new NetdevException(prefix + "the back-end did not take its state: " + Errno.text((int) -n));
                }
            }
        }
    }

    private int left(String what) throws NetdevException {
        long millis = (deadlineNanos - System.nanoTime()) / 1_000_000;
        if (millis <= 0) {
            throw new NetdevException(prefix + what + " in time");
        }
        return (int) millis;
    }

    private void check(String what) throws NetdevException, IOException {
        try (Message m = connection.ask(Request.CHECK_DEVICE_STATE, Connection.EMPTY, Connection.NO_DESCRIPTORS)) {
            if (m.u64() != 0) {
                throw new NetdevException(prefix + "the back-end says that its state was not " + what + " (" + m.u64()
                        + "); its own log tells why");
            }
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }
}
