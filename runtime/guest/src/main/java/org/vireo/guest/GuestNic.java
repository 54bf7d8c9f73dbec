// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vireo.net.api.Fds;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/**
 * A guest's NIC, whole: memory, queue pairs, and the front-end that has started them.
 *
 * {@snippet :
 * FrontEnd f = FrontEnd.connect(fds, socket, Duration.ofSeconds(5));
 * try (GuestNic nic = GuestNic.options().pairs(2).start(fds, f)) {
 *     nic.transmit(0).send(frame, deadline);
 *     byte[] headerAndFrame = nic.receive(0).take(deadline);
 * }
 * }
 */
public final class GuestNic implements AutoCloseable {
    /** All that the driver here can do with rings. */
    public static final long RING_FEATURES = VirtioNet.VERSION_1 | VirtioNet.INDIRECT_DESC | VirtioNet.EVENT_IDX
            | VirtioNet.PROTOCOL_FEATURES | VirtioNet.MRG_RXBUF | VirtioNet.MQ | VirtioNet.MAC | VirtioNet.MTU | VirtioNet.STATUS;
    /** All that a Linux TAP as the guest can do with checksums and segmentation. */
    public static final long OFFLOAD_FEATURES = VirtioNet.CSUM | VirtioNet.GUEST_CSUM | VirtioNet.HOST_TSO4 | VirtioNet.HOST_TSO6
            | VirtioNet.HOST_ECN | VirtioNet.HOST_USO | VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6 | VirtioNet.GUEST_ECN
            | VirtioNet.GUEST_USO4 | VirtioNet.GUEST_USO6;
    /** Protocol features that the front-end here can use. */
    public static final long PROTOCOL = ProtocolFeatures.MQ | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.CONFIG | ProtocolFeatures.RARP
            | ProtocolFeatures.MTU | ProtocolFeatures.STATUS | ProtocolFeatures.RESET_DEVICE | ProtocolFeatures.CONFIGURE_MEM_SLOTS
            | ProtocolFeatures.LOG_SHMFD;

    /** Index 0 and wrap counter 1, for what is available and what is used. */
    private static final int FIRST_BASE = 0x80008000;
    private static final int FEATURES_OK = VirtioNet.ACKNOWLEDGE | VirtioNet.DRIVER | VirtioNet.FEATURES_OK;

    private final Options options;
    /** What the device keeps of its rings, or null. */
    private InflightArea inflight;
    private FrontEnd frontEnd;
    private final GuestRam ram;
    private final List<ReceiveQueue> receive = new ArrayList<>();
    private final List<TransmitQueue> transmit = new ArrayList<>();

    private GuestNic(Options options, FrontEnd frontEnd, GuestRam ram) {
        this.options = options;
        this.frontEnd = frontEnd;
        this.ram = ram;
    }

    /** Options with their defaults: one pair, 256 entries, every feature of {@link #RING_FEATURES}. */
    public static Options options() {
        return new Options();
    }

    /** What a guest is to be like. */
    public static final class Options {
        private int pairs = 1;
        private int enabledPairs = -1;
        private int ringSize = 256;
        private boolean packed;
        private long features = RING_FEATURES;
        private long protocol = PROTOCOL;
        private int regions = 1;
        private boolean apart;
        private long moreBytes;
        private boolean slots;
        private boolean inflight;
        private int receiveBytes;
        private int transmitBytes;
        private boolean indirect = true;
        private int[] transmitPieces = {};
        private int[] receivePieces = {};

        private Options() {
        }

        /** Queue pairs. */
        public Options pairs(int n) {
            pairs = n;
            return this;
        }

        /** How many of the pairs are enabled; all, if not said. */
        public Options enabledPairs(int n) {
            enabledPairs = n;
            return this;
        }

        /** Entries of each ring. */
        public Options ringSize(int n) {
            ringSize = n;
            return this;
        }

        /** Whether the rings are packed ones (RING_PACKED), which the device then has to offer; split, if not said. */
        public Options packed(boolean on) {
            packed = on;
            return this;
        }

        /** Features to take if offered. */
        public Options features(long mask) {
            features = mask;
            return this;
        }

