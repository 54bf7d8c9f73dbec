// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.PackedRingLayout;
import org.vireo.frontend.virtionet.ring.SplitRingLayout;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.EventFd;
import org.vireo.vhostuser.DeviceConfig;
import org.vireo.vhostuser.LogSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.PackedBase;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/**
 * The back-end's requests of the vhost-user protocol, each as a function from state to state: nothing takes effect here. What cannot be
 * served is refused before anything changed.
 */
public final class RequestHandler {
    /** Most memory regions, told by GET_MAX_MEM_SLOTS. */
    public static final int MEMORY_SLOTS = 509;
    /** What this back-end can do. */
    public static final long PROTOCOL_FEATURES = ProtocolFeatures.MQ | ProtocolFeatures.LOG_SHMFD | ProtocolFeatures.RARP
            | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.MTU | ProtocolFeatures.BACKEND_REQ | ProtocolFeatures.CONFIG
            | ProtocolFeatures.INFLIGHT_SHMFD | ProtocolFeatures.RESET_DEVICE | ProtocolFeatures.CONFIGURE_MEM_SLOTS
            | ProtocolFeatures.STATUS | ProtocolFeatures.DEVICE_STATE;

    private final Device device;

    /** What the handler needs to know of the device. */
    public interface Device {
        /**
         * Features that are offered now.
         *
         * @return virtio feature bits
         */
        long offered();

        /**
         * The configuration space.
         *
         * @return {@link ConfigSpace#BYTES} bytes
         */
        MemorySegment config();

        /**
         * Whether guest memory may lie on any file system.
         *
         * @return whether
         */
        boolean anyMemory();

        /**
         * Largest MTU of the port.
         *
         * @return bytes, 0: not known
         */
        int portMtu();

        /**
         * Takes requests that save and load the device's state.
         *
         * @return always the same
         */
        StateRequests states();

        /**
         * Whether it is known here what rings have taken: not while somebody else runs them.
         *
         * @return whether
         */
        boolean tracksInflight();

        /**
         * Makes descriptors.
         *
         * @return the process's
         */
        Fds fds();
    }

    /**
     * What a request asks for.
     *
     * @param next the state after it
     * @param reply payload of its answer, if it has one that is known before it takes effect
     * @param ring ring that GET_VRING_BASE stops, or -1
     * @param announce MAC to announce, or null
     * @param backendChannel channel for requests to the front-end, or null
     * @param attached descriptor that goes with the answer and is closed then, or null
     */
    public record Outcome(DeviceState next, Optional<MemorySegment> reply, int ring, byte[] announce, Fd backendChannel, Fd attached) {
        Outcome(DeviceState next, Optional<MemorySegment> reply, int ring, byte[] announce, Fd backendChannel) {
            this(next, reply, ring, announce, backendChannel, null);
        }

        static Outcome of(DeviceState next) {
            return new Outcome(next, Optional.empty(), -1, null, null);
        }
    }

    /**
     * A handler.
     *
     * @param device tells what is offered
     */
    public RequestHandler(Device device) {
        this.device = device;
    }

    /**
     * Handles a request. Descriptors that the new state keeps are taken out of the message.
     *
     * @param s the state
     * @param m a whole message
     * @return what it asks for
     * @throws MalformedMessageException it is not what the protocol says: the session ends
     * @throws RefusedException it cannot be served
     */
    public Outcome handle(DeviceState s, Message m) throws MalformedMessageException, RefusedException {
        m.check();
        Request request = m.request().orElseThrow(() -> new RefusedException(m.name() + ": not known here"));
        Outcome o = outcome(s, m, request);
        try {
            checkLog(request, o.next);
        } catch (RefusedException e) {
            s.closeReplaced(o.next);
            throw e;
        }
        return o;
    }

