// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import static org.vireo.guest.GuestRam.MEMORY;

import java.io.DataInput;
import java.io.DataOutput;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.traffic.UdpFrame;
import org.vireo.guest.GuestNic;
import org.vireo.guest.ReceiveQueue;

/**
 * What a VM does: it takes numbered {@link VmBlock}s, keeps the last ones in its memory, and answers each with its number. Its thread is
 * the VM's processor: while it is paused nothing of the guest's but the device writes memory. It says nothing by itself, so that a switch
 * learns from somebody else where the guest is.
 */
final class VmGuest implements AutoCloseable {
    /** Blocks that are kept. */
    static final int KEPT = 8192;
    /** Memory that this takes. */
    static final long BYTES = (long) KEPT * VmBlock.BYTES;

    private static final long NAP_NANOS = TimeUnit.MILLISECONDS.toNanos(5);
    /** With several pairs it looks from time to time. */
    private static final long LOOK_NANOS = TimeUnit.MICROSECONDS.toNanos(300);
    private static final int NONE = -1;

    private final GuestNic nic;
    /** Guest address of the kept blocks: block n at n modulo their number. */
    private final long kept;
    private final long[] numbers = new long[KEPT];
    private long highest = NONE;
    private long taken;
    private long repeated;
    private long late;
    private volatile String wrong;
    private volatile boolean running;
    private Thread processor;

    /**
     * What runs on a NIC that no thread uses.
     *
     * @param nic has {@link #BYTES} more memory than it needs itself; it is closed with this
     */
    VmGuest(GuestNic nic) {
        this.nic = nic;
        kept = nic.ram().allocate(BYTES, 4096);
        Arrays.fill(numbers, NONE);
    }

    GuestNic nic() {
        return nic;
    }

    /** Lets the processor run. */
    void run() {
        running = true;
        processor = Thread.ofPlatform().daemon().name("processor").start(() -> {
            try {
                work();
            } catch (RuntimeException e) {
                wrong = "the driver: " + e.getMessage();
            }
        });
    }

    /** Stops the processor between two instructions of the guest's. */
    void pause() throws BenchException {
        running = false;
        try {
            if (processor != null && !processor.join(Duration.ofSeconds(5))) {
                throw new BenchException("the guest does not stand still");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", e);
        }
        if (wrong != null) {
            throw new BenchException(wrong);
        }
    }

    private void work() {
        while (running) {
            boolean some = false;
            for (int i = 0; i < nic.pairs(); i++) {
                some |= take(i);
            }
            if (!some && nic.pairs() == 1) {
                nic.receive(0).awaitUsed(System.nanoTime() + NAP_NANOS);
            } else if (!some) {
                LockSupport.parkNanos(LOOK_NANOS);
            }
        }
    }

    private boolean take(int pair) {
        ReceiveQueue in = nic.receive(pair);
        boolean some = false;
        while (running && in.next()) {
            some = true;
            if (in.parts() == 1) {
                frame(pair, in.part(0) + in.headerBytes(), in.partBytes(0) - in.headerBytes());
            }
            in.recycle();
        }
        in.publish();
        return some;
    }

    private void frame(int pair, long at, int bytes) {
        if (bytes != UdpFrame.HEADERS + VmBlock.BYTES || !VmBlock.isOne(at)) {
            // of the bridge, perhaps
            return;
        }
        long block = at + UdpFrame.HEADERS;
        long number = VmBlock.number(block);
        if (!VmBlock.isWhole(block, number)) {
            wrong = "block " + number + " came with wrong bytes";
            return;
        }
        int place = (int) (number % KEPT);
        if (numbers[place] == number) {
            repeated++;
        } else {
            taken++;
        }
        late += number < highest ? 1 : 0;
        highest = Math.max(highest, number);
        if (number >= numbers[place]) {
            MemorySegment.copy(MEMORY, block, MEMORY, nic.ram().address(kept) + (long) place * VmBlock.BYTES, VmBlock.BYTES);
            numbers[place] = number;
        }
        nic.transmit(pair).send(VmBlock.answer(number), System.nanoTime() + NAP_NANOS);
    }

    /** Looks at all blocks that are kept, and says which is not what its number says, or null. The processor is paused. */
    String verify() {
        for (int i = 0; i < KEPT; i++) {
            if (numbers[i] != NONE && !VmBlock.isWhole(nic.ram().address(kept) + (long) i * VmBlock.BYTES, numbers[i])) {
                return "block " + numbers[i] + ", at 0x" + Long.toHexString(kept + (long) i * VmBlock.BYTES) + ", is not what was taken";
            }
        }
        return null;
    }

    /** What it has taken: how many blocks, how many again, how many after a later one, the highest number. */
    long[] counts() {
        return new long[] {taken, repeated, late, highest};
    }

    /** What a processor's registers would hold. It is paused. */
    void save(DataOutput to) throws IOException {
        nic.save(to);
        for (long n : numbers) {
            to.writeLong(n);
        }
        for (long n : counts()) {
            to.writeLong(n);
        }
    }

    /** Goes on as another one, once its memory is here. */
    void load(DataInput from) throws IOException {
        nic.load(from);
        for (int i = 0; i < KEPT; i++) {
            numbers[i] = from.readLong();
        }
        taken = from.readLong();
        repeated = from.readLong();
        late = from.readLong();
        highest = from.readLong();
    }

    @Override
    public void close() throws BenchException {
        try {
            pause();
        } finally {
            nic.close();
        }
    }
}
