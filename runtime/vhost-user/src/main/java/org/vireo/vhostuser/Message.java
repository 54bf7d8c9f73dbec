// SPDX-License-Identifier: Apache-2.0
package org.vireo.vhostuser;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vireo.net.api.Fd;

/**
 * One whole message, copied out of the socket, so that nobody changes it while it is handled. Owns the descriptors that came with it
 * until they are taken; {@link #close()} closes the rest. One thread.
 *
 * <p>The typed readers check the payload's size against the message's kind and throw when it does not fit.
 */
public final class Message implements AutoCloseable {
    /** In the u64 of SET_VRING_KICK, CALL and ERR: no descriptor comes with it. */
    public static final long NO_DESCRIPTOR = 0x100;
    /** In the u64 of SET_VRING_KICK, CALL and ERR: the ring. */
    public static final long RING_MASK = 0xff;

    private final int id;
    private final int flags;
    private final Optional<? extends MessageKind> kind;
    private final MemorySegment payload;
    private final List<Fd> descriptors;
    private final int arrived;

    /**
     * A message.
     *
     * @param id of the request
     * @param flags of the header
     * @param kind what the id means, if anything
     * @param payload its payload, which belongs to the message
     * @param descriptors what came with it; the message takes them over
     */
    public Message(int id, int flags, Optional<? extends MessageKind> kind, MemorySegment payload, List<Fd> descriptors) {
        this.id = id;
        this.flags = flags;
        this.kind = kind;
        this.payload = payload;
        this.descriptors = new ArrayList<>(descriptors);
        arrived = descriptors.size();
    }

    /** The id in the header. */
    public int id() {
        return id;
    }

    /** The front-end's request; empty for an unknown id and on a back-end's channel. */
    public Optional<Request> request() {
        return kind.filter(Request.class::isInstance).map(Request.class::cast);
    }

    /** The back-end's request; empty for an unknown id and on a front-end's channel. */
    public Optional<BackendRequest> backendRequest() {
        return kind.filter(BackendRequest.class::isInstance).map(BackendRequest.class::cast);
    }

    /** The name of the request, for messages. */
    public String name() {
        return kind.map(MessageKind::name).orElse("request " + Integer.toUnsignedString(id));
    }

    /** The flags in the header. */
    public int flags() {
        return flags;
    }

    /** Whether it is a reply. */
    public boolean isReply() {
        return (flags & MessageHeader.REPLY) != 0;
    }

    /** Whether the sender wants an acknowledgement. It counts only once REPLY_ACK is acknowledged. */
    public boolean needsReply() {
        return (flags & MessageHeader.NEED_REPLY) != 0;
    }

    /** The payload as it came. */
    public MemorySegment payload() {
        return payload;
    }

    /** Length on the wire. */
    public int bytes() {
        return MessageHeader.BYTES + (int) payload.byteSize();
    }

    /** The descriptors that nobody has taken. They stay the message's. */
    public List<Fd> descriptors() {
        return List.copyOf(descriptors);
    }

    /**
     * Takes the next descriptor over.
     *
     * @return the first that nobody has taken; the caller closes it
     * @throws MalformedMessageException there is none
     */
    public Fd takeDescriptor() throws MalformedMessageException {
        if (descriptors.isEmpty()) {
            throw new MalformedMessageException(name(), "descriptors", 0, kind.map(k -> k.descriptors().toString()).orElse("one"));
        }
        return descriptors.removeFirst();
    }

    /**
     * Checks a request against the rules for its kind: payload size, number of descriptors, not a reply. An unknown kind passes.
     *
     * @throws MalformedMessageException naming what is wrong
     */
    public void check() throws MalformedMessageException {
        if (isReply()) {
            throw new MalformedMessageException(name(), "flags", "a reply", "a request");
        }
        if (kind.isEmpty()) {
            return;
        }
        require(kind.get().shape());
        DescriptorRule rule = kind.get().descriptors();
        if (!rule.accepts(descriptors.size(), this)) {
            throw new MalformedMessageException(name(), "descriptors", descriptors.size(), rule);
        }
    }

