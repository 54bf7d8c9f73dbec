// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.DeviceConfig;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.Requester;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringState;

/**
 * One connection to a back-end: what can be asked and told on it, and what was. All that is said between two calls of {@link #until}
 * has one deadline, so that a back-end that is slow at everything costs no more than one that hangs. One thread at a time, but for
 * {@link #shutdown}.
 */
final class Connection implements AutoCloseable {
    /** What of the protocol is used where the back-end has it, too. */
    static final long PROTOCOL = ProtocolFeatures.MQ | ProtocolFeatures.LOG_SHMFD | ProtocolFeatures.RARP | ProtocolFeatures.REPLY_ACK
            | ProtocolFeatures.CONFIG | ProtocolFeatures.INFLIGHT_SHMFD | ProtocolFeatures.RESET_DEVICE
            | ProtocolFeatures.CONFIGURE_MEM_SLOTS | ProtocolFeatures.STATUS | ProtocolFeatures.DEVICE_STATE;
    static final List<Fd> NO_DESCRIPTORS = List.of();
    /** Features that were not told yet. */
    static final long UNTOLD = -1;

    private static final String CLOSED = "it closed the connection";
    static final MemorySegment EMPTY = MemorySegment.ofArray(new byte[0]);
    /** struct virtio_net_config: le16 at 10. */
    private static final int MTU_OFFSET = 10;
    private static final int LEAST_MTU = 68;
    /** num queues of an inflight description: u16 at 16. */
    private static final int INFLIGHT_QUEUES_OFFSET = 16;
    /** What ends later than that after a ring was told has another reason. */
    private static final long DOUBT_NANOS = TimeUnit.SECONDS.toNanos(2);
    /** {@link #isOver} throws no more away in one call: who goes on writing keeps nobody. */
    private static final int DRAIN_BYTES = 64 << 10;
    private static final int LOOK_BYTES = 4 << 10;

    private final Fd socket;
    private final Requester requester;
    private final MessageSocket looks;
    private final MemorySegment looked;
    private final MemoryTable memory;
    private long deadlineNanos;
    private Offer offer;
    private long features = UNTOLD;
    private int status;
    /** What GET_QUEUE_NUM said; 0: it was not asked. */
    private long queues;
    private int pairs;
    /** The last ring that was spoken of and that it may not have, until it has answered; -1: none. */
    private int doubtfulRing = -1;
    private long doubtedNanos;
    private boolean inflightTold;
    private boolean taken;
    private boolean gaveRing;
    private boolean aborted;

    /** A connection on which nothing was said yet. */
    Connection(Fd socket, Fds fds, String purpose) {
        this(socket, fds, purpose, new MemoryTable(true));
    }

    /** A connection that somebody else has used; what he said is known, but of the memory only whether he told any. */
    Connection(Fd socket, Fds fds, String purpose, Offer offer, long features, int status, boolean memoryTold) {
        this(socket, fds, purpose, new MemoryTable(!memoryTold));
        this.offer = offer;
        this.features = features;
        this.status = status;
        requester.acknowledged(offer.has(ProtocolFeatures.REPLY_ACK));
    }

    private Connection(Fd socket, Fds fds, String purpose, MemoryTable memory) {
        this.socket = socket;
        this.memory = memory;
        requester = new Requester(MessageChannel.of(socket, fds, purpose));
        looks = new MessageSocket(socket, fds, purpose);
        looked = Arena.ofAuto().allocate(LOOK_BYTES);
    }

    Fd socket() {
        return socket;
    }

    Offer offer() {
        return offer;
    }

    /** What SET_FEATURES said last, or {@link #UNTOLD}. */
    long features() {
        return features;
    }

    int status() {
        return status;
    }

    MemoryTable memory() {
        return memory;
    }

    boolean isInflightTold() {
        return inflightTold;
    }

    void inflightTold(boolean told) {
        inflightTold = told;
    }

    /** Sets the deadline for what follows. */
    void until(long nanos) {
        deadlineNanos = nanos;
    }

