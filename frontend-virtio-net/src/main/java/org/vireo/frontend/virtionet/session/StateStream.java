// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.vireo.net.api.Fd;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Poll;

/**
 * A device's state on its way through a VMM's pipe or socket. It never waits: the poller says when there is something to do, and whoever
 * uses it calls {@link #advance}. One thread at a time.
 */
public final class StateStream implements AutoCloseable {
    private static final int CHUNK = 64 * 1024;

    private final Fd fd;
    private final boolean saves;
    private final int most;
    private final MemorySegment chunk = Arena.ofAuto().allocate(CHUNK);
    private byte[] bytes;
    private int moved;
    private Poller.Watch watch;
    private boolean ended;
    private String trouble;

    private StateStream(Fd fd, boolean saves, byte[] bytes, int most) {
        this.fd = fd;
        this.saves = saves;
        this.bytes = bytes;
        this.most = most;
    }

    /**
     * Writes a state; its end is shown by closing.
     *
     * @param fd where to, owned by the stream
     * @param state the state
     * @return the stream
     */
    public static StateStream save(Fd fd, byte[] state) {
        return new StateStream(fd, true, state, state.length);
    }

    /**
     * Reads a state until its end.
     *
     * @param fd where from, owned by the stream
     * @param most bytes that are taken
     * @return the stream
     */
    public static StateStream load(Fd fd, int most) {
        return new StateStream(fd, false, new byte[CHUNK], most);
    }

    /**
     * Whether a descriptor is one that can be waited for.
     *
     * @param fd a VMM's
     * @throws RefusedException it is something else
     */
    public static void require(Fd fd) throws RefusedException {
        String what = EventFd.describe(fd.number());
        if (!what.startsWith("pipe:[") && !what.startsWith("socket:[")) {
            throw new RefusedException("the descriptor is " + what + ", not a pipe or a socket");
        }
    }

    /**
     * Begins. Nothing moves yet: if this process dies before the VMM has its answer, the next one begins with the same descriptor.
     *
     * @param poller waits for the other side
     * @param ready called when {@link #advance} has something to do; must only post
     * @throws IOException it cannot be waited for
     */
    public void begin(Poller poller, Runnable ready) throws IOException {
        int n = Posix.setNonBlocking(fd.number());
        if (n < 0) {
            throw new IOException("it cannot be made not to block: " + Errno.text(-n));
        }
        watch = saves ? poller.watchOut(fd, ready) : poller.watch(fd, ready);
    }

    /** Moves what can be moved now. */
    public void advance() {
        while (!ended) {
            long n = saves ? write() : read();
            if (n == -Errno.EAGAIN) {
                watch.arm();
                return;
            }
            if (n < 0 && n != -Errno.EINTR) {
                fail((saves ? "cannot be written: " : "cannot be read: ") + Errno.text((int) -n));
            } else if (n > 0) {
                moved += (int) n;
            }
            if (!ended && (saves ? moved == bytes.length : n == 0)) {
                close();
            } else if (!saves && moved > most) {
                fail("is larger than the " + most + " bytes that are taken");
            }
        }
    }

    private long write() {
        int n = Math.min(CHUNK, bytes.length - moved);
        MemorySegment.copy(bytes, moved, chunk, ValueLayout.JAVA_BYTE, 0, n);
        return Posix.write(fd.number(), chunk.address(), n);
    }

    private long read() {
        long n = Posix.read(fd.number(), chunk.address(), CHUNK);
        if (n > 0) {
            if (moved + n > bytes.length) {
                bytes = Arrays.copyOf(bytes, Math.max(2 * bytes.length, moved + (int) n));
            }
            MemorySegment.copy(chunk, ValueLayout.JAVA_BYTE, 0, bytes, moved, (int) n);
        }
        return n;
    }

    /**
     * Waits for the other side's end a little longer, if it has not come.
     *
     * @param millis at most
     */
    public void await(int millis) {
        long end = System.nanoTime() + millis * 1_000_000L;
        advance();
        for (long left = millis; !ended && !saves && left > 0; left = (end - System.nanoTime()) / 1_000_000) {
            Poll.readable((int) left, fd.number());
            advance();
        }
    }

    /**
     * Gives up.
     *
     * @param why what is told of it
     */
    public void fail(String why) {
        if (!ended) {
            trouble = why;
            close();
        }
    }

    /**
     * Whether all has come to its end.
     *
     * @return whether, well or not
     */
    public boolean isEnded() {
        return ended;
    }

    /**
     * Why it did not come to a good end.
     *
     * @return null: it did, or goes on
     */
    public String trouble() {
        return trouble;
    }

    /**
     * How far it came.
     *
     * @return bytes
     */
    public int moved() {
        return moved;
    }

    /**
     * What was read.
     *
     * @return the state
     */
    public byte[] state() {
        return Arrays.copyOf(bytes, moved);
    }

    /** Closes the descriptor: whoever reads the other end sees the end. */
    @Override
    public void close() {
        if (!ended) {
            ended = true;
            if (watch != null) {
                watch.end();
            }
            fd.close();
        }
    }
}