        /** Protocol features to take if offered. */
        public Options protocol(long mask) {
            protocol = mask;
            return this;
        }

        /** Memory regions that the queues are spread over. */
        public Options regions(int n) {
            regions = n;
            return this;
        }

        /** Whether each ring area and each buffer has pages of its own, so that a page is written by one side alone where that can be. */
        public Options apart(boolean on) {
            apart = on;
            return this;
        }

        /** How much memory more there is, for what the guest does besides. */
        public Options moreBytes(long n) {
            moreBytes = n;
            return this;
        }

        /** Tell of memory with ADD_MEM_REG instead of SET_MEM_TABLE, if the device can. */
        public Options memorySlots(boolean on) {
            slots = on;
            return this;
        }

        /**
         * Keep the device's in-flight memory for the next device, if it has any. Then that says where packed rings go on, and not the
         * driver.
         */
        public Options inflight(boolean on) {
            inflight = on;
            return this;
        }

        /** Bytes of a receive buffer; if not said, 4096 with mergeable buffers, else the largest frame that may come. */
        public Options receiveBytes(int n) {
            receiveBytes = n;
            return this;
        }

        /** Bytes of a transmit buffer; if not said, the largest frame that the features permit. */
        public Options transmitBytes(int n) {
            transmitBytes = n;
            return this;
        }

        /** Whether chains go into indirect tables where the feature is acknowledged. */
        public Options indirect(boolean on) {
            indirect = on;
            return this;
        }

        /** Lengths of the leading descriptors of a transmit chain. */
        public Options transmitPieces(int... lengths) {
            transmitPieces = lengths;
            return this;
        }

        /** Lengths of the leading descriptors of a receive chain. */
        public Options receivePieces(int... lengths) {
            receivePieces = lengths;
            return this;
        }

        /**
         * Negotiates, makes memory and queues, and starts them with receive buffers posted.
         *
         * @param fds makes the descriptors
         * @param f a front-end that has said nothing yet; the NIC closes it, also when this fails
         * @return the running NIC
         * @throws IOException the device refused or did not answer
         */
        public GuestNic start(Fds fds, FrontEnd f) throws IOException {
            return make(fds, f, packed ? features | VirtioNet.RING_PACKED : features, nic -> {
                requirePacked(f);
                nic.receive.forEach(q -> {
                    q.fill();
                    q.publish();
                });
                nic.startDevice(null);
            });
        }

        /**
         * Negotiates, and makes memory and queues as {@link #start} does with the same options, but posts and starts nothing: they are for
         * a guest that comes from elsewhere. Then come its memory, {@link #load} and {@link #goOn}.
         *
         * @param fds makes the descriptors
         * @param f a front-end that has said nothing yet; the NIC closes it, also when this fails
         * @param acknowledged features that the guest's driver has acknowledged
         * @return the NIC
         * @throws IOException the device refused, did not answer, or offers less
         */
        public GuestNic prepare(Fds fds, FrontEnd f, long acknowledged) throws IOException {
            return make(fds, f, acknowledged, nic -> nic.requireAll(acknowledged));
        }

        private interface Preparation {
            void of(GuestNic nic) throws IOException;
        }

        private GuestNic make(Fds fds, FrontEnd f, long wanted, Preparation rest) throws IOException {
            GuestNic nic = null;
            try {
                long acked = f.negotiate(wanted, protocol());
                requirePairs(f);
                f.setStatus(FEATURES_OK);
                QueueLayout rx = new QueueLayout(ringSize, receiveBytes(acked), indirect, receivePieces);
                QueueLayout tx = new QueueLayout(ringSize, transmitBytes(acked), indirect, transmitPieces);
                nic = new GuestNic(this, f, new GuestRam(fds, regionBytes(rx, tx)));
                if (apart) {
                    nic.ram.apart();
                }
                nic.makeQueues(fds, acked, rx, tx, pairs);
                rest.of(nic);
                return nic;
            } catch (IOException | RuntimeException e) {
                if (nic == null) {
                    f.close();
                } else {
                    nic.close();
                }
                throw e;
            }
        }

        private long protocol() {
            return inflight ? protocol | ProtocolFeatures.INFLIGHT_SHMFD : protocol;
        }

