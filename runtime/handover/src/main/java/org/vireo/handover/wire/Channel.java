// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.zip.CRC32;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.wire.StateEncoder;
import org.vireo.net.api.wire.StateLayout;
import org.vireo.posix.Errno;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Poll;

/**
 * Records on a UNIX stream socket, see {@link RecordLayout}. Any thread sends; one thread at a time receives. After a
 * {@link WireException} the stream is of no further use. Owns the socket.
 */
public final class Channel implements AutoCloseable {
    private static final int INITIAL_BYTES = 4096;

    private final Fd socket;
    private final MessageSocket receiver;
    private final MessageSocket sender;
    private final WireBuffer in = new WireBuffer(INITIAL_BYTES);
    private final WireBuffer out = new WireBuffer(INITIAL_BYTES);
    private final CRC32 crcIn = new CRC32();
    private final CRC32 crcOut = new CRC32();
    private final List<Fd> pending = new ArrayList<>();
    private int chunked;
    private int received;
    private int sent;

    /**
     * A channel.
     *
     * @param socket a connected UNIX stream socket, which the channel owns
     * @param fds makes the descriptors that arrive
     */
    public Channel(Fd socket, Fds fds) {
        this.socket = socket;
        receiver = new MessageSocket(socket, fds, "handed over");
        sender = new MessageSocket(socket, fds, "handover");
    }

    /**
     * Number for poll(2): readable when a record, or the end, may be read.
     *
     * @return the socket's number
     */
    public int number() {
        return socket.number();
    }

    /**
     * The socket, for asking who is at its other end.
     *
     * @return the socket
     */
    public Fd socket() {
        return socket;
    }

    /**
     * Sends a record.
     *
     * @param m what; its descriptors stay the caller's
     * @param deadlineNanos until when the other side may keep this waiting
     * @throws WireException over a limit, the other side is gone or does not read
     */
    public synchronized void send(Message m, long deadlineNanos) throws WireException {
        out.bytes().clear().position(RecordLayout.HEADER_BYTES);
        StateEncoder.Encoded payload = m.encode();
        out.room(payload.bytes().remaining()).put(payload.bytes());
        int end = out.bytes().position();
        List<Fd> all = payload.descriptors();
        int last = 0;
        // what does not fit with the record goes before it
        while (all.size() - last > RecordLayout.MAX_DESCRIPTORS_IN_MESSAGE) {
            List<Fd> some = all.subList(last, last + RecordLayout.MAX_DESCRIPTORS_IN_MESSAGE);
            WireBuffer empty = new WireBuffer(RecordLayout.HEADER_BYTES);
            write(empty, RecordType.DESCRIPTORS, RecordLayout.HEADER_BYTES, some, deadlineNanos);
            last += some.size();
        }
        write(out, m.type(), end, all.subList(last, all.size()), deadlineNanos);
    }

    private void write(WireBuffer record, RecordType type, int end, List<Fd> descriptors, long deadlineNanos) throws WireException {
        ByteBuffer b = record.bytes();
        b.putInt(RecordLayout.MAGIC_AT, RecordLayout.MAGIC);
        b.putShort(RecordLayout.TYPE_AT, (short) type.number());
        b.putShort(RecordLayout.FLAGS_AT, (short) (type.critical() ? RecordLayout.CRITICAL : 0));
        b.putInt(RecordLayout.LENGTH_AT, end - RecordLayout.HEADER_BYTES);
        b.putShort(RecordLayout.DESCRIPTORS_AT, (short) descriptors.size());
        b.putShort(RecordLayout.ZERO_AT, (short) 0);
        b.putInt(RecordLayout.NUMBER_AT, sent++);
        b.putInt(RecordLayout.CRC_AT, crc(crcOut, b, end));
        long at = 0;
        while (at < end) {
            long n = sender.send(record.memory(), at, end - at, at == 0 ? descriptors : List.of(), MessageSocket.DONT_WAIT);
            if (n == -Errno.EAGAIN) {
                awaitWritable(type, deadlineNanos);
            } else if (n < 0 && n != -Errno.EINTR) {
                throw new WireException("cannot send " + type + ": " + Errno.text((int) -n));
            } else {
                at += Math.max(n, 0);
            }
        }
    }

    private void awaitWritable(RecordType type, long deadlineNanos) throws WireException {
        int millis = millisUntil(deadlineNanos);
        if (millis == 0) {
            throw new WireException("cannot send " + type + ": the other side does not read");
        }
        Poll.writable(millis, socket.number());
    }

    /**
     * Receives a record, waiting for it if need be.
     *
     * @param deadlineNanos until when it must be there, whole
     * @return the record, which the caller closes; empty if it was one to be skipped
     * @throws WireException.Ended the stream ended before a record
     * @throws WireException a rule is broken, the stream broke, or the deadline passed. All descriptors that came are closed
     */
    public Optional<Message> receive(long deadlineNanos) throws WireException {
        try {
            return receiveOne(deadlineNanos);
        } catch (WireException e) {
            dropPending();
            throw e;
        }
    }

