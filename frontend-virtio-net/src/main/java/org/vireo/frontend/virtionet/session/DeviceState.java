// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.session;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.List;
import java.util.function.UnaryOperator;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.net.api.Fd;
import org.vireo.vhostuser.VirtioNet;
import org.vireo.vhostuser.VringAddress;

/**
 * All that a VMM told of a device. Immutable: a message makes a new one, which is announced to successors before it takes effect.
 *
 * @param features acknowledged virtio features
 * @param protocolFeatures acknowledged vhost-user protocol features
 * @param status device status
 * @param mtu of NET_SET_MTU, 0: not told
 * @param memory the guest's memory
 * @param log where a VMM that migrates its VM wants to know what was written, or null
 * @param inflight where a VMM keeps what rings have taken and not given back, or null
 * @param rings two a pair: receive, transmit
 * @param logEvent eventfd that is signalled when something was written to the log, or null
 */
public record DeviceState(long features, long protocolFeatures, int status, int mtu, MemoryTable memory, DirtyLog log,
        InflightRegion inflight, List<RingState> rings, Fd logEvent) {
    /**
     * Before the first message.
     *
     * @param pairs queue pairs
     * @return the state
     */
    public static DeviceState initial(int pairs) {
        return new DeviceState(0, 0, 0, 0, MemoryTable.EMPTY, null, null, Collections.nCopies(2 * pairs, RingState.NEW), null);
    }

    /**
     * With one ring changed.
     *
     * @param index its number
     * @param ring its new state
     * @return the state
     */
    public DeviceState withRing(int index, RingState ring) {
        List<RingState> all = new ArrayList<>(rings);
        all.set(index, ring);
        return new DeviceState(features, protocolFeatures, status, mtu, memory, log, inflight, List.copyOf(all), logEvent);
    }

    DeviceState withFeatures(long bits) {
        DeviceState s = new DeviceState(bits, protocolFeatures, status, mtu, memory, log, inflight, rings, logEvent);
        if ((bits & VirtioNet.PROTOCOL_FEATURES) != 0) {
            return s;
        }
        // without protocol features there is no SET_VRING_ENABLE: rings are enabled from the start
        for (int i = 0; i < rings.size(); i++) {
            s = s.withRing(i, s.rings.get(i).withEnabled(true));
        }
        return s;
    }

    DeviceState withProtocolFeatures(long bits) {
        return new DeviceState(features, bits, status, mtu, memory, log, inflight, rings, logEvent);
    }

    DeviceState withStatus(int bits) {
        return new DeviceState(features, protocolFeatures, bits, mtu, memory, log, inflight, rings, logEvent);
    }

    /**
     * With another MTU.
     *
     * @param bytes 0: not told
     * @return the state, the same if it is the same MTU
     */
    public DeviceState withMtu(int bytes) {
        if (bytes == mtu) {
            return this;
        }
        return new DeviceState(features, protocolFeatures, status, bytes, memory, log, inflight, rings, logEvent);
    }

    /**
     * With other memory.
     *
     * @param table the memory
     * @return the state
     */
    public DeviceState withMemory(MemoryTable table) {
        return new DeviceState(features, protocolFeatures, status, mtu, table, log, inflight, rings, logEvent);
    }

    /**
     * With another log.
     *
     * @param file the log
     * @return the state
     */
    DeviceState withLog(DirtyLog file) {
        return new DeviceState(features, protocolFeatures, status, mtu, memory, file, inflight, rings, logEvent);
    }

    DeviceState withLogEvent(Fd event) {
        return new DeviceState(features, protocolFeatures, status, mtu, memory, log, inflight, rings, event);
    }

    /**
     * With other in-flight memory.
     *
     * @param region the memory
     * @return the state
     */
    DeviceState withInflight(InflightRegion region) {
        return new DeviceState(features, protocolFeatures, status, mtu, memory, log, region, rings, logEvent);
    }

    /**
     * What of a ring's writes is logged.
     *
     * @param index its number
     * @return {@link RingLog#NONE} while no VM is migrated
     */
    public RingLog log(int index) {
        RingState r = rings.get(index);
        return RingLog.of(log, logsAll(), (r.flags() & VringAddress.LOG) != 0, r.log(),
                logEvent == null ? RingLog.NO_EVENT : logEvent.number());
    }

    /**
     * Whether rings are packed ones.
     *
     * @return VIRTIO_F_RING_PACKED
     */
    public boolean packed() {
        return (features & VirtioNet.RING_PACKED) != 0;
    }

    /**
     * Whether everything that is written into buffers is to be logged, if there is a log.
     *
     * @return VHOST_F_LOG_ALL
     */
    public boolean logsAll() {
        return (features & VirtioNet.LOG_ALL) != 0;
    }

    /** After RESET_DEVICE: all is as at first, but for memory and descriptors, which stay. */
    DeviceState reset() {
        return resetBy(r -> r.withStarted(false).withBase(0));
    }

    /**
     * After the driver has reset the device: rings are stopped and disabled, but tell where they were. QEMU 7.2 stops a VM by resetting the
     * status first and asking afterwards, and restores what it is told; who starts a ring anew says where.
     */
    DeviceState resetByStatus() {
        return resetBy(r -> r.started() ? r.withStarted(false).withBase(RingState.JOURNAL) : r);
    }

    private DeviceState resetBy(UnaryOperator<RingState> ring) {
        List<RingState> all = rings.stream().map(r -> ring.apply(r).withEnabled(false)).toList();
        return new DeviceState(features, protocolFeatures, 0, mtu, memory, log, inflight, all, logEvent);
    }

    /**
     * The pairs of which a ring is enabled.
     *
     * @return pair numbers
     */
    public BitSet enabledPairs() {
        BitSet pairs = new BitSet();
        for (int i = 0; i < rings.size(); i++) {
            if (rings.get(i).enabled()) {
                pairs.set(i / 2);
            }
        }
        return pairs;
    }

    /**
     * Whether a ring is started.
     *
     * @return whether
     */
    public boolean running() {
        return rings.stream().anyMatch(RingState::started);
    }

    /** Closes all descriptors and lets go of the memory. */
    public void close() {
        memory.release();
        if (log != null) {
            log.close();
        }
        close(logEvent);
        if (inflight != null) {
            inflight.close();
        }
        for (RingState r : rings) {
            close(r.kick());
            close(r.call());
            close(r.error());
        }
    }

    /**
     * Closes the descriptors, and what is mapped, that a former state has and this one has not.
     *
     * @param former the former state
     */
    public void closeReplaced(DeviceState former) {
        for (int i = 0; i < rings.size(); i++) {
            RingState now = rings.get(i);
            RingState then = former.rings.get(i);
            replaced(then.kick(), now.kick());
            replaced(then.call(), now.call());
            replaced(then.error(), now.error());
        }
        if (former.memory != memory) {
            former.memory.release();
        }
        if (former.log != log && former.log != null) {
            former.log.close();
        }
        replaced(former.logEvent, logEvent);
        if (former.inflight != inflight && former.inflight != null) {
            former.inflight.close();
        }
    }

    private static void replaced(Fd then, Fd now) {
        if (then != now) {
            close(then);
        }
    }

    private static void close(Fd fd) {
        if (fd != null) {
            fd.close();
        }
    }
}