    private Outcome outcome(DeviceState s, Message m, Request request) throws MalformedMessageException, RefusedException {
        return switch (request) {
            case GET_FEATURES -> reply(s, device.offered());
            case SET_FEATURES -> setFeatures(s, m.u64());
            case GET_PROTOCOL_FEATURES -> reply(s, device.tracksInflight() ? PROTOCOL_FEATURES
                    : PROTOCOL_FEATURES & ~ProtocolFeatures.INFLIGHT_SHMFD);
            case SET_PROTOCOL_FEATURES -> setProtocolFeatures(s, m.u64());
            case SET_OWNER, RESET_OWNER -> Outcome.of(s);
            case SET_MEM_TABLE -> setMemory(s, m);
            case SET_LOG_BASE -> setLog(s, m);
            case SET_LOG_FD -> Outcome.of(s.withLogEvent(eventFd(m, "SET_LOG_FD")));
            case GET_MAX_MEM_SLOTS -> reply(s, MEMORY_SLOTS);
            case ADD_MEM_REG -> addRegion(s, m);
            case REM_MEM_REG -> removeRegion(s, m);
            case SET_VRING_NUM -> setSize(s, m.vringState());
            case SET_VRING_ADDR -> setAddress(s, m.vringAddress());
            case SET_VRING_BASE -> setBase(s, m.vringState());
            case GET_VRING_BASE -> getBase(s, m.vringState());
            case SET_VRING_KICK, SET_VRING_CALL, SET_VRING_ERR -> setDescriptor(s, m, request);
            case SET_VRING_ENABLE -> enable(s, m.vringState());
            // virtqueues, though DPDK and passt say pairs: front-ends that compare with their pairs (QEMU) are content, and those that
            // count virtqueues (Cloud Hypervisor, crosvm) need it; a ring too many is refused when it is spoken of
            case GET_QUEUE_NUM -> reply(s, s.rings().size());
            case SEND_RARP -> announce(s, m.u64());
            case NET_SET_MTU -> setMtu(s, m.u64());
            case SET_BACKEND_REQ_FD -> new Outcome(s, Optional.empty(), -1, null, m.takeDescriptor());
            case GET_CONFIG -> getConfig(s, m.config());
            case SET_CONFIG -> throw new RefusedException("SET_CONFIG: the configuration space is read-only");
            case SET_STATUS -> setStatus(s, m.u64());
            case GET_STATUS -> reply(s, s.status());
            case GET_INFLIGHT_FD -> InflightRequests.get(s, m, device);
            case SET_INFLIGHT_FD -> InflightRequests.set(s, m, device);
            case RESET_DEVICE -> Outcome.of(s.reset());
            case SET_DEVICE_STATE_FD -> reply(s, device.states().begin(s, m.deviceState(), m.takeDescriptor()));
            case CHECK_DEVICE_STATE -> checkState(s);
            default -> throw new RefusedException(request + ": was not offered");
        };
    }

    private static Outcome reply(DeviceState s, long value) {
        return new Outcome(s, Optional.of(MessageChannel.u64(value)), -1, null, null);
    }

    private Outcome checkState(DeviceState s) {
        StateRequests.Checked c = device.states().check(s);
        return reply(c.next(), c.answer());
    }

    private Outcome setFeatures(DeviceState s, long bits) throws RefusedException {
        long surplus = bits & ~device.offered();
        if (surplus != 0) {
            throw new RefusedException("SET_FEATURES 0x" + Long.toHexString(bits) + ": " + VirtioNet.names(surplus) + " not offered now; "
                    + "the guest acknowledged more than this configuration has");
        }
        if (((bits ^ s.features()) & VirtioNet.RING_PACKED) != 0 && s.running()) {
            throw new RefusedException("SET_FEATURES 0x" + Long.toHexString(bits) + ": RING_PACKED cannot change while rings run; stop them"
                    + " with GET_VRING_BASE first");
        }
        return Outcome.of(s.withFeatures(bits));
    }

    /** Whether rings may become packed ones: features may come after what is told of the rings, and then decide when they are started. */
    private boolean mayBePacked(DeviceState s) {
        return s.packed() || s.features() == 0 && (device.offered() & VirtioNet.RING_PACKED) != 0;
    }

    private static Outcome setProtocolFeatures(DeviceState s, long bits) throws RefusedException {
        long surplus = bits & ~PROTOCOL_FEATURES;
        if (surplus != 0) {
            throw new RefusedException("SET_PROTOCOL_FEATURES 0x" + Long.toHexString(bits) + ": " + ProtocolFeatures.names(surplus)
                    + " not offered");
        }
        return Outcome.of(s.withProtocolFeatures(bits));
    }