    /**
     * Finds out what the back-end can do.
     *
     * <p>GET_QUEUE_NUM has no unit in the specification ("how many queues the back-end supports"). DPDK's vhost library and passt answer
     * with queue pairs, and QEMU compares with pairs; libvhost-user and what is built on rust-vmm's crates answer with virtqueues, as
     * Vireo's own NICs do, since Cloud Hypervisor and crosvm compare with those. So fewer than the pairs are too few, whatever is
     * counted; twice as many are enough; in between only the rings themselves can tell ({@link #explained}).
     *
     * @param prefix how messages begin
     * @param pairs that are needed
     * @throws NetdevException it has fewer pairs
     */
    void negotiate(String prefix, int pairs) throws IOException, NetdevException {
        long offered = requester.askU64(Request.GET_FEATURES, deadlineNanos);
        long protocol = 0;
        if ((offered & VirtioNet.PROTOCOL_FEATURES) != 0) {
            protocol = requester.askU64(Request.GET_PROTOCOL_FEATURES, deadlineNanos) & PROTOCOL;
            // never with need_reply: REPLY_ACK may only begin with it
            requester.send(Request.SET_PROTOCOL_FEATURES, 0, MessageChannel.u64(protocol), NO_DESCRIPTORS, deadlineNanos);
            requester.acknowledged((protocol & ProtocolFeatures.REPLY_ACK) != 0);
        }
        offer = new Offer(offered, protocol, 0, 0);
        tell(Request.SET_OWNER, EMPTY, NO_DESCRIPTORS);
        boolean asked = offer.has(ProtocolFeatures.MQ);
        long has = asked ? requester.askU64(Request.GET_QUEUE_NUM, deadlineNanos) : 1;
        if (Long.compareUnsigned(has, pairs) < 0) {
            throw new NetdevException(prefix + "the back-end has " + Long.toUnsignedString(has) + " queue pair(s), but queues=" + pairs
                    + " are configured: start it with more, or make queues= smaller");
        }
        queues = asked ? has : 0;
        this.pairs = pairs;
        long slots = offer.has(ProtocolFeatures.CONFIGURE_MEM_SLOTS) ? requester.askU64(Request.GET_MAX_MEM_SLOTS, deadlineNanos) : 0;
        offer = new Offer(offered, protocol, mtu(), Math.clamp(slots, 0, Integer.MAX_VALUE));
    }

