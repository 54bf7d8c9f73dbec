// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import org.vireo.control.json.Json;

/**
 * Whatever a client sends: each message gets one answer, a return or an error, that can be written and read again; memory is bounded;
 * and the next message on a line of its own is understood. {@code mvn verify} tries the kept inputs; the profile fuzz
 * makes new ones.
 *
 * <p>An input's first byte: how many bytes arrive at a time, 0 for all. The rest is the stream.
 */
class QmpFuzzTest {
    private static final int LIMIT = 2_000;

    private static final Map<String, Command> COMMANDS = Map.of(
            "query-status", a -> {
                a.end();
                return Map.of("running", true);
            },
            "device_add", a -> {
                Map<String, Object> seen = new HashMap<>();
                seen.put("id", a.text("id"));
                a.optionalText("netdev").ifPresent(t -> seen.put("netdev", t));
                a.optionalFlag("flag").ifPresent(f -> seen.put("flag", f));
                a.optionalTexts("texts").ifPresent(t -> seen.put("texts", t));
                seen.put("rest", a.rest());
                a.end();
                return seen;
            },
            "netdev_add", a -> {
                try {
                    return OptionSyntax.parse(a.text("options"), "type");
                } catch (OptionSyntax.SyntaxException e) {
                    throw QmpException.generic(e.getMessage());
                }
            });

    /** Answers, and checks the answer. */
    private static final class Client implements MessageFramer.Sink {
        final QmpSession session = new QmpSession(COMMANDS);
        int answers;
        Map<?, ?> last;

        @Override
        public void message(byte[] bytes, int length) {
            assertTrue(length >= 2 && length <= LIMIT, length + " bytes");
            byte[] message = Arrays.copyOf(bytes, length);
            check(session.answer(message), id(message));
        }

        @Override
        public void refused(String why) {
            check(QmpSession.refusal(why), Map.of());
        }

        /** The id that has to come back, in a map of its own; an empty one for no id. */
        private static Map<?, ?> id(byte[] message) {
            try {
                if (Json.read(message, 0, message.length) instanceof Map<?, ?> m && m.containsKey("id")) {
                    Map<String, Object> id = new HashMap<>();
                    id.put("id", m.get("id"));
                    return id;
                }
                return Map.of();
            } catch (Json.JsonException e) {
                return Map.of();
            }
        }

        private void check(Map<String, Object> answer, Map<?, ?> id) {
            answers++;
            byte[] line = Json.line(answer);
            String text = new String(line, StandardCharsets.UTF_8);
            assertTrue(text.endsWith("\r\n") && text.indexOf('\n') == text.length() - 1, "not one line: " + text);
            try {
                last = assertInstanceOf(Map.class, Json.read(line, 0, line.length));
            } catch (Json.JsonException e) {
                throw new AssertionError("the answer cannot be read: " + text, e);
            }
            assertEquals(id.containsKey("id"), last.containsKey("id"), text);
            // as text: 1e0 comes back as 1
            assertEquals(Json.text(id.get("id")), Json.text(last.get("id")), text);
            if (last.get("error") instanceof Map<?, ?> error) {
                assertFalse(last.containsKey("return"), text);
                assertTrue(Set.of("GenericError", "CommandNotFound", "DeviceNotFound").contains(error.get("class")), text);
                assertFalse(assertInstanceOf(String.class, error.get("desc")).startsWith("internal error"), text);
            } else {
                assertTrue(last.containsKey("return"), text);
            }
        }
    }

    @FuzzTest(maxExecutions = 3_000)
    void whateverComesIsAnswered(byte[] input) {
        if (input.length == 0) {
            return;
        }
        MessageFramer framer = new MessageFramer(LIMIT);
        Client client = new Client();
        int step = input[0] == 0 ? input.length : input[0] & 0xff;
        for (int at = 1; at < input.length; at += step) {
            framer.feed(ByteBuffer.wrap(input, at, Math.min(step, input.length - at)), client);
        }
        assertTrue(client.answers <= input.length, client.answers + " answers to " + input.length + " bytes");
        framer.expire(client);
        assertFalse(framer.interrupted());
        framer.feed(ByteBuffer.wrap("\n{\"execute\":\"nope\",\"id\":\"last\"}\n".getBytes(StandardCharsets.UTF_8)), client);
        assertEquals("last", client.last.get("id"), "a message on a line of its own was not seen");
    }
}
