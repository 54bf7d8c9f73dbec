// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.vm;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Json;
import org.vireo.guest.FrontEnd;
import org.vireo.net.api.Fds;
import org.vireo.posix.Descriptors;

/**
 * A VMM with one VM or none, a program: {@code SOCKET on|off PAIRS}, the NIC's socket, whether rings are packed, and queue pairs. Each
 * line of its standard input is a command, answered with {@code did} or {@code failed}, the command's number from 0 on, and an object or
 * the reason:
 *
 * <ul>
 * <li>{@code boot}: a new VM;
 * <li>{@code listen PATH PHASE}: a VM comes; says {@code listens} and the number when it may;
 * <li>{@code move PATH PHASE}, {@code spoil PATH PHASE}: the VM goes there; spoiled, one page is left out;
 * <li>{@code counts}: what the VM has taken; it has to be whole.
 * </ul>
 *
 * <p>Where a move comes to the PHASE it says {@code holds} and the number, and reads {@code go} or {@code cancel}.
 */
public final class VmHost {
    private static final Duration LIMIT = Duration.ofSeconds(10);

    private final Fds fds = new Descriptors();
    private final Path socket;
    private final boolean packed;
    private final int pairs;
    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private VmGuest vm;

    private VmHost(Path socket, boolean packed, int pairs) {
        this.socket = socket;
        this.packed = packed;
        this.pairs = pairs;
    }

    /**
     * Runs until standard input ends.
     *
     * @param args see above
     * @throws IOException standard input failed
     */
    public static void main(String[] args) throws IOException {
        VmHost host = new VmHost(Path.of(args[0]), args[1].equals("on"), Integer.parseInt(args[2]));
        int n = 0;
        for (String l = host.in.readLine(); l != null; l = host.in.readLine()) {
            try {
                System.out.println("did " + n + " " + Json.write(host.command(n, l.split(" "))));
            } catch (BenchException | IOException e) {
                System.out.println("failed " + n + " " + (e instanceof BenchException ? e.getMessage() : e));
            }
            n++;
        }
        Runtime.getRuntime().halt(0);
    }

    private Map<String, Object> command(int number, String... c) throws BenchException, IOException {
        switch (c[0]) {
            case "boot" -> {
                vm = new VmGuest(VmMove.machine(packed, pairs).start(fds, FrontEnd.connect(fds, socket, LIMIT)));
                vm.run();
                return Map.of();
            }
            case "listen" -> {
                listen(number, Path.of(c[1]), course(number, c[2]));
                return Map.of();
            }
            case "move", "spoil" -> {
                try (SocketChannel s = SocketChannel.open(StandardProtocolFamily.UNIX)) {
                    s.connect(UnixDomainSocketAddress.of(c[1]));
                    VmGuest goes = vm;
                    Map<String, Object> did = VmMove.out(fds, goes, s, course(number, c[2]), c[0].equals("spoil"));
                    vm = null;
                    return did;
                }
            }
            case "counts" -> {
                vm.pause();
                long[] n = vm.counts();
                String wrong = vm.verify();
                vm.run();
                if (wrong != null) {
                    throw new BenchException(wrong);
                }
                return Map.of("taken", n[0], "repeated", n[1], "late", n[2]);
            }
            default -> throw new BenchException("unknown command " + c[0]);
        }
    }

    private VmMove.Course course(int number, String hold) {
        return phase -> {
            if (phase == VmMove.Phase.valueOf(hold)) {
                System.out.println("holds " + number);
                try {
                    if (!"go".equals(in.readLine())) {
                        throw new BenchException("cancelled");
                    }
                } catch (IOException e) {
                    throw new BenchException("standard input: " + e.getMessage(), e);
                }
            }
        };
    }

    private void listen(int number, Path at, VmMove.Course course) throws BenchException, IOException {
        try (ServerSocketChannel l = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            l.bind(UnixDomainSocketAddress.of(at));
            System.out.println("listens " + number);
            try (SocketChannel s = l.accept()) {
                vm = VmMove.in(fds, socket, packed, pairs, s, course);
            }
        } finally {
            Files.deleteIfExists(at);
        }
    }
}
