// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.io.IOException;
import java.util.Optional;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.InvalidMemoryException;
import org.vireo.frontend.virtionet.session.RequestHandler.Device;
import org.vireo.frontend.virtionet.session.RequestHandler.Outcome;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.SharedMemory;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.MalformedMessageException;
import org.vireo.vhostuser.Message;
import org.vireo.vhostuser.PackedInflightLayout;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.Request;
import org.vireo.vhostuser.SplitInflightLayout;

/** GET_INFLIGHT_FD and SET_INFLIGHT_FD: the VMM keeps, for whoever serves its rings next, what was taken from them and not given back. */
final class InflightRequests {
    private InflightRequests() {
    }

    /** Makes memory, which is the VMM's from then on. All zero: nothing was written yet. */
    static Outcome get(DeviceState s, Message m, Device device) throws MalformedMessageException, RefusedException {
        InflightSpec asked = m.inflight();
        check(s, asked, Request.GET_INFLIGHT_FD);
        // features may come later: then there is room for either layout
        boolean packed = s.packed() || s.features() == 0;
        long bytes = asked.queues()
                * (packed ? PackedInflightLayout.stride(asked.queueSize()) : SplitInflightLayout.stride(asked.queueSize()));
        Fd file;
        try {
            file = SharedMemory.create(device.fds(), "vireo-inflight", bytes, true);
        } catch (IOException e) {
            throw new RefusedException("GET_INFLIGHT_FD: no memory of " + bytes + " bytes: " + e.getMessage(), e);
        }
        InflightSpec made = new InflightSpec(bytes, 0, asked.queues(), asked.queueSize());
        return new Outcome(s, Optional.of(made.payload()), -1, null, null, file);
    }

    /** Takes memory that a back-end before this one may have written. It is read when a ring starts. */
    static Outcome set(DeviceState s, Message m, Device device) throws MalformedMessageException, RefusedException {
        InflightSpec spec = m.inflight();
        check(s, spec, Request.SET_INFLIGHT_FD);
        if (s.running()) {
            throw new RefusedException("SET_INFLIGHT_FD: rings run; stop them with GET_VRING_BASE first");
        }
        long part = spec.size() / spec.queues();
        if (s.packed() && part < PackedInflightLayout.bytes(spec.queueSize())) {
            throw new RefusedException("SET_INFLIGHT_FD: " + part + " bytes for each of " + spec.queues() + " ring(s); packed rings of "
                    + spec.queueSize() + " entries need " + PackedInflightLayout.bytes(spec.queueSize()));
        }
        try {
            return Outcome.of(s.withInflight(InflightRegion.map(spec, m.takeDescriptor(), device.anyMemory())));
        } catch (InvalidMemoryException e) {
            throw new RefusedException("SET_INFLIGHT_FD: " + e.getMessage(), e);
        }
    }

    private static void check(DeviceState s, InflightSpec spec, Request request) throws RefusedException {
        if ((s.protocolFeatures() & ProtocolFeatures.INFLIGHT_SHMFD) == 0) {
            throw new RefusedException(request + ": the VMM did not acknowledge INFLIGHT_SHMFD");
        }
        if (spec.queues() < 1 || spec.queues() > s.rings().size() || spec.queueSize() < 1
                || spec.queueSize() > InflightRegion.MOST_ENTRIES) {
            throw new RefusedException(request + ": " + spec.queues() + " ring(s) of " + spec.queueSize() + " entries; this NIC has "
                    + s.rings().size() + " (queues=" + s.rings().size() / 2 + "), of at most " + InflightRegion.MOST_ENTRIES
                    + ": give both sides the same number of queues");
        }
    }
}
