// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.device;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.device.RingEngine.RingSpec;
import org.vireo.frontend.virtionet.memory.DirtyLog;
import org.vireo.frontend.virtionet.memory.InflightRegion;
import org.vireo.frontend.virtionet.memory.MemoryTable;
import org.vireo.frontend.virtionet.ring.MalformedRingException;
import org.vireo.frontend.virtionet.ring.MalformedRingException.Rule;
import org.vireo.frontend.virtionet.ring.PackedVirtqueue;
import org.vireo.frontend.virtionet.ring.RingAreas;
import org.vireo.frontend.virtionet.ring.RingJournal;
import org.vireo.frontend.virtionet.ring.RingLog;
import org.vireo.frontend.virtionet.ring.SplitVirtqueue;
import org.vireo.frontend.virtionet.ring.Virtqueue;
import org.vireo.net.api.RingPosition;

/**
 * Where a NIC's rings lie and what is known of them: the memory that the VMM shares, in which they are found, made and looked at while
 * they do not run, and their journals. Used by the control thread, which a VMM's file that was cut short costs this NIC and not itself;
 * whether one was is asked by any thread.
 */
final class RingMemory {
    private final String nic;
    private final NicBlockMemory block;
    private final DirtyLog[] logs;
    private volatile MemoryTable memory = MemoryTable.EMPTY;
    /** Those that rings use: while a VMM replaces its log some have the new one already. */
    private volatile List<DirtyLog> logsInUse = List.of();
    private volatile InflightRegion inflight;

    RingMemory(String nic, NicBlockMemory block, int rings) {
        this.nic = nic;
        this.block = block;
        logs = new DirtyLog[rings];
    }

    /** The guest's memory, in which rings are from now on. */
    void memory(MemoryTable table) {
        memory = table;
    }

    /** The VMM's in-flight memory, or null. */
    void inflight(InflightRegion region) {
        inflight = region;
    }

    /** The log that a ring uses from now on, or null. */
    void log(int ring, DirtyLog file) {
        logs[ring] = file;
        logsInUse = Arrays.stream(logs).filter(Objects::nonNull).distinct().toList();
    }

    /** Whether one of them was truncated by its owner. */
    boolean isTruncated() {
        InflightRegion i = inflight;
        return memory.truncated() != null || isLogTruncated() || i != null && !i.intact();
    }

    boolean isLogTruncated() {
        return logsInUse.stream().anyMatch(l -> !l.intact());
    }

    /** A ring that goes on at a position. */
    Virtqueue ring(int ring, RingSpec spec, RingPosition at) throws EngineException {
        String name = nic + " ring " + ring;
        return shared(name, () -> {
            Virtqueue.Kind kind = new Virtqueue.Kind(name, spec.size(), spec.packed(), spec.eventIndex(), spec.indirect(), ring % 2 == 0);
            log(ring, spec.log().file());
            return Virtqueue.of(kind, area(name, spec, memory), memory, block.journal(ring), at.available(), at.used(),
                    spec.call() == null ? -1 : spec.call().number(), spec.inflight(), spec.log());
        });
    }

    private interface Access<T> {
        T run() throws MalformedRingException;
    }

    /** Control itself reads and writes what the VMM shares: where that was cut off it costs this NIC, not the thread. */
    private static <T> T shared(String name, Access<T> access) throws EngineException {
        try {
            return access.run();
        } catch (MalformedRingException e) {
            throw new EngineException(e.getMessage(), e);
        } catch (InternalError e) {
            MalformedRingException gone = new MalformedRingException(Rule.MEMORY_GONE, name + ": memory that the VMM shares cannot be"
                    + " accessed; its file was truncated, or its huge pages are used up");
            gone.initCause(e);
            throw new EngineException(gone.getMessage(), gone);
        }
    }

    static Virtqueue.RingArea area(String name, RingSpec s, MemoryTable in) throws MalformedRingException {
        return RingAreas.find(name, s.size(), s.packed(), s.descriptors(), s.available(), s.used(), in);
    }

    /** From the ring's journal; 0 if it never ran. */
    RingPosition position(int ring) {
        long word = block.journalWord(ring);
        return RingPosition.of(RingJournal.available(word), RingJournal.used(word));
    }

    int usedIndex(RingSpec spec) throws EngineException {
        return shared(nic, () -> SplitVirtqueue.usedIndex(area(nic, spec, memory).used()));
    }

    int usedPosition(RingSpec spec, int available) throws EngineException {
        return shared(nic, () -> PackedVirtqueue.usedPosition(area(nic, spec, memory).descriptors(), spec.size(), available));
    }

    void forget(RingSpec spec) throws EngineException {
        shared(nic, () -> {
            spec.inflight().forget();
            return null;
        });
    }

    void logAll(RingLog log, MemoryTable in, long usedBytes) throws EngineException {
        shared(nic, () -> {
            if (log.buffers()) {
                log.file().markAll(in);
            }
            if (log.usedAt() >= 0) {
                log.file().mark(log.usedAt(), usedBytes);
            }
            return null;
        });
    }
}
