// SPDX-License-Identifier: Apache-2.0
package org.vireo.guest;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Posix;
import org.vireo.vhostuser.VirtioNet;

/**
 * The guest's interface: a TAP in this network namespace, with a virtio_net_hdr in front of each frame (tun(4)). What the namespace's
 * kernel sends is read here. It goes with its last descriptor.
 */
public final class GuestTap implements AutoCloseable {
    private static final long TUNSETIFF = 0x400454caL;
    private static final long TUNSETOFFLOAD = 0x400454d0L;
    private static final long TUNSETVNETHDRSZ = 0x400454d8L;
    private static final int IFF_TAP = 2;
    private static final int IFF_NO_PI = 0x1000;
    private static final int IFF_VNET_HDR = 0x4000;
    private static final int IFF_MULTI_QUEUE = 0x100;
    private static final int NAME_BYTES = 15;

    private final String name;
    private final List<Fd> queues = new ArrayList<>();

    /**
     * Makes the interface.
     *
     * @param fds makes the descriptors
     * @param name of the interface, not there yet
     * @param pairs queues
     * @param features acknowledged by the guest's driver: which decide the header's length and what the kernel may leave undone
     * @throws IOException not permitted, or the name is taken
     */
    public GuestTap(Fds fds, String name, int pairs, long features) throws IOException {
        if (name.isEmpty() || name.getBytes(StandardCharsets.UTF_8).length > NAME_BYTES) {
            throw new IOException("interface name '" + name + "' must have 1 to " + NAME_BYTES + " bytes");
        }
        this.name = name;
        try {
            for (int i = 0; i < pairs; i++) {
                open(fds, i, pairs > 1 ? IFF_MULTI_QUEUE : 0);
            }
            int number = queues.getFirst().number();
            try (Arena a = Arena.ofConfined()) {
                MemorySegment bytes = a.allocateFrom(ValueLayout.JAVA_INT, VirtioNet.headerBytes(features));
                Posix.check(Posix.ioctl(number, TUNSETVNETHDRSZ, bytes), "TUNSETVNETHDRSZ of " + name);
            }
            offload(number, offloads(features));
        } catch (IOException e) {
            close();
            throw e;
        }
    }

    private void open(Fds fds, int queue, int more) throws IOException {
        int n = Posix.check(Posix.open("/dev/net/tun", Posix.O_RDWR | Posix.O_NONBLOCK), "open /dev/net/tun");
        queues.add(fds.adopt(n, "guest interface " + name + " queue " + queue));
        try (Arena a = Arena.ofConfined()) {
            MemorySegment request = a.allocate(40, 8);
            request.setString(0, name);
            request.set(ValueLayout.JAVA_SHORT, 16, (short) (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | more));
            Posix.check(Posix.ioctl(n, TUNSETIFF, request), "make interface " + name);
        }
    }

    /** What the kernel may leave to the device when it sends: TUN_F_* for what the device took. */
    private static int offloads(long features) {
        if ((features & VirtioNet.CSUM) == 0) {
            return 0;
        }
        int f = 1;
        f |= (features & VirtioNet.HOST_TSO4) != 0 ? 2 : 0;
        f |= (features & VirtioNet.HOST_TSO6) != 0 ? 4 : 0;
        f |= (features & VirtioNet.HOST_ECN) != 0 && (f & 6) != 0 ? 8 : 0;
        f |= (features & VirtioNet.HOST_USO) != 0 ? 0x60 : 0;
        return f;
    }

    private void offload(int number, int flags) throws IOException {
        if (Posix.ioctl(number, TUNSETOFFLOAD, flags) < 0) {
            // a kernel before 6.2 has no USO
            Posix.check(Posix.ioctl(number, TUNSETOFFLOAD, flags & ~0x60L), "TUNSETOFFLOAD of " + name);
        }
    }

    /** Its name. */
    public String name() {
        return name;
    }

    /** A queue's descriptor, which does not block. It stays the interface's. */
    public Fd queue(int i) {
        return queues.get(i);
    }

    /**
     * Runs {@code ip} with arguments, in this namespace.
     *
     * @param arguments e.g. "link", "set", "tap0", "up"
     * @throws IOException it is missing or failed; the message has what it said
     */
    public static void ip(String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of("ip"));
        command.addAll(List.of(arguments));
        Process p = new ProcessBuilder(command).redirectErrorStream(true).start();
        p.getOutputStream().close();
        try (InputStream out = p.getInputStream()) {
            String said = new String(out.readAllBytes(), StandardCharsets.UTF_8).strip();
            if (p.waitFor() != 0) {
                throw new IOException(String.join(" ", command) + ": " + said);
            }
        } catch (InterruptedException e) {
            p.destroyForcibly();
            Thread.currentThread().interrupt();
            throw new IOException(String.join(" ", command) + " was interrupted", e);
        }
    }

    @Override
    public void close() {
        queues.forEach(Fd::close);
        queues.clear();
    }
}
