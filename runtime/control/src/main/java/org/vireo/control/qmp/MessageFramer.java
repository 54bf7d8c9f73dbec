// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Cuts a stream of bytes into JSON objects, as QEMU's monitor does: by brackets, so that a client may send several on one line, one
 * without a line end, or one over several indented lines. What is not a message costs one error and at most the rest of its line;
 * memory is bounded whatever comes. One thread.
 *
 * <p>Where QEMU would wait for ever for the rest of a message, this gives up: at a line end inside a string, when the next line
 * begins with a new message in its first column, and, by {@link #expire}, when nothing follows a line end for a while.
 */
public final class MessageFramer {
    private static final int SMALL = 4096;

    private final int limit;
    private byte[] buffer = new byte[SMALL];
    private int used;
    private State state = State.BETWEEN;
    private int depth;
    private boolean escaped;
    private boolean lineStart;
    private boolean interrupted;

    private enum State { BETWEEN, VALUE, TEXT, SKIP_LINE }

    /** Takes what was cut out. */
    public interface Sink {
        /**
         * A message.
         *
         * @param bytes holds it, valid during the call
         * @param length its bytes, from 0 on
         */
        void message(byte[] bytes, int length);

        /**
         * Something that is none.
         *
         * @param why what is wrong
         */
        void refused(String why);
    }

    /**
     * A framer.
     *
     * @param limit most bytes of a message
     */
    public MessageFramer(int limit) {
        this.limit = limit;
    }

    /**
     * Takes bytes.
     *
     * @param in the bytes; all are consumed
     * @param to takes the messages in them
     */
    public void feed(ByteBuffer in, Sink to) {
        while (in.hasRemaining()) {
            byte b = in.get();
            switch (state) {
                case BETWEEN -> between(b, to);
                case VALUE -> value(b, to);
                case TEXT -> text(b, to);
                case SKIP_LINE -> {
                    if (b == '\n') {
                        state = State.BETWEEN;
                    }
                }
                default -> throw new IllegalStateException(state.toString());
            }
        }
    }

    private void between(byte b, Sink to) {
        if (b == '{' || b == '[') {
            begin(b);
        } else if (b != ' ' && b != '\t' && b != '\r' && b != '\n') {
            to.refused("JSON parse error, a message begins with '{'");
            state = State.SKIP_LINE;
        }
    }

    private void begin(byte b) {
        used = 0;
        depth = 1;
        lineStart = false;
        interrupted = false;
        buffer[used++] = b;
        state = State.VALUE;
    }

    private void value(byte b, Sink to) {
        if (b == '{' && lineStart) {
            to.refused("JSON parse error, the message ends before it is complete");
            begin(b);
            return;
        }
        lineStart = b == '\n';
        interrupted = b == '\n' || interrupted && (b == '\r' || b == ' ' || b == '\t');
        if (!append(b, to)) {
            return;
        }
        switch (b) {
            case '{', '[' -> depth++;
            case '}', ']' -> depth--;
            case '"' -> state = State.TEXT;
            default -> {
                return;
            }
        }
        if (depth == 0) {
            state = State.BETWEEN;
            to.message(buffer, used);
            forget();
        }
    }

    private void text(byte b, Sink to) {
        if (b == '\n') {
            giveUp("JSON parse error, a line ends inside a string", to, State.BETWEEN);
        } else if (append(b, to)) {
            if (escaped) {
                escaped = false;
            } else if (b == '\\') {
                escaped = true;
            } else if (b == '"') {
                state = State.VALUE;
            }
        }
    }

    private boolean append(byte b, Sink to) {
        if (used == limit) {
            giveUp("JSON parse error, the message is longer than " + limit + " bytes", to, b == '\n' ? State.BETWEEN : State.SKIP_LINE);
            return false;
        }
        if (used == buffer.length) {
            buffer = Arrays.copyOf(buffer, Math.min(limit, 2 * used));
        }
        buffer[used++] = b;
        return true;
    }

    private void giveUp(String why, Sink to, State next) {
        state = next;
        forget();
        to.refused(why);
    }

    private void forget() {
        used = 0;
        escaped = false;
        interrupted = false;
        if (buffer.length > SMALL) {
            buffer = new byte[SMALL];
        }
    }

    /**
     * Whether a line end interrupts a message, and nothing has followed it.
     *
     * @return whether {@link #expire} would give it up
     */
    public boolean interrupted() {
        return interrupted && state == State.VALUE;
    }

    /**
     * Gives up a message that a line end interrupts.
     *
     * @param to is told
     */
    public void expire(Sink to) {
        if (interrupted()) {
            giveUp("JSON parse error, the message ends before it is complete", to, State.BETWEEN);
        }
    }
}