    private Optional<Message> receiveOne(long deadlineNanos) throws WireException {
        in.require(RecordLayout.HEADER_BYTES);
        fill(0, RecordLayout.HEADER_BYTES, deadlineNanos);
        ByteBuffer b = in.bytes();
        int magic = b.getInt(RecordLayout.MAGIC_AT);
        if (magic != RecordLayout.MAGIC) {
            throw new WireException("this is not a handover stream: a record begins with "
                    + Integer.toHexString(Integer.reverseBytes(magic)) + ", not "
                    + Integer.toHexString(Integer.reverseBytes(RecordLayout.MAGIC)));
        }
        int number = b.getShort(RecordLayout.TYPE_AT) & 0xffff;
        int flags = b.getShort(RecordLayout.FLAGS_AT) & 0xffff;
        long length = b.getInt(RecordLayout.LENGTH_AT) & 0xffffffffL;
        RecordType type = RecordType.of(number);
        String name = type == null ? "record of type " + number : type.toString();
        checkDescriptors(name, b.getShort(RecordLayout.DESCRIPTORS_AT) & 0xffff);
        if (b.getInt(RecordLayout.NUMBER_AT) != received) {
            throw new WireException(name + ": it has number " + Integer.toUnsignedString(b.getInt(RecordLayout.NUMBER_AT))
                    + ", expected was " + received);
        }
        received++;
        in.bytes().position(RecordLayout.HEADER_BYTES);
        in.require(RecordLayout.HEADER_BYTES + length);
        int end = RecordLayout.HEADER_BYTES + (int) length;
        fill(RecordLayout.HEADER_BYTES, end, deadlineNanos);
        b = in.bytes();
        int crc = crc(crcIn, b, end);
        if (crc != b.getInt(RecordLayout.CRC_AT)) {
            throw new WireException(name + ": checksum is " + Integer.toHexString(b.getInt(RecordLayout.CRC_AT)) + ", its content's "
                    + Integer.toHexString(crc));
        }
        return content(type, name, flags, end);
    }

    private Optional<Message> content(RecordType type, String name, int flags, int end) throws WireException {
        if (type == RecordType.DESCRIPTORS) {
            if (end != RecordLayout.HEADER_BYTES) {
                throw new WireException(name + ": it has a payload");
            }
            return Optional.empty();
        }
        if (type == null) {
            if ((flags & RecordLayout.CRITICAL) != 0) {
                throw new WireException(name + " is not known here, and it is critical: the other side is too new");
            }
            dropPending();
            return Optional.empty();
        }
        List<Fd> descriptors = List.copyOf(pending);
        pending.clear();
        ByteBuffer payload = in.bytes();
        payload.limit(end).position(RecordLayout.HEADER_BYTES);
        try {
            return Optional.of(Message.decode(type, payload, descriptors));
        } finally {
            payload.clear();
        }
    }

    private void checkDescriptors(String name, int announced) throws WireException {
        int came = pending.size() - chunked;
        if (announced != came) {
            throw new WireException(name + ": " + announced + " descriptors announced, " + came + " came");
        }
        if (pending.size() > StateLayout.MAX_DESCRIPTORS) {
            throw new WireException(name + ": more than " + StateLayout.MAX_DESCRIPTORS + " descriptors");
        }
    }

    private void fill(int from, int to, long deadlineNanos) throws WireException {
        if (from == 0) {
            chunked = pending.size();
        }
        int at = from;
        while (at < to) {
            long n = receiver.receive(in.memory(), at, to - at, MessageSocket.DONT_WAIT);
            if (n == 0) {
                throw at == 0 ? new WireException.Ended("the other side closed the channel")
                        : new WireException("the stream ended inside a record, after " + at + " bytes");
            }
            if (n == -Errno.EAGAIN) {
                int millis = millisUntil(deadlineNanos);
                if (millis == 0) {
                    throw new WireException(at == 0 ? "the other side says nothing: it hangs, or is no daemon that waits for a handover"
                            : "half a record came (" + at + " bytes), then silence");
                }
                Poll.readable(millis, socket.number());
            } else if (n == -Errno.ECONNRESET && at == 0) {
                throw new WireException.Ended("the other side reset the channel");
            } else if (n < 0 && n != -Errno.EINTR) {
                throw new WireException("cannot receive: " + Errno.text((int) -n));
            } else if (n > 0) {
                takeDescriptors(at);
                at += (int) n;
            }
        }
    }

    private void takeDescriptors(int at) throws WireException {
        if (receiver.truncated()) {
            receiver.closeDescriptors();
            throw new WireException("descriptors were lost on the way (MSG_CTRUNC): too many, or this process may open no more files");
        }
        List<Fd> came = receiver.descriptors();
        if (came.isEmpty()) {
            return;
        }
        if (at != 0 || came.size() > RecordLayout.MAX_DESCRIPTORS_IN_MESSAGE) {
            int n = came.size();
            receiver.closeDescriptors();
            throw new WireException(n + " descriptors at byte " + at + " of a record: at most " + RecordLayout.MAX_DESCRIPTORS_IN_MESSAGE
                    + " come with its first byte");
        }
        pending.addAll(came);
        came.clear();
    }

    private void dropPending() {
        pending.forEach(Fd::close);
        pending.clear();
    }

    private static int crc(CRC32 crc, ByteBuffer b, int end) {
        crc.reset();
        b.limit(RecordLayout.CRC_AT).position(0);
        crc.update(b);
        b.limit(end).position(RecordLayout.HEADER_BYTES);
        crc.update(b);
        b.clear();
        return (int) crc.getValue();
    }

    /** Milliseconds, rounded up. */
    private static int millisUntil(long deadlineNanos) {
        long left = deadlineNanos - System.nanoTime();
        return left <= 0 ? 0 : (int) Math.min((left + 999_999) / 1_000_000, Integer.MAX_VALUE);
    }

    /** Closes the socket, and the descriptors that nobody took. The receiving thread calls it, or one after that ended. */
    @Override
    public void close() {
        receiver.closeDescriptors();
        dropPending();
        synchronized (this) {
            socket.close();
        }
    }
}