    private Outcome setMemory(DeviceState s, Message m) throws MalformedMessageException, RefusedException {
        List<MemoryRegionSpec> specs = m.memoryTable();
        if (specs.isEmpty()) {
            throw new RefusedException("SET_MEM_TABLE: no region at all: the VMM shares no guest memory (QEMU wants share=on on its "
                    + "memory backend, Cloud Hypervisor --memory shared=on)");
        }
        List<MappedRegion> regions = new ArrayList<>();
        try {
            for (MemoryRegionSpec r : specs) {
                regions.add(map(r, m.takeDescriptor()));
            }
        } catch (InvalidMemoryException e) {
            regions.forEach(MappedRegion::release);
            throw new RefusedException("SET_MEM_TABLE: " + e.getMessage(), e);
        }
        try {
            return Outcome.of(s.withMemory(MemoryTable.of(regions)));
        } catch (InvalidMemoryException e) {
            throw new RefusedException("SET_MEM_TABLE: " + e.getMessage(), e);
        }
    }

    private MappedRegion map(MemoryRegionSpec r, Fd file) throws InvalidMemoryException {
        return MappedRegion.map(spec(r), file, device.anyMemory());
    }

    private static MappedRegion.Spec spec(MemoryRegionSpec r) {
        return new MappedRegion.Spec(r.guest(), r.size(), r.user(), r.offset());
    }

    /** A region that is there already is no fault: QEMU 7.2 tells of each one once for every queue pair. */
    private Outcome addRegion(DeviceState s, Message m) throws MalformedMessageException, RefusedException {
        MemoryRegionSpec r = m.memoryRegion();
        Fd file = m.takeDescriptor();
        if (s.memory().has(spec(r), file)) {
            file.close();
            return Outcome.of(s);
        }
        if (s.memory().regions().size() >= MEMORY_SLOTS) {
            file.close();
            throw new RefusedException("ADD_MEM_REG: all " + MEMORY_SLOTS + " slots are taken");
        }
        try {
            return Outcome.of(s.withMemory(s.memory().with(map(r, file))));
        } catch (InvalidMemoryException e) {
            throw new RefusedException("ADD_MEM_REG: " + e.getMessage(), e);
        }
    }

    /** Likewise one that has gone: the next pairs' messages come when the first one's has removed it, and may have added others there. */
    private static Outcome removeRegion(DeviceState s, Message m) throws MalformedMessageException {
        MemoryRegionSpec r = m.memoryRegion();
        MemoryTable rest = s.memory().without(r.guest(), r.size(), r.user());
        return Outcome.of(rest == s.memory() ? s : s.withMemory(rest));
    }

    private Outcome setLog(DeviceState s, Message m) throws MalformedMessageException, RefusedException {
        if ((s.protocolFeatures() & ProtocolFeatures.LOG_SHMFD) == 0) {
            throw new RefusedException("SET_LOG_BASE: the VMM did not acknowledge LOG_SHMFD; a log can only be a file that it shares");
        }
        LogSpec log = m.log();
        DirtyLog mapped;
        try {
            mapped = DirtyLog.map(log.size(), log.offset(), m.takeDescriptor(), device.anyMemory());
        } catch (InvalidMemoryException e) {
            throw new RefusedException("SET_LOG_BASE: " + e.getMessage(), e);
        }
        // it has an answer in any case: nothing, or what need_reply asks for
        Optional<MemorySegment> reply = m.needsReply() ? Optional.empty() : Optional.of(MemorySegment.ofArray(new byte[0]));
        return new Outcome(s.withLog(mapped), reply, -1, null, null);
    }

