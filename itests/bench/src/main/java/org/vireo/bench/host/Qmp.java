// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.Map;

/** A client of a daemon's QMP socket. One thread. */
public final class Qmp implements AutoCloseable {
    private final SocketChannel channel;
    private final BufferedReader in;
    private final Deque<Map<String, Object>> events = new ArrayDeque<>();

    /**
     * Connects and enters command mode.
     *
     * @param path the daemon's socket
     * @throws IOException nobody listens there
     * @throws BenchException it does not answer as it should
     */
    public Qmp(Path path) throws IOException, BenchException {
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(path));
            in = new BufferedReader(new InputStreamReader(Channels.newInputStream(channel), StandardCharsets.UTF_8));
            if (!next().containsKey("QMP")) {
                throw new BenchException("there is no QMP on " + path);
            }
            execute("qmp_capabilities", Map.of());
        } catch (IOException | BenchException e) {
            channel.close();
            throw e;
        }
    }

    /**
     * Does a command.
     *
     * @param command its name
     * @param arguments its arguments
     * @return what it returns
     * @throws BenchException it was refused
     * @throws IOException the daemon has gone
     */
    public Object execute(String command, Map<String, Object> arguments) throws BenchException, IOException {
        Map<String, Object> request = new LinkedHashMap<>();
        request.put("execute", command);
        request.put("arguments", arguments);
        ByteBuffer b = ByteBuffer.wrap((Json.write(request) + "\n").getBytes(StandardCharsets.UTF_8));
        while (b.hasRemaining()) {
            channel.write(b);
        }
        while (true) {
            Map<String, Object> m = next();
            if (m.containsKey("error")) {
                throw new BenchException(command + " was refused: " + Json.member(m, "error").get("desc"));
            }
            if (m.containsKey("return")) {
                return m.get("return");
            }
            if (m.containsKey("event")) {
                events.add(m);
            }
        }
    }

    /**
     * Waits for an event; those before it are forgotten.
     *
     * @param prefix of its name
     * @return the event
     * @throws IOException the daemon has gone
     */
    Map<String, Object> awaitEvent(String prefix) throws IOException {
        while (true) {
            Map<String, Object> m = events.isEmpty() ? next() : events.remove();
            if (String.valueOf(m.get("event")).startsWith(prefix)) {
                return m;
            }
        }
    }

    private Map<String, Object> next() throws IOException {
        String line = in.readLine();
        if (line == null) {
            throw new IOException("the daemon closed the QMP connection");
        }
        return Json.object(line);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
