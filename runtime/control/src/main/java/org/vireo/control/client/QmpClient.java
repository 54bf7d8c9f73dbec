// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.control.json.Json;

/** A client of one daemon, in command mode. One thread. */
public final class QmpClient implements AutoCloseable {
    private static final int LONGEST = 16 * 1024 * 1024;

    private final SocketChannel channel;
    private final ByteBuffer buffer = ByteBuffer.allocate(64 * 1024).flip();
    private long ids;

    /** The daemon refused a command; the message is its reason. */
    public static final class RefusedException extends Exception {
        private static final long serialVersionUID = 1L;

        RefusedException(String message) {
            super(message);
        }
    }

    private QmpClient(SocketChannel channel) {
        this.channel = channel;
    }

    /**
     * Connects and enters command mode.
     *
     * @param path the daemon's socket
     * @return the client
     * @throws IOException nobody listens there, or it is no QMP
     */
    public static QmpClient connect(Path path) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        QmpClient c = new QmpClient(channel);
        try {
            channel.connect(UnixDomainSocketAddress.of(path));
            if (!c.next().containsKey("QMP")) {
                throw new IOException("there is no QMP on it");
            }
            c.execute("qmp_capabilities", Map.of());
            return c;
        } catch (IOException | IllegalArgumentException e) {
            channel.close();
            throw new IOException("cannot talk to a daemon on " + path + ": " + e.getMessage()
                    + " (is 'vireo run --qmp " + path + "' running?)", e);
        } catch (RefusedException e) {
            channel.close();
            throw new IOException("the daemon on " + path + " refuses: " + e.getMessage(), e);
        }
    }

    /**
     * Does a command and waits for its answer; events in between are passed over.
     *
     * @param command its name
     * @param arguments its arguments
     * @return what it returns
     * @throws RefusedException it is refused
     * @throws IOException the daemon has gone
     */
    public Object execute(String command, Map<String, ?> arguments) throws RefusedException, IOException {
        Map<String, Object> request = new LinkedHashMap<>();
        long id = ids++;
        request.put("execute", command);
        if (!arguments.isEmpty()) {
            request.put("arguments", arguments);
        }
        request.put("id", id);
        send(Json.line(request));
        while (true) {
            Map<?, ?> answer = next();
            if (answer.get("error") instanceof Map<?, ?> error) {
                throw new RefusedException(String.valueOf(error.get("desc")));
            }
            if (answer.containsKey("return") && Long.valueOf(id).equals(answer.get("id"))) {
                return answer.get("return");
            }
        }
    }

    /**
     * Sends bytes as they are.
     *
     * @param line a message
     * @throws IOException the daemon has gone
     */
    public void send(byte[] line) throws IOException {
        for (ByteBuffer b = ByteBuffer.wrap(line); b.hasRemaining();) {
            channel.write(b);
        }
    }

    /**
     * Reads the next message, whatever it is.
     *
     * @return an answer, an event
     * @throws IOException the daemon has gone, or sends something else
     */
    public Map<?, ?> next() throws IOException {
        byte[] line = line();
        try {
            if (Json.read(line, 0, line.length) instanceof Map<?, ?> map) {
                return map;
            }
        } catch (Json.JsonException e) {
            throw new IOException("the daemon sent no JSON: " + e.getMessage(), e);
        }
        throw new IOException("the daemon sent something that is not an object");
    }

    private byte[] line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        while (line.size() < LONGEST) {
            if (!buffer.hasRemaining()) {
                int n = channel.read(buffer.clear());
                buffer.flip();
                if (n < 0) {
                    throw new IOException("the daemon closed the connection");
                }
                continue;
            }
            byte b = buffer.get();
            if (b == '\n') {
                return line.toByteArray();
            }
            line.write(b);
        }
        throw new IOException("the daemon sent a line longer than " + LONGEST + " bytes");
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
