// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.LockSupport;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.MessageSocket;
import org.vireo.posix.linux.Poll;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.vhostuser.DeviceConfig;
import org.vireo.vhostuser.DeviceStateTransfer;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.LogSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.MessageHeader;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.Requester;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/**
 * The front-end role of vhost-user: what a VMM says to a device. Each method is one request and returns when it is answered. What has
 * no reply of its own is sent with need_reply once REPLY_ACK is acknowledged, and a failure throws {@link RefusedException}. One
 * thread at a time.
 */
public final class FrontEnd implements AutoCloseable {
    private static final MemorySegment EMPTY = MemorySegment.ofArray(new byte[0]);
    private static final long RETRY_NANOS = 5_000_000;
    /** Of the answer to SET_DEVICE_STATE_FD. */
    private static final long STATE_ERROR = 0xff;

    private final Fds fds;
    private final Fd socket;
    private final MessageChannel channel;
    private final Requester requester;
    private long timeoutNanos;
    private long offered;
    private long acknowledged;
    private long protocolOffered;
    private long protocol;

    /**
     * Speaks on a connected socket.
     *
     * @param fds makes the descriptors that arrive
     * @param socket becomes the front-end's
     * @param timeout for each answer
     */
    public FrontEnd(Fds fds, Fd socket, Duration timeout) {
        this.fds = fds;
        this.socket = socket;
        channel = MessageChannel.of(socket, fds, "from the device");
        requester = new Requester(channel);
        timeoutNanos = timeout.toNanos();
    }

    /**
     * Connects to a device that listens, trying until it does.
     *
     * @param fds makes the descriptors
     * @param path the device's socket
     * @param timeout for the connection and for each answer
     * @return a front-end that has said nothing yet
     * @throws IOException nobody listens there
     */
    public static FrontEnd connect(Fds fds, Path path, Duration timeout) throws IOException {
        long deadline = System.nanoTime() + timeout.toNanos();
        while (true) {
            try {
                return new FrontEnd(fds, UnixSockets.connect(fds, path, "VMM socket " + path), timeout);
            } catch (IOException e) {
                if (System.nanoTime() - deadline > 0) {
                    throw e;
                }
                LockSupport.parkNanos(RETRY_NANOS);
            }
        }
    }

    /**
     * Listens until a device connects, then no more.
     *
     * @param fds makes the descriptors
     * @param path where to listen
     * @param timeout for the connection and for each answer
     * @return a front-end that has said nothing yet
     * @throws IOException the path is taken, or nobody came
     */
    public static FrontEnd listen(Fds fds, Path path, Duration timeout) throws IOException {
        try (Fd listener = UnixSockets.listen(fds, path, 0600, "VMM listener " + path)) {
            return accept(fds, listener, timeout);
        } finally {
            Files.deleteIfExists(path);
        }
    }

    /**
     * Waits for a device on a listening socket.
     *
     * @param fds makes the descriptors
     * @param listener a listening socket, which stays the caller's
     * @param timeout for the connection and for each answer
     * @return a front-end that has said nothing yet
     * @throws IOException nobody came
     */
    public static FrontEnd accept(Fds fds, Fd listener, Duration timeout) throws IOException {
        long deadline = System.nanoTime() + timeout.toNanos();
        for (long left = timeout.toNanos(); left > 0; left = deadline - System.nanoTime()) {
            Poll.readable((int) (1 + left / 1_000_000), listener.number());
            Fd s = UnixSockets.accept(listener, fds, true, "VMM socket");
            if (s != null) {
                return new FrontEnd(fds, s, timeout);
            }
        }
        throw new IOException("no device connected to " + listener + " within " + timeout);
    }

    /** Changes how long an answer may take. */
    public void timeout(Duration timeout) {
        timeoutNanos = timeout.toNanos();
    }

    /** The socket. It stays the front-end's. */
    public Fd socket() {
        return socket;
    }

    /** The channel, for messages that no method here sends. */
    public MessageChannel channel() {
        return channel;
    }

    /** Features that the device offered. */
    public long offered() {
        return offered;
    }

    /** Features that were acknowledged. */
    public long acknowledged() {
        return acknowledged;
    }

    /** Protocol features that the device offered. */
    public long protocolOffered() {
        return protocolOffered;
    }

    /** Protocol features that were acknowledged. */
    public long protocol() {
        return protocol;
    }