    /** A page that the log has no bit for would be missing in the VM that was migrated. */
    private static void checkLog(Request request, DeviceState next) throws RefusedException {
        DirtyLog log = next.log();
        // one that logging ended with is replaced soon: QEMU, for a device that starts while the VM is migrated, sets features first
        if (log == null || request != Request.SET_LOG_BASE && (!next.logsAll() || log.isEnded())) {
            return;
        }
        long end = next.memory().guestEnd();
        if (end > 0 && !log.covers(0, end)) {
            throw new RefusedException(request + ": the " + log + " does not cover guest memory, which ends at 0x" + Long.toHexString(end)
                    + "; the VMM has to give a larger one with SET_LOG_BASE first");
        }
        for (int i = 0; i < next.rings().size(); i++) {
            RingState r = next.rings().get(i);
            long bytes = next.packed() ? PackedRingLayout.EVENT_BYTES : SplitRingLayout.usedBytes(r.size());
            if (next.log(i).usedAt() != -1 && r.size() > 0 && !log.covers(r.log(), bytes)) {
                throw new RefusedException(request + ": the " + log + " does not cover the device's area of ring " + i
                        + ", which is logged as " + bytes + " bytes at 0x" + Long.toHexString(r.log()));
            }
        }
    }

    private static RingState ring(DeviceState s, int index, String request) throws RefusedException {
        if (index < 0 || index >= s.rings().size()) {
            throw new RefusedException(request + ": there is no ring " + Integer.toUnsignedString(index) + ", the NIC has queues="
                    + s.rings().size() / 2 + " and so " + s.rings().size() + " rings: give both sides the same number of queues");
        }
        return s.rings().get(index);
    }

    private Outcome setSize(DeviceState s, VringState v) throws RefusedException {
        RingState r = ring(s, v.index(), "SET_VRING_NUM");
        boolean anySize = mayBePacked(s);
        if (v.num() < 1 || v.num() > SplitRingLayout.MAX_SIZE || !anySize && Integer.bitCount(v.num()) != 1) {
            throw new RefusedException("SET_VRING_NUM: ring " + v.index() + " size " + Integer.toUnsignedString(v.num())
                    + (anySize ? " is not" : " is not a power of two") + " of 1 to " + SplitRingLayout.MAX_SIZE);
        }
        if (r.started() && v.num() != r.size()) {
            throw new RefusedException("SET_VRING_NUM: ring " + v.index() + " runs with " + r.size() + " entries; stop it with "
                    + "GET_VRING_BASE first");
        }
        return Outcome.of(s.withRing(v.index(), r.withSize(v.num())));
    }

    private static Outcome setAddress(DeviceState s, VringAddress a) throws RefusedException {
        RingState r = ring(s, a.index(), "SET_VRING_ADDR");
        int availableAlignment = s.packed() ? 4 : 2;
        if (a.descriptor() % 16 != 0 || a.available() % availableAlignment != 0 || a.used() % 4 != 0) {
            throw new RefusedException("SET_VRING_ADDR: ring " + a.index() + ": descriptor table 0x" + Long.toHexString(a.descriptor())
                    + ", available ring 0x" + Long.toHexString(a.available()) + ", used ring 0x" + Long.toHexString(a.used())
                    + " are not aligned to 16, " + availableAlignment + ", 4");
        }
        if (r.started() && (a.descriptor() != r.descriptors() || a.available() != r.available() || a.used() != r.used())) {
            throw new RefusedException("SET_VRING_ADDR: ring " + a.index() + " runs elsewhere; stop it with GET_VRING_BASE first");
        }
        return Outcome.of(s.withRing(a.index(), r.withAddress(a.descriptor(), a.available(), a.used(), a.flags(), a.log())));
    }

    /**
     * Of a packed ring both halves are positions, of what is available and of what is used. A device that gave all back which it took has
     * one for both; where a VMM knows of something that was taken and not given back, it is taken again. DPDK's virtio-user tells the
     * first alone: the ring tells, when it starts, whether that is so ({@link PackedBase}).
     */
    private Outcome setBase(DeviceState s, VringState v) throws RefusedException {
        RingState r = ring(s, v.index(), "SET_VRING_BASE");
        if ((v.num() & ~0xffff) != 0 && !mayBePacked(s)) {
            throw new RefusedException("SET_VRING_BASE: ring " + v.index() + " base " + Integer.toUnsignedString(v.num())
                    + " has more than 16 bits");
        }
        int base = v.num() >>> 16 != 0 ? v.num() >>> 16 : v.num();
        if (mayBePacked(s) && PackedBase.isUnsure(v.num())) {
            base |= RingState.UNSURE;
        }
        if (r.started()) {
            throw new RefusedException("SET_VRING_BASE: ring " + v.index() + " runs; stop it with GET_VRING_BASE first");
        }
        return Outcome.of(s.withRing(v.index(), r.withBase(base)));
    }