        private void requirePacked(FrontEnd f) throws IOException {
            if (packed && (f.acknowledged() & VirtioNet.RING_PACKED) == 0) {
                throw new IOException("the device does not offer RING_PACKED; it can have split rings only");
            }
        }

        private void requirePairs(FrontEnd f) throws IOException {
            if (pairs > 1) {
                long queues = (f.protocol() & ProtocolFeatures.MQ) != 0 ? f.queueNumber() : 2;
                if (queues < 2L * pairs) {
                    throw new IOException("the device has " + queues + " queues, too few for " + pairs + " pairs");
                }
            }
        }

        private int receiveBytes(long acked) {
            long large = VirtioNet.GUEST_TSO4 | VirtioNet.GUEST_TSO6 | VirtioNet.GUEST_UFO | VirtioNet.GUEST_USO4 | VirtioNet.GUEST_USO6;
            return receiveBytes > 0 ? receiveBytes : (acked & VirtioNet.MRG_RXBUF) != 0 ? 4096
                    : (acked & large) != 0 ? QueueLayout.LARGEST : 2048;
        }

        private int transmitBytes(long acked) {
            long large = VirtioNet.HOST_TSO4 | VirtioNet.HOST_TSO6 | VirtioNet.HOST_UFO | VirtioNet.HOST_USO;
            return transmitBytes > 0 ? transmitBytes : (acked & large) != 0 ? QueueLayout.LARGEST : 2048;
        }

        private long[] regionBytes(QueueLayout rx, QueueLayout tx) {
            long a = (long) pairs * ringSize * (rx.bufferBytes() + tx.bufferBytes() + 4 * 64
                    + 16L * (2 + rx.pieces().length + 2 + tx.pieces().length) + 32) + pairs * 8192L;
            // of both rings: two areas of a ring, the slots' buffers and tables
            a += moreBytes + (apart ? (long) pairs * 4096 * (2 * 3 + 2 * 2 * ringSize) : 0);
            long[] sizes = new long[regions];
            // room for what does not fit at the end of a region
            java.util.Arrays.fill(sizes, a / regions + QueueLayout.LARGEST + 32L * ringSize + 65536);
            return sizes;
        }
    }

    private void makeQueues(Fds fds, long acked, QueueLayout rx, QueueLayout tx, int pairs) throws IOException {
        for (int i = 0; i < pairs; i++) {
            receive.add(new ReceiveQueue(ram, fds, 2 * i, acked, rx));
            transmit.add(new TransmitQueue(ram, fds, 2 * i + 1, acked, tx));
        }
    }

    /** Tells of memory and rings; if it is not said where they go on, at the used index, which is the beginning of a new one. */
    private void startDevice(int[] bases) throws IOException {
        tellMemory(options.slots && (frontEnd.protocol() & ProtocolFeatures.CONFIGURE_MEM_SLOTS) != 0);
        tellInflight();
        for (DriverQueue q : queues()) {
            frontEnd.start(q, bases == null ? base(q) : bases[q.index()]);
        }
        for (int i = 0; i < (options.enabledPairs < 0 ? options.pairs : options.enabledPairs); i++) {
            enablePair(i, true);
        }
        frontEnd.setStatus(FEATURES_OK | VirtioNet.DRIVER_OK);
    }

    private void tellInflight() throws IOException {
        if (options.inflight && (frontEnd.protocol() & ProtocolFeatures.INFLIGHT_SHMFD) != 0) {
            if (inflight == null) {
                inflight = frontEnd.inflight(2 * options.pairs, options.ringSize).orElse(null);
            }
            if (inflight != null) {
                frontEnd.setInflight(inflight);
            }
        }
    }

    private int base(DriverQueue q) {
        return inflight == null || !options.packed ? q.base() : FIRST_BASE;
    }

    private void tellMemory(boolean slots) throws IOException {
        if (!slots) {
            frontEnd.memoryTable(ram);
            return;
        }
        for (int i = 0; i < ram.specs().size(); i++) {
            frontEnd.addRegion(ram, i);
        }
    }