    /**
     * Negotiates: the features and protocol features that both want.
     *
     * @param wanted features
     * @param wantedProtocol protocol features
     * @return the acknowledged features
     * @throws IOException no answer, or a refusal
     */
    public long negotiate(long wanted, long wantedProtocol) throws IOException {
        getFeatures();
        if ((offered & wanted & VirtioNet.PROTOCOL_FEATURES) != 0) {
            setProtocolFeatures(getProtocolFeatures() & wantedProtocol);
        }
        tell(Request.SET_OWNER, EMPTY, List.of());
        setFeatures(offered & wanted);
        return acknowledged;
    }

    /** GET_FEATURES. */
    public long getFeatures() throws IOException {
        offered = askU64(Request.GET_FEATURES);
        return offered;
    }

    /** SET_FEATURES. */
    public void setFeatures(long features) throws IOException {
        tell(Request.SET_FEATURES, MessageChannel.u64(features), List.of());
        acknowledged = features;
    }

    /** GET_PROTOCOL_FEATURES. */
    public long getProtocolFeatures() throws IOException {
        protocolOffered = askU64(Request.GET_PROTOCOL_FEATURES);
        return protocolOffered;
    }

    /** SET_PROTOCOL_FEATURES. Never with need_reply, as REPLY_ACK may only begin with it. */
    public void setProtocolFeatures(long features) throws IOException {
        send(Request.SET_PROTOCOL_FEATURES, 0, MessageChannel.u64(features), List.of());
        protocol = features;
        requester.acknowledged((features & ProtocolFeatures.REPLY_ACK) != 0);
    }

    /** SET_MEM_TABLE with all regions. */
    public void memoryTable(GuestRam ram) throws IOException {
        tell(Request.SET_MEM_TABLE, MemoryRegionSpec.tablePayload(ram.specs()), ram.files());
    }

    /** ADD_MEM_REG. */
    public void addRegion(GuestRam ram, int region) throws IOException {
        tell(Request.ADD_MEM_REG, ram.specs().get(region).payload(), List.of(ram.files().get(region)));
    }

    /** REM_MEM_REG. */
    public void removeRegion(GuestRam ram, int region) throws IOException {
        tell(Request.REM_MEM_REG, ram.specs().get(region).payload(), List.of());
    }

    /** GET_MAX_MEM_SLOTS. */
    public long memorySlots() throws IOException {
        return askU64(Request.GET_MAX_MEM_SLOTS);
    }

    /** GET_QUEUE_NUM: virtqueues, as the device counts them. */
    public long queueNumber() throws IOException {
        return askU64(Request.GET_QUEUE_NUM);
    }

    /**
     * SET_LOG_BASE: where the device marks the pages that it writes. LOG_SHMFD is acknowledged.
     *
     * @param size bytes of the log
     * @param offset where it begins in its file
     * @param file the file, which stays the caller's
     * @throws IOException no answer, or a refusal
     */
    public void logBase(long size, long offset, Fd file) throws IOException {
        MemorySegment payload = new LogSpec(size, offset).payload();
        if ((protocol & ProtocolFeatures.REPLY_ACK) != 0) {
            tell(Request.SET_LOG_BASE, payload, List.of(file));
        } else {
            ask(Request.SET_LOG_BASE, payload, List.of(file)).close();
        }
    }

    /** SET_LOG_FD: an eventfd that the device signals when it has written to the log; it stays the caller's. */
    public void logEvent(Fd event) throws IOException {
        tell(Request.SET_LOG_FD, EMPTY, List.of(event));
    }

    /** SET_VRING_NUM. */
    public void vringSize(int ring, int size) throws IOException {
        tell(Request.SET_VRING_NUM, new VringState(ring, size).payload(), List.of());
    }

    /** SET_VRING_BASE. */
    public void vringBase(int ring, int base) throws IOException {
        tell(Request.SET_VRING_BASE, new VringState(ring, base).payload(), List.of());
    }

    /** SET_VRING_ADDR. */
    public void vringAddress(VringAddress address) throws IOException {
        tell(Request.SET_VRING_ADDR, address.payload(), List.of());
    }

    /** SET_VRING_KICK, CALL or ERR; no descriptor: bit 8. */
    public void vringDescriptor(Request request, int ring, Fd fd) throws IOException {
        tell(request, MessageChannel.u64(fd == null ? ring | Message.NO_DESCRIPTOR : ring), fd == null ? List.of() : List.of(fd));
    }

    /** SET_VRING_ENABLE. */
    public void enable(int ring, boolean on) throws IOException {
        tell(Request.SET_VRING_ENABLE, new VringState(ring, on ? 1 : 0).payload(), List.of());
    }

