// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport.device;

import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.RingPosition;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.SharedMemory;

/**
 * A network device that takes and returns a driver's buffers, in order, and finishes what it has taken before it does anything else: so
 * where it has given back is where it goes on. Ring 2k receives, ring 2k+1 transmits. Has no thread: one at a time.
 */
public final class TestDevice implements AutoCloseable {
    private static final long MERGEABLE = 1L << 15;
    private static final long EVENT_INDEX = 1L << 29;
    private static final long VERSION_1 = 1L << 32;
    private static final int HEADER = 12;
    private static final int LEGACY_HEADER = 10;
    /** le16 in struct virtio_net_hdr. */
    private static final int NUMBER_OF_BUFFERS = 10;
    /** Offset of idx in struct virtq_used. */
    private static final int INDEX = 2;

    private final Outside outside;
    private final List<DeviceRing> rings = new ArrayList<>();
    private final List<Fd> calls = new ArrayList<>();
    private final boolean[] enabled;
    private DeviceMemory memory = new DeviceMemory();
    private DirtyPages log;
    private long features;
    private int turn;

    /** The network behind a device. */
    public interface Outside {
        /**
         * Takes a frame that the guest transmitted.
         *
         * @param frame an Ethernet frame, without header
         */
        void send(byte[] frame);

        /**
         * A frame for the guest.
         *
         * @return an Ethernet frame, without header; null: there is none
         */
        byte[] next();
    }

    /**
     * A device.
     *
     * @param pairs ring pairs
     * @param outside the network
     */
    public TestDevice(int pairs, Outside outside) {
        this.outside = outside;
        enabled = new boolean[2 * pairs];
        for (int i = 0; i < 2 * pairs; i++) {
            rings.add(null);
            calls.add(null);
        }
    }

    DeviceMemory memory() {
        return memory;
    }

    boolean hasEventIndex() {
        return (features & EVENT_INDEX) != 0;
    }

    private int header() {
        return (features & (MERGEABLE | VERSION_1)) != 0 ? HEADER : LEGACY_HEADER;
    }

    /** Notes that the guest's memory was written. */
    void written(long guest, long bytes) {
        if (log != null) {
            log.written(guest, bytes);
        }
    }

    /**
     * Takes what the driver acknowledged.
     *
     * @param acknowledged feature bits
     */
    public void features(long acknowledged) {
        features = acknowledged;
    }

    /**
     * Replaces the guest's memory; started rings go on.
     *
     * @param now the device's from now on
     */
    public void memory(DeviceMemory now) {
        memory.close();
        memory = now;
    }

    /**
     * Begins or ends to log.
     *
     * @param now the device's from now on; null: none
     */
    public void log(DirtyPages now) {
        if (log != null) {
            log.close();
        }
        log = now;
    }

    /**
     * Where a ring is that was left without a word: what was given back is all that was done.
     *
     * @param setup the ring
     * @return the index that the used ring shows
     */
    public int shown(RingSetup setup) {
        return SharedMemory.addressSpace().get(ValueLayout.JAVA_SHORT, memory.user(setup.device()) + INDEX) & 0xffff;
    }

    /**
     * Starts a ring, in place of what ran there, and calls once.
     *
     * @param ring its number
     * @param setup the ring; its descriptors are the device's from now on
     */
    public void start(int ring, RingSetup setup) {
        stop(ring);
        rings.set(ring, new DeviceRing(setup, this));
        call(ring, setup.call());
    }

    /**
     * A started ring's used ring is logged elsewhere from now on.
     *
     * @param ring its number
     * @param guest guest physical address; -1: it is not logged
     */
    public void logged(int ring, long guest) {
        if (rings.get(ring) != null) {
            rings.get(ring).logged(guest);
        }
    }

    /**
     * Stops a ring.
     *
     * @param ring its number
     * @return where it goes on; null: it was not started
     */
    public RingPosition stop(int ring) {
        DeviceRing r = rings.get(ring);
        if (r == null) {
            return null;
        }
        rings.set(ring, null);
        close(r.setup().kick());
        close(calls.set(ring, null));
        return RingPosition.of(r.available(), r.used());
    }

    private static void close(Fd fd) {
        if (fd != null) {
            fd.close();
        }
    }

    /**
     * Whether a ring is started.
     *
     * @param ring its number
     * @return whether
     */
    public boolean isStarted(int ring) {
        return rings.get(ring) != null;
    }

    /**
     * Enables or disables a ring, started or not. What a disabled one transmits is thrown away.
     *
     * @param ring its number
     * @param on whether
     */
    public void enable(int ring, boolean on) {
        enabled[ring] = on;
    }

    /**
     * Replaces a ring's call descriptor, and calls once.
     *
     * @param ring its number
     * @param call the device's from now on; null: none
     */
    public void call(int ring, Fd call) {
        Fd former = calls.set(ring, call);
        if (former != call) {
            close(former);
        }
        signal(ring);
    }

    private void signal(int ring) {
        if (calls.get(ring) != null) {
            EventFd.signal(calls.get(ring).number());
        }
    }

    /**
     * The descriptors that say that there is something to do.
     *
     * @return numbers
     */
    public int[] kicks() {
        return rings.stream().filter(r -> r != null && r.setup().kick() != null).mapToInt(r -> r.setup().kick().number()).toArray();
    }

    /**
     * Whether a started ring has no kicks, so that it has to be looked at now and then.
     *
     * @return whether
     */
    public boolean isPolled() {
        return rings.stream().anyMatch(r -> r != null && r.setup().kick() == null);
    }

    /** Does all that there is to do, and asks for kicks. */
    public void serve() {
        for (int number : kicks()) {
            EventFd.drain(number);
        }
        boolean more = true;
        while (more) {
            more = false;
            for (int i = 1; i < rings.size(); i += 2) {
                transmit(i, rings.get(i));
            }
            receive();
            for (int i = 0; i < rings.size(); i++) {
                DeviceRing r = rings.get(i);
                if (r != null) {
                    if (r.publish()) {
                        signal(i);
                    }
                    more |= r.arm() && i % 2 == 1;
                }
            }
            // a buffer that came before it was asked to kick
            more |= receive();
        }
    }

    private void transmit(int ring, DeviceRing r) {
        while (r != null && r.pending() > 0) {
            byte[] all = r.read();
            r.done(0);
            if (enabled[ring] && all.length > header()) {
                outside.send(Arrays.copyOfRange(all, header(), all.length));
            }
        }
    }

    private boolean receive() {
        boolean moved = false;
        for (int ring = room(); ring >= 0; ring = room()) {
            byte[] frame = outside.next();
            if (frame == null) {
                return moved;
            }
            byte[] all = new byte[header() + frame.length];
            if (header() == HEADER) {
                all[NUMBER_OF_BUFFERS] = 1;
            }
            System.arraycopy(frame, 0, all, header(), frame.length);
            rings.get(ring).write(all);
            rings.get(ring).done(all.length);
            moved = true;
        }
        return moved;
    }

    /** The next ring that can take a frame, in turn; -1: none. */
    private int room() {
        int pairs = rings.size() / 2;
        for (int i = 0; i < pairs; i++) {
            int ring = turn++ % pairs * 2;
            if (rings.get(ring) != null && enabled[ring] && rings.get(ring).pending() > 0) {
                return ring;
            }
        }
        return -1;
    }

    /** Stops all, and lets go of the memory. */
    @Override
    public void close() {
        for (int i = 0; i < rings.size(); i++) {
            stop(i);
        }
        memory(new DeviceMemory());
        log(null);
    }
}
