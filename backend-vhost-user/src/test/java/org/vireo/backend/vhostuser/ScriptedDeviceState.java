// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Pipe;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;

/** A back-end's state, as {@link ScriptedBackEnd} saves and loads it: on a thread of its own. */
final class ScriptedDeviceState implements AutoCloseable {
    private static final int CHUNK = 1 << 16;

    /** What it has. */
    volatile byte[] state = {};
    /** Whether it gives an end of its own back. */
    volatile boolean ownPipe;
    /** Whether it never closes what it writes to. */
    volatile boolean endless;
    /** What CHECK_DEVICE_STATE says. */
    volatile long check;
    private Thread mover;
    private Fd kept;

    /** Answers SET_DEVICE_STATE_FD. */
    void begin(MessageChannel channel, Message m, boolean refuse, long deadline) throws IOException, MalformedMessageException {
        if (refuse) {
            channel.replyU64(m, Message.NO_DESCRIPTOR | 3, deadline);
            return;
        }
        boolean saves = m.deviceState().direction() == DeviceStateTransfer.SAVE;
        Fd given = m.takeDescriptor();
        if (ownPipe) {
            given.close();
            Pipe p = Pipe.create(ScriptedBackEnd.FDS, "its own");
            move(saves, saves ? p.write() : p.read());
            try (Fd theirs = saves ? p.read() : p.write()) {
                channel.reply(m, MessageChannel.u64(0), List.of(theirs), deadline);
            }
        } else {
            move(saves, given);
            channel.replyU64(m, Message.NO_DESCRIPTOR, deadline);
        }
    }

    private void move(boolean saves, Fd fd) throws IOException {
        if (endless) {
            close();
            kept = fd;
            return;
        }
        join();
        mover = Thread.ofPlatform().daemon().start(() -> {
            try (fd) {
                if (saves) {
                    write(fd, state);
                } else {
                    state = read(fd);
                }
            }
        });
    }

    private static void write(Fd to, byte[] bytes) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment all = a.allocateFrom(ValueLayout.JAVA_BYTE, bytes);
            for (long at = 0, n = 1; at < bytes.length && n > 0; at += n) {
                n = Posix.write(to.number(), all.address() + at, bytes.length - at);
            }
        }
    }

    private static byte[] read(Fd from) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment chunk = a.allocate(CHUNK);
            for (long n = 1; n > 0;) {
                n = Posix.read(from.number(), chunk.address(), CHUNK);
                all.writeBytes(chunk.asSlice(0, Math.max(0, n)).toArray(ValueLayout.JAVA_BYTE));
            }
        }
        return all.toByteArray();
    }

    /** Answers CHECK_DEVICE_STATE. */
    void check(MessageChannel channel, Message m, long deadline) throws IOException {
        join();
        channel.replyU64(m, check, deadline);
    }

    private void join() throws IOException {
        try {
            if (mover != null && !mover.join(java.time.Duration.ofSeconds(10))) {
                throw new IOException("the state does not move on");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() throws IOException {
        join();
        if (kept != null) {
            kept.close();
        }
    }
}