    /**
     * Configures a ring and starts it: size, base, addresses, call, kick, and a kick injected for devices that wait for one.
     *
     * @param q the queue
     * @param base where the device begins: {@link DriverQueue#base()} for a new ring, what {@link #stop} said for one that goes on
     * @throws IOException no answer, or a refusal
     */
    public void start(DriverQueue q, int base) throws IOException {
        vringSize(q.index(), q.ringSize());
        vringBase(q.index(), base);
        vringAddress(q.addresses());
        vringDescriptor(Request.SET_VRING_CALL, q.index(), q.callFd());
        vringDescriptor(Request.SET_VRING_KICK, q.index(), q.kickFd());
        q.kick();
    }

    /** GET_VRING_BASE: stops a ring and says where it stands; of a packed ring what {@link DriverQueue#base()} tells, or its low half. */
    public int stop(int ring) throws IOException {
        try (Message m = ask(Request.GET_VRING_BASE, new VringState(ring, 0).payload(), List.of())) {
            VringState s = m.vringState();
            if (s.index() != ring) {
                throw new IOException("GET_VRING_BASE of ring " + ring + " was answered for ring " + s.index());
            }
            return s.num();
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** GET_CONFIG. */
    public byte[] config(int offset, int size) throws IOException {
        MemorySegment asked = new DeviceConfig(offset, 0, MemorySegment.ofArray(new byte[size])).payload();
        try (Message m = ask(Request.GET_CONFIG, asked, List.of())) {
            return m.config().bytes().toArray(ValueLayout.JAVA_BYTE);
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** SET_CONFIG. */
    public void setConfig(int offset, byte[] bytes) throws IOException {
        tell(Request.SET_CONFIG, new DeviceConfig(offset, 0, MemorySegment.ofArray(bytes)).payload(), List.of());
    }

    /** GET_STATUS. */
    public long status() throws IOException {
        return askU64(Request.GET_STATUS);
    }

    /** SET_STATUS, if the STATUS protocol feature is acknowledged. */
    public void setStatus(int status) throws IOException {
        if ((protocol & ProtocolFeatures.STATUS) != 0) {
            tell(Request.SET_STATUS, MessageChannel.u64(status), List.of());
        }
    }

    /**
     * GET_INFLIGHT_FD. INFLIGHT_SHMFD is acknowledged.
     *
     * @param queues how many rings
     * @param queueSize entries of each
     * @return the area that the device made, which the caller closes; empty if it wants none
     * @throws IOException no answer
     */
    public Optional<InflightArea> inflight(int queues, int queueSize) throws IOException {
        MemorySegment asked = new InflightSpec(0, 0, queues, queueSize).payload();
        try (Message m = ask(Request.GET_INFLIGHT_FD, asked, List.of())) {
            InflightSpec spec = m.inflight();
            if (spec.size() == 0) {
                return Optional.empty();
            }
            if (m.descriptors().size() != 1) {
                throw new IOException("GET_INFLIGHT_FD was answered with " + m.descriptors().size() + " descriptors, must be one");
            }
            return Optional.of(new InflightArea(spec, m.takeDescriptor()));
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** SET_INFLIGHT_FD, before rings start: the area of the device before this one, or what {@link #inflight} said. */
    public void setInflight(InflightArea area) throws IOException {
        tell(Request.SET_INFLIGHT_FD, area.spec().payload(), List.of(area.file()));
    }

    /**
     * SET_DEVICE_STATE_FD, while all rings are stopped. DEVICE_STATE is acknowledged. After the state has gone through the descriptor
     * to its end, {@link #checkDeviceState} says whether it is whole.
     *
     * @param transfer which way
     * @param fd the device's end: to write to when it saves, to read from when it loads; it stays the caller's
     * @return the end that the device made instead, for the caller to use and to close; empty if it uses what it was given
     * @throws RefusedException the device said no
     * @throws IOException no answer
     */
    public Optional<Fd> deviceState(DeviceStateTransfer transfer, Fd fd) throws IOException {
        try (Message m = ask(Request.SET_DEVICE_STATE_FD, transfer.payload(), List.of(fd))) {
            long said = m.u64();
            if ((said & STATE_ERROR) != 0) {
                throw new RefusedException(Request.SET_DEVICE_STATE_FD.name(), said & STATE_ERROR);
            }
            // bit 8: no descriptor comes along, as in SET_VRING_KICK
            return (said & Message.NO_DESCRIPTOR) != 0 ? Optional.empty() : Optional.of(m.takeDescriptor());
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /**
     * CHECK_DEVICE_STATE: whether the state that went through the descriptor was whole.
     *
     * @throws RefusedException it was not
     * @throws IOException no answer
     */
    public void checkDeviceState() throws IOException {
        long said = askU64(Request.CHECK_DEVICE_STATE);
        if (said != 0) {
            throw new RefusedException(Request.CHECK_DEVICE_STATE.name(), said);
        }
    }

    /** SEND_RARP: the address in the low six bytes, first byte first. */
    public void sendRarp(byte[] mac) throws IOException {
        MemorySegment p = MemorySegment.ofArray(new byte[8]);
        MemorySegment.copy(MemorySegment.ofArray(mac), 0, p, 0, 6);
        tell(Request.SEND_RARP, p, List.of());
    }

    /** NET_SET_MTU. */
    public void setMtu(int mtu) throws IOException {
        tell(Request.NET_SET_MTU, MessageChannel.u64(mtu), List.of());
    }

    /** RESET_DEVICE. */
    public void resetDevice() throws IOException {
        tell(Request.RESET_DEVICE, EMPTY, List.of());
    }

    /** RESET_OWNER. */
    public void resetOwner() throws IOException {
        tell(Request.RESET_OWNER, EMPTY, List.of());
    }

    private long askU64(Request request) throws IOException {
        return requester.askU64(request, System.nanoTime() + timeoutNanos);
    }

    /**
     * Sends a request that has a reply of its own and waits for it.
     *
     * @param request the request
     * @param payload its payload
     * @param with descriptors that go along; they stay the caller's
     * @return the reply, checked; the caller closes it
     * @throws IOException no answer in time, the device is gone, or the reply breaks the rules
     */
    public Message ask(Request request, MemorySegment payload, List<Fd> with) throws IOException {
        return requester.ask(request, payload, with, System.nanoTime() + timeoutNanos);
    }

    /**
     * Sends a request that has no reply of its own, and waits for the acknowledgement if there is to be one.
     *
     * @param request the request
     * @param payload its payload
     * @param with descriptors that go along; they stay the caller's
     * @throws RefusedException the device said no
     * @throws IOException no answer in time, the device is gone, or the reply breaks the rules
     */
    public void tell(Request request, MemorySegment payload, List<Fd> with) throws IOException {
        long value = requester.tell(request, payload, with, System.nanoTime() + timeoutNanos);
        if (value != 0) {
            throw new RefusedException(request.name(), value);
        }
    }

    /** Sends a request and waits for nothing. */
    public void send(Request request, int flags, MemorySegment payload, List<Fd> with) throws IOException {
        requester.send(request, flags, payload, with, System.nanoTime() + timeoutNanos);
    }

    /**
     * Sends bytes as they are, for hostile tests.
     *
     * @param bytes any
     * @param with descriptors that go with the first of them; they stay the caller's
     * @throws IOException the device is gone
     */
    public void raw(byte[] bytes, List<Fd> with) throws IOException {
        try (Arena a = Arena.ofConfined()) {
            new MessageSocket(socket, fds, "raw").sendAll(a.allocateFrom(ValueLayout.JAVA_BYTE, bytes), bytes.length, with);
        }
    }

    /** A message as bytes, with any header, for hostile tests. */
    public static byte[] bytes(int request, int flags, int size, byte[] payload) {
        MemorySegment m = MemorySegment.ofArray(new byte[MessageHeader.BYTES + payload.length]);
        MessageHeader.write(m, 0, request, flags, size);
        MemorySegment.copy(payload, 0, m, ValueLayout.JAVA_BYTE, MessageHeader.BYTES, payload.length);
        return m.toArray(ValueLayout.JAVA_BYTE);
    }

    /**
     * Waits until the device closes the connection; answers that come before are thrown away.
     *
     * @param deadlineNanos by {@link System#nanoTime()}
     * @return whether it did
     * @throws IOException the socket failed
     */
    public boolean awaitClosed(long deadlineNanos) throws IOException {
        try {
            while (true) {
                var m = channel.receive(deadlineNanos);
                if (m.isEmpty()) {
                    return false;
                }
                m.get().close();
            }
        } catch (EOFException e) {
            return true;
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Closes the connection, as a VMM that ends. */
    @Override
    public void close() {
        socket.close();
    }
}
