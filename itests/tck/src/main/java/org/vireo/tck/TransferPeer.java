// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.VringPort;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.UnixSockets;

/**
 * The other process of the kit: gets a state over a socket, loads it, and does what its standard input says. A test starts it; its
 * arguments are the fixture's class, the socket, the queue pairs, and the netdev's options as name=value.
 */
public final class TransferPeer {
    /** Files that do not exist: an attempt to open one marks a place in a trace of system calls. */
    static final String LOAD_BEGINS = "/vireo-tck-load-begins";
    static final String LOAD_ENDED = "/vireo-tck-load-ended";

    private final PrintStream out = System.out;

    private TransferPeer() {
    }

    /**
     * Runs it.
     *
     * @param args see above
     */
    public static void main(String[] args) {
        int code = 1;
        try {
            new TransferPeer().run(args);
            code = 0;
        } catch (Throwable t) {
            t.printStackTrace();
        } finally {
            // a fixture may have threads of its own, a framework's for instance
            System.exit(code);
        }
    }

    private void run(String[] args) throws Exception {
        Class<?> type = Class.forName(args[0], true, ClassLoader.getSystemClassLoader());
        Map<String, String> options = new LinkedHashMap<>();
        for (String option : List.of(args).subList(3, args.length)) {
            options.put(option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
        }
        int pairs = Integer.parseInt(args[2]);
        Fds fds = new Descriptors();
        try (BackendFixture fixture = (BackendFixture) type.getConstructor().newInstance()) {
            NetBackend backend = fixture.backend("tckpeer", options);
            Fd socket = UnixSockets.connect(fds, Path.of(args[1]), "the test");
            NetPort port;
            try (BackendState state = StateWire.receive(socket, fds)) {
                out.println("descriptors " + Stream.concat(Stream.of(state.port()), state.queues().stream())
                        .flatMap(q -> q.names().stream().map(q::value))
                        .filter(Fd.class::isInstance).map(f -> Integer.toString(((Fd) f).number())).collect(Collectors.joining(" ")));
                port = load(backend, state, pairs);
            }
            out.println("loaded");
            serve(port, pairs, () -> StateWire.receive(socket, fds));
            socket.close();
        }
    }

    private static NetPort load(NetBackend backend, BackendState state, int pairs) throws Exception {
        mark(LOAD_BEGINS);
        NetPort port = ((BackendStateTransfer) backend).load(state, new KitContext(pairs, false));
        port.profile();
        mark(LOAD_ENDED);
        return port;
    }

    private static void mark(String file) {
        int n = Posix.open(file, 0);
        if (n >= 0) {
            Posix.close(n);
            throw new IllegalStateException(file + " exists");
        }
    }

    private void serve(NetPort port, int pairs, Callable<BackendState> next) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        WiredRings rings = null;
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] w = line.split(" ");
            switch (w[0]) {
                case "receive" -> TckSupport.expectReceived((FramePort) port, pairs, Integer.parseInt(w[1]), Integer.parseInt(w[2]));
                case "transmit" -> TckSupport.transmit(((FramePort) port).queue(0), TckSupport.header(port), Integer.parseInt(w[1]),
                        Integer.parseInt(w[2]));
                case "rings" -> {
                    try (BackendState told = next.call()) {
                        rings = new WiredRings(told);
                        rings.start((VringPort) port, List.of(w).subList(1, w.length).toArray(String[]::new));
                    }
                }
                case "stop" -> out.println("stopped " + rings.stop((VringPort) port).stream().map(WiredRings::text)
                        .collect(Collectors.joining(" ")));
                case "apply" -> port.apply(TckSupport.settings(port, pairs));
                case "leave" -> port.close(NetPort.Disposal.LEAVE);
                case "end" -> {
                    return;
                }
                default -> throw new IllegalArgumentException(line);
            }
            out.println("done " + line);
        }
    }
}
