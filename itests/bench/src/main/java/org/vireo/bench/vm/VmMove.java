// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.traffic.UdpFrame;
import org.vireo.guest.FrontEnd;
import org.vireo.guest.GuestNic;
import org.vireo.guest.MigrationLog;
import org.vireo.net.api.Fds;
import org.vireo.vhostuser.VirtioNet;

/**
 * A VM moves from one VMM to another, by copying its memory while it runs (precopy): rounds of what was written meanwhile, then the
 * processor stops, then the device, then the last pages and the state go over. Both sides' memory is compared page by page before the VM
 * runs on; if it differs, or anything else fails before that, it runs on where it was.
 *
 * <pre>
 *  to the target:  u64 features, u32 pages, then records
 *                  1, u32 page, 4096 bytes     |  2, u32 length, state  |  3, u32 checksum of each page (last)
 *  to the source:  text: empty if the VM runs on there, or why it does not
 * </pre>
 */
final class VmMove {
    static final int MEMORY_PAGE = 1;
    static final int STATE = 2;
    static final int SUMS = 3;

    private static final int BUFFER = 1 << 18;
    private static final int LEAST_ROUNDS = 3;
    private static final int MOST_ROUNDS = 30;
    /** Few enough to stop. */
    private static final int FEW_PAGES = 64;
    /** So many frames the device has to have received while the processor stands still. */
    private static final int ALONE = 8;
    private static final long ALONE_NANOS = 100_000_000;
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private VmMove() {
    }

    /** Points of a move where something may happen. */
    enum Phase {
        /** Nowhere. */
        NONE,
        /** The target is there, and the device logs; no memory was copied. */
        BEGUN,
        /** Some memory was copied. */
        MEMORY,
        /** The VM stands still, and its device. */
        STOPPED,
        /** At the target the rings run, and the VM; the source does not know that yet. */
        STARTED
    }

    /** Is told where a move is, and may end it there. */
    interface Course {
        void at(Phase phase) throws BenchException;
    }

    /** What a VM's NIC is like, here and there. */
    static GuestNic.Options machine(boolean packed, int pairs) {
        return GuestNic.options().packed(packed).pairs(pairs).apart(true).moreBytes(VmGuest.BYTES + VmPages.PAGE).indirect(false);
    }

    /**
     * Moves a VM away.
     *
     * @param fds makes descriptors
     * @param vm runs; it has ended here, or runs on if this fails
     * @param s connected with the target
     * @param course is told where it is
     * @param drop leave one page out, as a device would that does not mark it
     * @return what it took
     * @throws BenchException it did not move
     */
    static Map<String, Object> out(Fds fds, VmGuest vm, SocketChannel s, Course course, boolean drop) throws BenchException, IOException {
        GuestNic nic = vm.nic();
        long features = nic.features();
        int[] bases = null;
        boolean moved = false;
        try (MigrationLog log = new MigrationLog(fds, nic); VmPages pages = new VmPages(nic)) {
            DataOutputStream to = new DataOutputStream(new BufferedOutputStream(Channels.newOutputStream(s), BUFFER));
            Map<String, Object> did = new LinkedHashMap<>();
            try {
                to.writeLong(features);
                to.writeInt(pages.count());
                pages.copyTo(to);
                log.begin();
                to.flush();
                course.at(Phase.BEGUN);
                pages.all();
                long written = 0;
                int rounds = 0;
                int n;
                do {
                    rounds++;
                    n = pages.logged(log) + pages.compared();
                    written += n;
                    if (rounds == 1) {
                        course.at(Phase.MEMORY);
                    }
                } while (rounds < LEAST_ROUNDS || n > FEW_PAGES && rounds < MOST_ROUNDS);
                to.flush();
                long begin = System.nanoTime();
                vm.pause();
                pages.logged(log);
                pages.compared();
                // what the device writes from here on it alone can tell, also in pages that the processor writes too
                awaitAlone(nic);
                bases = nic.stop();
                course.at(Phase.STOPPED);
                if (drop) {
                    pages.dropOne();
                }
                did.put("rounds", rounds);
                did.put("pages", written);
                did.put("lastPages", pages.logged(log));
                finish(vm, pages, bases, to);
                String why = new DataInputStream(Channels.newInputStream(s)).readUTF();
                if (!why.isEmpty()) {
                    throw new BenchException(why + (drop ? "; dropped was " + pages.dropped() : ""));
                }
                moved = true;
                did.put("standMillis", (System.nanoTime() - begin) / 1e6);
                return did;
            } finally {
                if (!moved) {
                    stay(vm, log, bases);
                }
            }
        } finally {
            if (moved) {
                vm.close();
            }
        }
    }