    private int mtu() throws IOException {
        if (!offer.has(ProtocolFeatures.CONFIG) || (offer.features() & VirtioNet.MTU) == 0) {
            return 0;
        }
        MemorySegment asked = new DeviceConfig(0, 0, MemorySegment.ofArray(new byte[MTU_OFFSET + Short.BYTES])).payload();
        try (Message m = requester.ask(Request.GET_CONFIG, asked, NO_DESCRIPTORS, deadlineNanos)) {
            if (m.payload().byteSize() == 0 || m.config().size() < MTU_OFFSET + Short.BYTES) {
                return 0; // it cannot tell
            }
            int mtu = m.config().bytes().get(ValueLayout.JAVA_SHORT_UNALIGNED, MTU_OFFSET) & 0xffff;
            return mtu < LEAST_MTU ? 0 : mtu;
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Tells, and finds out whether it was taken, where the back-end says so. */
    void tell(Request request, MemorySegment payload, List<Fd> with) throws IOException {
        doubt(request, payload);
        long answer = requester.tell(request, payload, with, deadlineNanos);
        if (answer != 0) {
            throw new RefusedException(request.name(), answer);
        }
        if (requester.isAcknowledged()) {
            doubtfulRing = -1;
        }
    }

    /** Asks; the caller closes the answer. */
    Message ask(Request request, MemorySegment payload, List<Fd> with) throws IOException {
        doubt(request, payload);
        Message m = requester.ask(request, payload, with, deadlineNanos);
        doubtfulRing = -1;
        return m;
    }

    /** A ring is spoken of that the back-end does not have, if it counts rings. */
    private void doubt(Request request, MemorySegment payload) {
        int ring = switch (request.shape()) {
            case VRING_STATE, VRING_ADDRESS -> payload.get(ValueLayout.JAVA_INT_UNALIGNED, 0);
            case INFLIGHT -> (payload.get(ValueLayout.JAVA_SHORT_UNALIGNED, INFLIGHT_QUEUES_OFFSET) & 0xffff) - 1;
            case U64 -> switch (request) {
                case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> (int) payload.get(ValueLayout.JAVA_LONG_UNALIGNED, 0) & 0xff;
                default -> -1;
            };
            default -> -1;
        };
        if (requester.isAcknowledged()) {
            doubtfulRing = -1; // all before was answered
        }
        if (queues != 0 && ring >= 0 && Long.compareUnsigned(ring, queues) >= 0) {
            doubtfulRing = ring;
            doubtedNanos = System.nanoTime();
        }
    }

    /**
     * Adds to the reason why it failed what may be behind it, if that came with a ring which the back-end does not have if it counts rings
     * and not pairs. It can be known no earlier, nor for certain: some hang up without a word.
     */
    String explained(String why) {
        return doubtfulRing < 0 || System.nanoTime() - doubtedNanos > DOUBT_NANOS ? why : why + " when it was told of ring " + doubtfulRing
                + ": it says that it has " + Long.toUnsignedString(queues) + " queues, " + Long.toUnsignedString(queues / 2)
                + " pair(s) if it counts rings, but queues=" + pairs + " are configured: start it with " + pairs
                + " pairs, or make queues= smaller";
    }

    /** Waits until all that was told before has been handled. */
    void barrier() throws IOException {
        if (!requester.isAcknowledged()) {
            sentinel();
        }
    }

    /** Asks what has always the same answer: something else comes if this side's and the other's messages do not belong together. */
    void sentinel() throws IOException {
        long now = requester.askU64(Request.GET_FEATURES, deadlineNanos);
        if (now != offer.features()) {
            throw new IOException("GET_FEATURES was answered with 0x" + Long.toHexString(now) + ", before with 0x"
                    + Long.toHexString(offer.features()));
        }
        doubtfulRing = -1; // all before was handled
    }

    /** SET_FEATURES, if they are not what was told last. */
    void features(long wanted) throws IOException {
        if (features != wanted) {
            tell(Request.SET_FEATURES, MessageChannel.u64(wanted), NO_DESCRIPTORS);
            features = wanted;
        }
    }

    /** SET_STATUS, if it is not what was told last and the back-end wants to know. */
    void status(int wanted) throws IOException {
        if (offer.has(ProtocolFeatures.STATUS) && status != wanted) {
            tell(Request.SET_STATUS, MessageChannel.u64(wanted), NO_DESCRIPTORS);
            status = wanted;
            if (wanted == 0) {
                features = UNTOLD;
            }
        }
    }

    /** RESET_DEVICE, where the back-end has it. */
    void reset() throws IOException {
        if (offer.has(ProtocolFeatures.RESET_DEVICE)) {
            tell(Request.RESET_DEVICE, EMPTY, NO_DESCRIPTORS);
        }
    }

    /** GET_VRING_BASE: stops a ring. */
    int vringBase(int ring) throws IOException {
        try (Message m = ask(Request.GET_VRING_BASE, new VringState(ring, 0).payload(), NO_DESCRIPTORS)) {
            VringState s = m.vringState();
            if (s.index() != ring) {
                throw new IOException("GET_VRING_BASE of ring " + ring + " was answered for ring " + s.index());
            }
            return s.num();
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * Looks whether the connection is alive. Between requests a back-end has nothing to say.
     *
     * @return why it is of no further use, or null
     */
    String trouble() {
        long n = look(1);
        if (n == -Errno.EAGAIN || n == -Errno.EINTR) {
            return null;
        }
        return n > 0 ? "it sent something that nobody asked for"
                : n == 0 ? CLOSED : "the connection failed: " + Errno.text((int) -n);
    }

    /**
     * Why something failed, before this side ends the connection. That the other one has ended it is told alike, whatever call noticed
     * it; that this process called itself, a NIC that waits or QMP, is told too.
     */
    String reason(IOException e) {
        if (isAborted()) {
            return "Vireo ended the attempt, for a call that could not wait for the rest of it";
        }
        long n = look(1);
        String why = n == 0 || n == -Errno.ECONNRESET || n == -Errno.EPIPE ? CLOSED : e.getMessage();
        why = explained(why);
        return isOwn() ? why + "; at its other end is this process itself: is it a socket of a NIC here, or of QMP?" : why;
    }

    /** Whether its other end is this process itself. */
    boolean isOwn() {
        try {
            return UnixSockets.peer(socket).pid() == ProcessHandle.current().pid();
        } catch (IOException e) {
            return false;
        }
    }

    /** Looks at so many bytes at most, without waiting: how many there are, 0 at the end, or the negative errno. */
    private long look(int bytes) {
        return looks.look(looked, 0, bytes, MessageSocket.DONT_WAIT);
    }

    /** Whether its end is the next that would be read. Nothing is thrown away. */
    boolean hasEnded() {
        long n = look(1);
        return n <= 0 && n != -Errno.EAGAIN && n != -Errno.EINTR;
    }

    /**
     * Whether the other side has closed it, also by ending: it has let go of everything. What it still said is thrown away; if that is
     * much, it is over in a later call.
     */
    boolean isOver() {
        int left = DRAIN_BYTES;
        while (left > 0) {
            long n = look(Math.min(left, LOOK_BYTES));
            if (n > 0) {
                n = Posix.read(socket.number(), looked.address(), n);
                left -= (int) Math.max(n, 0);
            }
            if (n <= 0 && n != -Errno.EINTR) {
                return n != -Errno.EAGAIN;
            }
        }
        return false;
    }

    /** Says nothing more. The other side reads that, when it reads, and closes. */
    void hangUp() {
        UnixSockets.endOutput(socket);
    }

    /** Who is at the other end, for messages. */
    String peer() {
        try {
            int pid = UnixSockets.peer(socket).pid();
            return "process " + pid + (Processes.isStopped(pid) ? " (stopped: 'kill -CONT " + pid + "' lets it go on)" : "");
        } catch (IOException e) {
            return "its process";
        }
    }

    /** The port has it now: {@link #abort} comes too late. */
    synchronized void take() {
        taken = true;
    }

    /** The other side is about to get a ring. */
    synchronized void givesRing() {
        gaveRing = true;
    }

    /**
     * Ends it, if it is only being brought up. Where the other side may have a ring already, that side has to be seen to let go of it: so
     * nothing more is said, and who waits for its answer may wait until his deadline. Any thread.
     */
    synchronized void abort() {
        if (taken) {
            return;
        }
        aborted = true;
        if (gaveRing) {
            hangUp();
        } else {
            shutdown();
        }
    }

    /** Whether {@link #abort} has ended it: nothing that comes after it tells of the other side. Any thread. */
    synchronized boolean isAborted() {
        return aborted;
    }

    /** Ends it for both sides, and whoever waits for an answer. Any thread. */
    synchronized void shutdown() {
        if (socket.isOpen()) {
            UnixSockets.shutdown(socket);
        }
    }

    /** Closes this process's copy; others that hold the socket go on. */
    @Override
    public synchronized void close() {
        socket.close();
    }
}
