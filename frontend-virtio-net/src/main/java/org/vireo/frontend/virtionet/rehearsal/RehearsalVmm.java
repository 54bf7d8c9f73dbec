// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.rehearsal;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.frontend.virtionet.memory.MappedRegion;
import org.vireo.frontend.virtionet.session.RingState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.MemoryRegionSpec;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.MessageChannel;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.Requester;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;
import org.vireo.vhostuser.VringState;

/**
 * A VMM of a rehearsal's driver: it says to a NIC what QEMU says when a VM starts, stops, or comes from another VMM, in its order. One
 * thread.
 */
public final class RehearsalVmm {
    private static final long ANSWER_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long PROTOCOL = ProtocolFeatures.MQ | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.STATUS
            | ProtocolFeatures.CONFIGURE_MEM_SLOTS;
    private static final int DRIVER_OK = 0xf;
    private static final int RINGS = 2;

    private final RehearsalDriver driver;
    private final Requester requester;
    private long features;

    /**
     * A VMM that has said nothing yet.
     *
     * @param fds makes the descriptors that arrive
     * @param socket the connection to the NIC; it stays the caller's
     * @param driver of the guest
     */
    public RehearsalVmm(Fds fds, Fd socket, RehearsalDriver driver) {
        this.driver = driver;
        requester = new Requester(MessageChannel.of(socket, fds, "rehearsal"));
    }

    /**
     * Negotiates, as a VMM does before its guest runs.
     *
     * @param wanted virtio features that the guest acknowledges
     * @throws IOException no answer, or a refusal
     */
    public void negotiate(long wanted) throws IOException {
        features = wanted & requester.askU64(Request.GET_FEATURES, deadline()) | VirtioNet.PROTOCOL_FEATURES;
        long protocol = PROTOCOL & requester.askU64(Request.GET_PROTOCOL_FEATURES, deadline());
        tell(Request.SET_PROTOCOL_FEATURES, MessageChannel.u64(protocol));
        requester.acknowledged((protocol & ProtocolFeatures.REPLY_ACK) != 0);
        requester.askU64(Request.GET_QUEUE_NUM, deadline());
        requester.askU64(Request.GET_MAX_MEM_SLOTS, deadline());
        tell(Request.SET_OWNER, MemorySegment.NULL);
    }

    /**
     * Starts the rings, as a VMM does when its guest begins to run or to run on.
     *
     * @param bases where they go on, as {@link #stop} told
     * @throws IOException no answer, or a refusal
     */
    public void start(List<Integer> bases) throws IOException {
        enable();
        tell(Request.SET_FEATURES, MessageChannel.u64(features));
        requester.askU64(Request.GET_STATUS, deadline());
        memory(Request.ADD_MEM_REG);
        for (int i = 0; i < RINGS; i++) {
            RingState r = driver.ring(i);
            tell(Request.SET_VRING_NUM, new VringState(i, r.size()).payload());
            tell(Request.SET_VRING_BASE, new VringState(i, bases.get(i)).payload());
            tell(Request.SET_VRING_ADDR, new VringAddress(i, 0, r.descriptors(), r.used(), r.available(), 0).payload());
            tell(Request.SET_VRING_KICK, MessageChannel.u64(i), r.kick());
            tell(Request.SET_VRING_CALL, MessageChannel.u64(i), r.call());
        }
        tell(Request.SET_STATUS, MessageChannel.u64(DRIVER_OK));
    }

    private void enable() throws IOException {
        for (int i = 0; i < RINGS; i++) {
            tell(Request.SET_VRING_ENABLE, new VringState(i, 1).payload());
        }
    }

    /**
     * Stops the rings, as a VMM does when its guest stands still, and takes its memory back, as it does when it ends.
     *
     * @return where they have stopped
     * @throws IOException no answer, or a refusal
     */
    public List<Integer> stop() throws IOException {
        tell(Request.SET_STATUS, MessageChannel.u64(0));
        List<Integer> bases = List.of(base(0), base(1));
        memory(Request.REM_MEM_REG);
        return bases;
    }

    private int base(int ring) throws IOException {
        try (Message m = requester.ask(Request.GET_VRING_BASE, new VringState(ring, 0).payload(), List.of(), deadline())) {
            return m.vringState().num();
        } catch (MalformedMessageException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private void memory(Request what) throws IOException {
        for (MappedRegion r : driver.memory().regions()) {
            MappedRegion.Spec s = r.spec();
            tell(what, new MemoryRegionSpec(s.guest(), s.bytes(), s.user(), s.offset()).payload(), r.file());
        }
    }

    private void tell(Request request, MemorySegment payload, Fd... with) throws IOException {
        long answer = requester.tell(request, payload, List.of(with), deadline());
        if (answer != 0) {
            throw new IOException(request + " was refused");
        }
    }

    private static long deadline() {
        return System.nanoTime() + ANSWER_NANOS;
    }
}