    /**
     * Goes on with a device after the last one has gone without a word: the driver notices nothing but the pause. Memory and rings are the
     * same; a ring goes on at its used index, as QEMU does it with split rings, so that what the last device took and did not return is
     * the next one's. A packed ring can do that only with devices that return in order, or that have in-flight memory.
     *
     * @param next a front-end that has said nothing yet; the NIC closes it, also when this fails, and then another may be tried
     * @throws IOException the device refused, did not answer, or offers less than the driver has acknowledged
     */
    public void reconnect(FrontEnd next) throws IOException {
        long acked = frontEnd.acknowledged();
        frontEnd.close();
        try {
            next.negotiate(acked, options.protocol());
            requireAll(next, acked);
            next.setStatus(FEATURES_OK);
            frontEnd = next;
            startDevice(null);
        } catch (IOException | RuntimeException e) {
            next.close();
            throw e;
        }
    }

    private void requireAll(long acked) throws IOException {
        requireAll(frontEnd, acked);
    }

    private static void requireAll(FrontEnd f, long acked) throws IOException {
        if (f.acknowledged() != acked) {
            throw new IOException("the device does not offer 0x" + Long.toHexString(acked & ~f.acknowledged())
                    + ", which the driver has acknowledged");
        }
    }

    /**
     * Stops all rings, as a VMM does whose VM stands still; the last one first, so that what a device sends back at once has a place.
     *
     * @return where each goes on, for {@link #goOn}
     * @throws IOException no answer
     */
    public int[] stop() throws IOException {
        int[] bases = new int[2 * pairs()];
        for (DriverQueue q : queues().reversed()) {
            bases[q.index()] = frontEnd.stop(q.index());
        }
        return bases;
    }

    /**
     * Starts rings that were stopped, here or elsewhere.
     *
     * @param bases of {@link #stop}
     * @throws IOException the device refused, or did not answer
     */
    public void goOn(int[] bases) throws IOException {
        startDevice(bases);
    }

    /**
     * Writes down what the driver knows and what is not in the guest's memory: with both, and with where the rings stand, it goes on
     * elsewhere. No thread is in a queue, all that was added is published, and no frame is held.
     *
     * @param to where
     * @throws IOException it cannot be written
     */
    public void save(DataOutput to) throws IOException {
        for (DriverQueue q : queues()) {
            q.save(to);
        }
    }

    /**
     * Goes on where a NIC of the same options has saved.
     *
     * @param from what that wrote
     * @throws IOException it cannot be read, or is of other sizes
     */
    public void load(DataInput from) throws IOException {
        for (DriverQueue q : queues()) {
            q.load(from);
        }
    }

    /** All queues, in the order of their indices. */
    public List<DriverQueue> queues() {
        List<DriverQueue> all = new ArrayList<>();
        for (int i = 0; i < pairs(); i++) {
            all.add(receive.get(i));
            all.add(transmit.get(i));
        }
        return all;
    }

    /** Enables or disables a pair, where rings can be (PROTOCOL_FEATURES acknowledged). */
    public void enablePair(int pair, boolean on) throws IOException {
        if ((frontEnd.acknowledged() & VirtioNet.PROTOCOL_FEATURES) != 0) {
            frontEnd.enable(2 * pair, on);
            frontEnd.enable(2 * pair + 1, on);
        }
    }

    /** The front-end. */
    public FrontEnd frontEnd() {
        return frontEnd;
    }

    /** The guest's memory. */
    public GuestRam ram() {
        return ram;
    }

    /** The device's in-flight memory, which is the NIC's; empty if it has none. */
    public Optional<InflightArea> inflight() {
        return Optional.ofNullable(inflight);
    }

    /** The acknowledged features. */
    public long features() {
        return frontEnd.acknowledged();
    }

    /** Queue pairs. */
    public int pairs() {
        return receive.size();
    }

    /** A pair's receive queue. */
    public ReceiveQueue receive(int pair) {
        return receive.get(pair);
    }

    /** A pair's transmit queue. */
    public TransmitQueue transmit(int pair) {
        return transmit.get(pair);
    }

    /** Closes the connection and gives the memory back. No thread may be in a queue. */
    @Override
    public void close() {
        frontEnd.close();
        receive.forEach(DriverQueue::close);
        transmit.forEach(DriverQueue::close);
        if (inflight != null) {
            inflight.close();
        }
        ram.close();
    }
}
