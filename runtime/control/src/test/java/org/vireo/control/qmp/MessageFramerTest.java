// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class MessageFramerTest implements MessageFramer.Sink {
    private static final int LIMIT = 100;

    private final MessageFramer framer = new MessageFramer(LIMIT);
    private final List<String> seen = new ArrayList<>();

    @Override
    public void message(byte[] bytes, int length) {
        seen.add(new String(bytes, 0, length, StandardCharsets.UTF_8));
    }

    @Override
    public void refused(String why) {
        seen.add("! " + why);
    }

    private List<String> feed(String text) {
        framer.feed(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)), this);
        return seen;
    }

    @Test
    void severalOnOneLineAndOneWithoutLineEnd() {
        assertEquals(List.of("{\"a\":1}", "{\"b\":[{}]}", "{}"), feed("{\"a\":1}{\"b\":[{}]} \r\n\n{}"));
    }

    @Test
    void bracketsAndQuotesInStringsDoNotCount() {
        assertEquals(List.of("{\"a\":\"}\\\"{\\\\\"}"), feed("{\"a\":\"}\\\"{\\\\\"}\n"));
    }

    @Test
    void anIndentedMessageSpansLines() {
        assertEquals(1, feed("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n").size());
        assertTrue(seen.getFirst().startsWith("{\n"));
    }

    @Test
    void garbageCostsItsLineOnly() {
        assertEquals(List.of("! JSON parse error, a message begins with '{'", "{}"), feed("foo {\"x\":1} bar\n{}\n"));
    }

    @Test
    void anIncompleteMessageEndsWhereTheNextLineBegins() {
        assertEquals(List.of("! JSON parse error, the message ends before it is complete", "{}"), feed("{\"execute\": \n{}\n"));
    }

    @Test
    void anIncompleteMessageEndsWhenNothingFollows() {
        feed("{\"execute\": \r\n");
        assertTrue(framer.interrupted());
        framer.expire(this);
        assertEquals(List.of("! JSON parse error, the message ends before it is complete"), seen);
        assertFalse(framer.interrupted());
        assertEquals("{}", feed("{}").getLast());
    }

    @Test
    void aMessageThatOnlyPausesIsNotGivenUp() {
        feed("{\"execute\": ");
        assertFalse(framer.interrupted());
        framer.expire(this);
        assertEquals(List.of("{\"execute\": 1}"), feed("1}"));
    }

    @Test
    void aStringDoesNotSpanLines() {
        assertEquals(List.of("! JSON parse error, a line ends inside a string", "{}"), feed("{\"execute\n{}"));
    }

    @Test
    void theLongestMessagePasses() {
        String longest = "{\"a\":\"" + "x".repeat(LIMIT - 8) + "\"}";
        assertEquals(List.of(longest), feed(longest));
    }

    @Test
    void aLongerMessageCostsItsLineWithOneError() {
        feed("{\"a\":\"" + "x".repeat(10 * LIMIT) + "\"} {}\n{}");
        assertEquals(List.of("! JSON parse error, the message is longer than 100 bytes", "{}"), seen);
    }

    @Test
    void whateverComesAMessageOnALineOfItsOwnIsSeen() {
        Random random = new Random(7);
        byte[] alphabet = "{}[]\"\\,: \na1\r\t\u00e4".getBytes(StandardCharsets.UTF_8);
        for (int round = 0; round < 2000; round++) {
            byte[] junk = new byte[random.nextInt(3 * LIMIT)];
            for (int i = 0; i < junk.length; i++) {
                junk[i] = alphabet[random.nextInt(alphabet.length)];
            }
            framer.feed(ByteBuffer.wrap(junk), this);
            seen.clear();
            assertEquals("{\"id\":1}", feed("\n{\"id\":1}\n").getLast());
        }
    }
}