    private static int pending(GuestNic nic) {
        int n = 0;
        for (int i = 0; i < nic.pairs(); i++) {
            n += nic.receive(i).pending();
        }
        return n;
    }

    private static void awaitAlone(GuestNic nic) throws BenchException {
        long end = System.nanoTime() + ALONE_NANOS;
        while (pending(nic) < ALONE && System.nanoTime() < end) {
            Daemon.pause(1);
        }
    }

    private static void finish(VmGuest vm, VmPages pages, int[] bases, DataOutputStream to) throws IOException {
        ByteArrayOutputStream state = new ByteArrayOutputStream();
        DataOutputStream d = new DataOutputStream(state);
        for (int b : bases) {
            d.writeInt(b);
        }
        vm.save(d);
        to.writeByte(STATE);
        to.writeInt(state.size());
        state.writeTo(to);
        to.writeByte(SUMS);
        for (int i = 0; i < pages.count(); i++) {
            to.writeInt(pages.sum(i));
        }
        to.flush();
    }

    /** It did not move. */
    private static void stay(VmGuest vm, MigrationLog log, int[] bases) throws BenchException, IOException {
        vm.pause();
        log.end();
        if (bases != null) {
            vm.nic().goOn(bases);
        }
        vm.run();
    }

    /**
     * Takes a VM, which runs when this returns.
     *
     * @param fds makes descriptors
     * @param socket of the NIC that it gets
     * @param packed whether its rings are packed ones
     * @param s connected with the source
     * @param course is told where it is
     * @return the VM
     * @throws BenchException it did not come whole: it runs on where it was
     */
    static VmGuest in(Fds fds, Path socket, boolean packed, int pairs, SocketChannel s, Course course) throws BenchException, IOException {
        DataInputStream from = new DataInputStream(new BufferedInputStream(Channels.newInputStream(s), BUFFER));
        DataOutputStream answer = new DataOutputStream(Channels.newOutputStream(s));
        long features = from.readLong();
        int count = from.readInt();
        GuestNic nic = machine(packed, pairs).prepare(fds, FrontEnd.connect(fds, socket, LIMIT), features & ~VirtioNet.LOG_ALL);
        VmGuest vm = new VmGuest(nic);
        boolean runs = false;
        try (VmPages pages = new VmPages(nic)) {
            if (count != pages.count()) {
                throw new BenchException("a VM of " + count + " pages comes where there are " + pages.count());
            }
            receive(from, vm, pages);
            nic.frontEnd().sendRarp(UdpFrame.mac(UdpFrame.GUEST_MAC));
            vm.run();
            course.at(Phase.STARTED);
            answer.writeUTF("");
            runs = true;
            return vm;
        } catch (BenchException e) {
            answer.writeUTF(e.getMessage());
            throw e;
        } finally {
            if (!runs) {
                vm.close();
            }
        }
    }

    private static void receive(DataInputStream from, VmGuest vm, VmPages pages) throws BenchException, IOException {
        int[] bases = new int[vm.nic().queues().size()];
        byte[] page = new byte[VmPages.PAGE];
        while (true) {
            switch (from.readByte()) {
                case MEMORY_PAGE -> {
                    int i = from.readInt();
                    from.readFully(page);
                    pages.put(i, page);
                }
                case STATE -> {
                    DataInputStream state = new DataInputStream(new ByteArrayInputStream(from.readNBytes(from.readInt())));
                    for (int i = 0; i < bases.length; i++) {
                        bases[i] = state.readInt();
                    }
                    vm.load(state);
                }
                case SUMS -> {
                    compare(from, pages);
                    String wrong = vm.verify();
                    if (wrong != null) {
                        throw new BenchException(wrong);
                    }
                    vm.nic().goOn(bases);
                    return;
                }
                default -> throw new IOException("a record of another kind");
            }
        }
    }

    private static void compare(DataInputStream from, VmPages pages) throws BenchException, IOException {
        String first = null;
        int n = 0;
        for (int i = 0; i < pages.count(); i++) {
            if (from.readInt() != pages.sum(i)) {
                n++;
                first = first == null ? pages.name(i) : first;
            }
        }
        if (n > 0) {
            throw new BenchException(n + " of " + pages.count() + " pages are not what they were, the first is " + first);
        }
    }
}