    private static Outcome getBase(DeviceState s, VringState v) throws RefusedException {
        RingState r = ring(s, v.index(), "GET_VRING_BASE");
        // a successor that is told of this stop finds the position in the journal
        RingState stopped = r.started() ? r.withStarted(false).withBase(RingState.JOURNAL) : r;
        return new Outcome(r.started() ? s.withRing(v.index(), stopped) : s, Optional.empty(), v.index(), null, null);
    }

    private static Outcome setDescriptor(DeviceState s, Message m, Request request) throws MalformedMessageException, RefusedException {
        int index = m.descriptorRing();
        RingState r = ring(s, index, request.name());
        boolean none = (m.u64() & Message.NO_DESCRIPTOR) != 0;
        if (none && request == Request.SET_VRING_KICK) {
            throw new RefusedException("SET_VRING_KICK: ring " + index + " has no descriptor: polled rings are not supported; the VMM has "
                    + "to give an eventfd");
        }
        Fd fd = none ? null : eventFd(m, request + ": ring " + index);
        return Outcome.of(s.withRing(index, switch (request) {
            case SET_VRING_KICK -> r.withKick(fd).withStarted(true);
            case SET_VRING_CALL -> r.withCall(fd);
            default -> r.withError(fd);
        }));
    }

    private static Fd eventFd(Message m, String what) throws MalformedMessageException, RefusedException {
        Fd fd = m.takeDescriptor();
        if (!EventFd.isEventFd(fd.number())) {
            String is = EventFd.describe(fd.number());
            fd.close();
            throw new RefusedException(what + ": the descriptor is " + is + ", not an eventfd");
        }
        Posix.setNonBlocking(fd.number());
        return fd;
    }

    /** Before SET_FEATURES too: QEMU enables a device's rings while it makes it. */
    private static Outcome enable(DeviceState s, VringState v) throws RefusedException {
        RingState r = ring(s, v.index(), "SET_VRING_ENABLE");
        if (v.num() != 0 && v.num() != 1) {
            throw new RefusedException("SET_VRING_ENABLE: ring " + v.index() + " to " + Integer.toUnsignedString(v.num()) + ": 0 or 1");
        }
        return Outcome.of(s.withRing(v.index(), r.withEnabled(v.num() == 1)));
    }

    private static Outcome announce(DeviceState s, long mac) {
        byte[] b = new byte[6];
        for (int i = 0; i < 6; i++) {
            b[i] = (byte) (mac >>> 8 * i);
        }
        return new Outcome(s, Optional.empty(), -1, b, null);
    }

    private Outcome setMtu(DeviceState s, long mtu) throws RefusedException {
        int most = device.portMtu() == 0 ? 65535 : device.portMtu();
        if (mtu < 68 || mtu > most) {
            throw new RefusedException("NET_SET_MTU " + Long.toUnsignedString(mtu) + ": 68 to " + most + ", the port's MTU");
        }
        return Outcome.of(s.withMtu((int) mtu));
    }

    private Outcome getConfig(DeviceState s, DeviceConfig c) {
        MemorySegment bytes;
        long size = c.bytes().byteSize();
        if (c.offset() < 0 || size == 0 || c.offset() + size > ConfigSpace.BYTES) {
            // the protocol's way to say that a range is wrong: an answer without payload
            bytes = MemorySegment.ofArray(new byte[0]);
        } else {
            bytes = new DeviceConfig(c.offset(), c.flags(), device.config().asSlice(c.offset(), size)).payload();
        }
        return new Outcome(s, Optional.of(bytes), -1, null, null);
    }

    private static Outcome setStatus(DeviceState s, long status) throws RefusedException {
        if ((status & ~0xffL) != 0) {
            throw new RefusedException("SET_STATUS 0x" + Long.toHexString(status) + ": more than 8 bits");
        }
        return Outcome.of(status == 0 ? s.resetByStatus() : s.withStatus((int) status));
    }
}