    /**
     * Checks a reply against the rules for its kind; an acknowledgement is a u64 whatever the kind.
     *
     * @param acknowledgement whether it answers need_reply only
     * @throws MalformedMessageException naming what is wrong
     */
    public void checkReply(boolean acknowledgement) throws MalformedMessageException {
        if (!isReply()) {
            throw new MalformedMessageException(name(), "flags", "a request", "a reply");
        }
        PayloadShape s = acknowledgement ? PayloadShape.U64 : kind.map(MessageKind::replyShape).orElse(null);
        if (s == null) {
            throw new MalformedMessageException(name(), "reply", "there", "none, as this request has no reply");
        }
        require(s);
    }

    private void require(PayloadShape shape) throws MalformedMessageException {
        if (!shape.accepts(payload)) {
            throw new MalformedMessageException(name(), "payload size", payload.byteSize(), shape.sizes());
        }
    }

    /** The payload as a u64. */
    public long u64() throws MalformedMessageException {
        require(PayloadShape.U64);
        return payload.get(Wire.LONG, 0);
    }

    /** The payload as a ring's state. */
    public VringState vringState() throws MalformedMessageException {
        require(PayloadShape.VRING_STATE);
        return VringState.read(payload);
    }

    /** The payload as a ring's addresses. */
    public VringAddress vringAddress() throws MalformedMessageException {
        require(PayloadShape.VRING_ADDRESS);
        return VringAddress.read(payload);
    }

    /** The payload as a memory table; region i belongs to descriptor i. */
    public List<MemoryRegionSpec> memoryTable() throws MalformedMessageException {
        require(PayloadShape.MEMORY_TABLE);
        return MemoryRegionSpec.readTable(payload);
    }

    /** The payload as a memory region. */
    public MemoryRegionSpec memoryRegion() throws MalformedMessageException {
        require(PayloadShape.MEMORY_REGION);
        return MemoryRegionSpec.read(payload, 8);
    }

    /** The payload as a piece of the configuration space. */
    public DeviceConfig config() throws MalformedMessageException {
        require(PayloadShape.CONFIG);
        return DeviceConfig.read(payload);
    }

    /** The payload as a log description. */
    public LogSpec log() throws MalformedMessageException {
        if (payload.byteSize() != LogSpec.BYTES) {
            throw new MalformedMessageException(name(), "payload size", payload.byteSize(), LogSpec.BYTES);
        }
        return LogSpec.read(payload);
    }

    /** The payload as an in-flight description. */
    public InflightSpec inflight() throws MalformedMessageException {
        require(PayloadShape.INFLIGHT);
        return InflightSpec.read(payload);
    }

    /** The payload as a device state transfer. */
    public DeviceStateTransfer deviceState() throws MalformedMessageException {
        require(PayloadShape.DEVICE_STATE);
        return DeviceStateTransfer.read(payload);
    }

    /** The ring of SET_VRING_KICK, CALL and ERR. */
    public int descriptorRing() throws MalformedMessageException {
        long v = u64();
        if ((v & ~(RING_MASK | NO_DESCRIPTOR)) != 0) {
            throw new MalformedMessageException(name(), "u64", "0x" + Long.toHexString(v), "a ring in bits 0-7 and bit 8, nothing else");
        }
        return (int) (v & RING_MASK);
    }

    /**
     * Whether it came with as many descriptors as the look showed, or with strays that it may have.
     *
     * @param came with its bytes when they were taken out of the socket
     */
    boolean accountsFor(int came) {
        return came == arrived || arrived == 0 && kind.map(k -> k.descriptors().toleratesStray()).orElse(false);
    }

    /** Closes the descriptors that nobody took. */
    @Override
    public void close() {
        descriptors.forEach(Fd::close);
        descriptors.clear();
    }

    @Override
    public String toString() {
        return name() + (isReply() ? " reply" : "") + " (" + payload.byteSize() + " bytes, " + descriptors.size() + " descriptors)";
    }
}
