// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.vireo.control.json.Json;

/** A QMP client that accepts nothing but what QEMU's specification of the protocol (qmp-spec) allows. Reads wait 10 s at most. */
final class StrictClient implements AutoCloseable {
    private static final Set<String> CLASSES = Set.of("GenericError", "CommandNotFound", "DeviceNotFound");

    final SocketChannel channel;
    private final Selector selector;
    private final ByteBuffer in = ByteBuffer.allocate(4096).flip();
    private long id;

    StrictClient(Path path) throws IOException {
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(path));
        channel.configureBlocking(false);
        selector = Selector.open();
        channel.register(selector, SelectionKey.OP_READ);
    }

    /** Reads and checks the greeting. */
    Map<?, ?> greeting() throws Exception {
        Map<?, ?> g = next();
        assertEquals(Set.of("QMP"), g.keySet());
        Map<?, ?> qmp = assertInstanceOf(Map.class, g.get("QMP"));
        assertEquals(Set.of("version", "capabilities"), qmp.keySet());
        assertInstanceOf(Map.class, qmp.get("version"));
        assertInstanceOf(java.util.List.class, qmp.get("capabilities"));
        return qmp;
    }

    StrictClient negotiate() throws Exception {
        greeting();
        assertEquals(Map.of(), execute("qmp_capabilities", Map.of()));
        return this;
    }

    void send(String text) throws IOException {
        send(text.getBytes(StandardCharsets.UTF_8));
    }

    void send(byte[] bytes) throws IOException {
        ByteBuffer b = ByteBuffer.wrap(bytes);
        long until = System.nanoTime() + 10_000_000_000L;
        while (b.hasRemaining()) {
            if (channel.write(b) == 0) {
                Thread.onSpinWait();
                assertTrue(System.nanoTime() < until, "the server reads no more");
            }
        }
    }

    /** Does a command; the answer must carry the id, and is a map with return or error. */
    Map<?, ?> answer(String command, Map<String, ?> arguments) throws Exception {
        Map<String, Object> request = new LinkedHashMap<>();
        String mine = "id-" + id++;
        request.put("execute", command);
        request.put("arguments", arguments);
        request.put("id", mine);
        send(Json.line(request));
        Map<?, ?> a = next();
        while (a.containsKey("event")) {
            a = next();
        }
        assertEquals(mine, a.get("id"));
        return a;
    }

    Object execute(String command, Map<String, ?> arguments) throws Exception {
        Map<?, ?> a = answer(command, arguments);
        assertEquals(Set.of("return", "id"), a.keySet(), () -> command + " " + arguments + " gives " + a);
        return a.get("return");
    }

    /** Does a command that is refused. */
    String refused(String command, Map<String, ?> arguments) throws Exception {
        return error(answer(command, arguments));
    }

    static String error(Map<?, ?> a) {
        Map<?, ?> error = assertInstanceOf(Map.class, a.get("error"), () -> "no error: " + a);
        assertEquals(Set.of("class", "desc"), error.keySet());
        assertTrue(CLASSES.contains(error.get("class")), () -> error.toString());
        return error.get("class") + ": " + error.get("desc");
    }

    /** Reads one message: a line with CR LF that is one object, of one of the shapes that there are. */
    Map<?, ?> next() throws Exception {
        String line = line();
        assertNotNull(line, "the connection ended");
        Map<?, ?> m = assertInstanceOf(Map.class, Json.read(line));
        if (m.containsKey("event")) {
            assertTrue(Set.of("event", "data", "timestamp").containsAll(m.keySet()), line);
            Map<?, ?> t = assertInstanceOf(Map.class, m.get("timestamp"));
            assertEquals(Set.of("seconds", "microseconds"), t.keySet());
            assertTrue((long) t.get("microseconds") >= 0 && (long) t.get("microseconds") < 1_000_000, line);
        } else if (!m.containsKey("QMP")) {
            assertTrue(m.containsKey("return") != m.containsKey("error"), line);
            assertTrue(Set.of("return", "error", "id").containsAll(m.keySet()), line);
        }
        return m;
    }

    /** A line, or null at the end of the connection. */
    String line() throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        while (true) {
            if (in.hasRemaining()) {
                byte b = in.get();
                if (b == '\n') {
                    String s = line.toString(StandardCharsets.UTF_8);
                    assertTrue(s.endsWith("\r"), "a line without CR: " + s);
                    return s.substring(0, s.length() - 1);
                }
                line.write(b);
                continue;
            }
            assertTrue(selector.select(10_000) > 0, "nothing comes");
            selector.selectedKeys().clear();
            int n;
            try {
                n = channel.read(in.clear());
            } catch (IOException e) {
                n = -1;
            }
            in.flip();
            if (n < 0) {
                assertEquals(0, line.size(), "the connection ends inside a line");
                return null;
            }
        }
    }

    @Override
    public void close() throws IOException {
        selector.close();
        channel.close();
    }
}
