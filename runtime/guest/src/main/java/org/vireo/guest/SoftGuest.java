// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.vireo.net.api.Fds;

/**
 * Makes this network namespace a guest: joins its TAP to a NIC, so that the guest's TCP is the kernel's. Each queue pair has a thread.
 * It speaks to one connection only, and knows nothing of who serves it.
 */
public final class SoftGuest implements AutoCloseable {
    private final GuestNic nic;
    private final GuestTap tap;
    private final List<SoftGuestPair> pairs = new ArrayList<>();
    private final List<Thread> threads = new ArrayList<>();
    private final CompletableFuture<String> end = new CompletableFuture<>();

    /**
     * Starts.
     *
     * @param fds makes the descriptors
     * @param nic a running NIC, which becomes the guest's
     * @param tap the guest's interface, with as many queues as the NIC has pairs; becomes the guest's
     * @throws IOException no descriptor left
     */
    public SoftGuest(Fds fds, GuestNic nic, GuestTap tap) throws IOException {
        this.nic = nic;
        this.tap = tap;
        for (int i = 0; i < nic.pairs(); i++) {
            pairs.add(new SoftGuestPair(fds, nic.receive(i), nic.transmit(i), tap.queue(i), nic.frontEnd().socket()));
        }
        for (SoftGuestPair p : pairs) {
            threads.add(Thread.ofPlatform().daemon().name("guest-" + threads.size()).start(() -> run(p)));
        }
    }

    private void run(SoftGuestPair p) {
        try {
            end.complete(p.run());
        } catch (IOException | RuntimeException e) {
            end.completeExceptionally(e);
        }
    }

    /**
     * Completes when the guest has lost its device: with the reason, or with the fault of the device.
     *
     * @return the end
     */
    public CompletableFuture<String> end() {
        return end;
    }

    /** The NIC. Its queues belong to the guest's threads. */
    public GuestNic nic() {
        return nic;
    }

    /** Counters of all pairs together. */
    public Counters counters() {
        Counters sum = new Counters(0, 0, 0, 0, 0);
        for (SoftGuestPair p : pairs) {
            sum = sum.plus(p.counters());
        }
        return sum;
    }

    /**
     * What was moved.
     *
     * @param transmitted frames given to the NIC
     * @param received frames taken from it
     * @param refused received frames that the namespace's kernel did not take
     * @param full times that the transmit ring was full
     * @param wakeups times that a thread slept and was woken
     */
    public record Counters(long transmitted, long received, long refused, long full, long wakeups) {
        Counters plus(Counters o) {
            return new Counters(transmitted + o.transmitted, received + o.received, refused + o.refused, full + o.full,
                    wakeups + o.wakeups);
        }
    }

    @Override
    public void close() {
        pairs.forEach(SoftGuestPair::stop);
        boolean interrupted = false;
        for (Thread t : threads) {
            try {
                if (!t.join(Duration.ofSeconds(5))) {
                    throw new IllegalStateException(t.getName() + " does not end");
                }
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
        end.complete("closed");
        pairs.forEach(SoftGuestPair::close);
        tap.close();
        nic.close();
    }
}
