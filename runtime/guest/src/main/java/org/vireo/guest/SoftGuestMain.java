// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;
import org.vireo.vhostuser.ProtocolFeatures;

/**
 * Makes the network namespace that it runs in a guest:
 * {@code --socket PATH --tap NAME [--mac ADDRESS] [--ip ADDRESS/BITS] [--mtu N] [--queues N] [--ring-size N] [--packed on|off]
 * [--listen] [--no-offload] [--timeout SECONDS]}. Prints {@code ready} when frames can flow. Ends with 0 on SIGTERM or when its standard
 * input ends with {@code --until-stdin-closes}; with 1 and a line on standard error when it cannot start or the device is gone.
 *
 * <p>Without {@code --mac} it takes the address that the NIC's configuration space has.
 */
public final class SoftGuestMain {
    private static final String ASKED = "asked to end";

    private SoftGuestMain() {
    }

    /**
     * Runs until it is told to end or the device is gone.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        int status;
        try {
            status = run(new Arguments(Arrays.asList(args), Set.of("socket", "tap", "mac", "ip", "mtu", "queues", "ring-size",
                    "packed", "timeout"), Set.of("listen", "no-offload", "until-stdin-closes")));
        } catch (IllegalArgumentException e) {
            System.err.println("vireo guest: " + e.getMessage());
            status = 2;
        } catch (IOException | ExecutionException e) {
            System.err.println("vireo guest: " + (e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e).getMessage());
            status = 1;
        } catch (InterruptedException e) {
            status = 1;
        }
        Runtime.getRuntime().halt(status);
    }

    private static int run(Arguments a) throws IOException, InterruptedException, ExecutionException {
        CountDownLatch closed = new CountDownLatch(1);
        try (SoftGuest guest = start(new Descriptors(), a)) {
            stopOnSignal(guest, closed);
            if (a.has("until-stdin-closes")) {
                Thread.ofPlatform().daemon().name("stdin").start(() -> awaitStdin(guest));
            }
            System.out.println("ready");
            System.out.flush();
            String end = guest.end().get();
            if (!end.equals(ASKED)) {
                System.err.println("vireo guest: " + end);
                return 1;
            }
            System.err.println("vireo guest: " + guest.counters());
            return 0;
        } finally {
            closed.countDown();
        }
    }

    private static void stopOnSignal(SoftGuest guest, CountDownLatch closed) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            guest.end().complete(ASKED);
            try {
                // main closes the guest and then halts with status 0
                if (!closed.await(6, TimeUnit.SECONDS)) {
                    System.err.println("vireo guest: it does not end");
                }
                Thread.sleep(Duration.ofSeconds(6));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }, "signal"));
    }

    private static void awaitStdin(SoftGuest guest) {
        try {
            while (System.in.read() >= 0) {
                // only the end counts
            }
        } catch (IOException e) {
            System.err.println("vireo guest: standard input: " + e.getMessage());
        }
        guest.end().complete(ASKED);
    }

    /** Connects, makes the interface, sets it up. */
    private static SoftGuest start(Fds fds, Arguments a) throws IOException {
        Path socket = Path.of(a.required("socket"));
        String name = a.required("tap");
        Duration timeout = Duration.ofMillis((long) (1000 * a.seconds("timeout", 10)));
        long features = GuestNic.RING_FEATURES | (a.has("no-offload") ? 0 : GuestNic.OFFLOAD_FEATURES);
        int queues = a.number("queues", 1, 1, 128);
        int ringSize = a.number("ring-size", 256, 2, 32768);
        boolean packed = a.on("packed", false);
        int mtu = a.number("mtu", 0, 0, 65535);
        FrontEnd f = a.has("listen") ? FrontEnd.listen(fds, socket, timeout) : FrontEnd.connect(fds, socket, timeout);
        GuestNic nic = GuestNic.options().pairs(queues).ringSize(ringSize).packed(packed).features(features).receiveBytes(0).start(fds, f);
        GuestTap tap = null;
        try {
            tap = new GuestTap(fds, name, queues, nic.features());
            String mac = a.text("mac", macOf(f));
            if (mac != null) {
                GuestTap.ip("link", "set", name, "address", mac);
            }
            if (mtu > 0) {
                GuestTap.ip("link", "set", name, "mtu", Integer.toString(mtu));
            }
            if (a.has("ip")) {
                GuestTap.ip("addr", "add", a.required("ip"), "dev", name);
            }
            // the queue in the guest is not what is looked at: let it never be the one that drops
            GuestTap.ip("link", "set", name, "txqueuelen", "10000", "up");
            return new SoftGuest(fds, nic, tap);
        } catch (IOException | RuntimeException e) {
            if (tap != null) {
                tap.close();
            }
            nic.close();
            throw e;
        }
    }

    private static String macOf(FrontEnd f) throws IOException {
        if ((f.protocol() & ProtocolFeatures.CONFIG) == 0) {
            return null;
        }
        byte[] m = f.config(0, 6);
        return String.format("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
    }
}
