// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.json;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as plain values: Map (in order), List, String, Boolean, Long, BigInteger, BigDecimal, null. What is read is bounded in depth
 * and length, and a key that comes twice is an error. Any thread.
 *
 * <p>Jackson's streaming part alone: the data binding on top of it would cost a start-up 100 ms, for messages of ten fields.
 */
public final class Json {
    /** Deepest nesting that is read. */
    public static final int MAX_DEPTH = 64;

    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(MAX_DEPTH).build())
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    private Json() {
    }

    /** What was read is not one JSON value; the message says why, in one line. */
    public static final class JsonException extends Exception {
        private static final long serialVersionUID = 1L;

        JsonException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    /**
     * Reads one value.
     *
     * @param bytes holds the value in UTF-8
     * @param from where it begins
     * @param length its bytes
     * @return the value
     * @throws JsonException it is not one value, or beyond the limits
     */
    public static Object read(byte[] bytes, int from, int length) throws JsonException {
        try (JsonParser p = FACTORY.createParser(bytes, from, length)) {
            if (p.nextToken() == null) {
                throw new JsonException("nothing there", null);
            }
            Object value = value(p);
            if (p.nextToken() != null) {
                throw new JsonException("something follows the value", null);
            }
            return value;
        } catch (JsonProcessingException e) {
            throw new JsonException(oneLine(e.getOriginalMessage()), e);
        } catch (IOException e) {
            throw new JsonException(oneLine(e.getMessage()), e);
        }
    }

    /**
     * Reads one value.
     *
     * @param text the value
     * @return the value
     * @throws JsonException it is not one value, or beyond the limits
     */
    public static Object read(String text) throws JsonException {
        byte[] b = text.getBytes(java.nio.charset.StandardCharsets.UTF_8);
        return read(b, 0, b.length);
    }

    private static String oneLine(String message) {
        return message == null ? "not JSON" : message.lines().findFirst().orElse("not JSON");
    }

    private static Object value(JsonParser p) throws IOException {
        return switch (p.currentToken()) {
            case START_OBJECT -> object(p);
            case START_ARRAY -> array(p);
            case VALUE_STRING -> p.getText();
            case VALUE_TRUE -> Boolean.TRUE;
            case VALUE_FALSE -> Boolean.FALSE;
            case VALUE_NULL -> null;
            case VALUE_NUMBER_INT -> p.getNumberType() == JsonParser.NumberType.BIG_INTEGER ? p.getBigIntegerValue() : p.getLongValue();
            case VALUE_NUMBER_FLOAT -> decimal(p);
            default -> throw new IOException("unexpected " + p.currentToken());
        };
    }

    private static BigDecimal decimal(JsonParser p) throws IOException {
        try {
            return p.getDecimalValue();
        } catch (NumberFormatException e) {
            // of an exponent that does not fit Jackson says so unchecked
            throw new IOException("a number that is too large or too small", e);
        }
    }

    private static Map<String, Object> object(JsonParser p) throws IOException {
        Map<String, Object> map = new LinkedHashMap<>();
        while (p.nextToken() != JsonToken.END_OBJECT) {
            String name = p.currentName();
            p.nextToken();
            map.put(name, value(p));
        }
        return map;
    }

    private static List<Object> array(JsonParser p) throws IOException {
        List<Object> list = new ArrayList<>();
        while (p.nextToken() != JsonToken.END_ARRAY) {
            list.add(value(p));
        }
        return list;
    }

    /**
     * Writes a value on one line, with CR LF at its end, as QEMU does.
     *
     * @param value plain values; of others their text
     * @return UTF-8
     */
    public static byte[] line(Object value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(256);
        write(value, out);
        out.write('\r');
        out.write('\n');
        return out.toByteArray();
    }

    /**
     * Writes a value on one line.
     *
     * @param value plain values; of others their text
     * @return the JSON
     */
    public static String text(Object value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream(256);
        write(value, out);
        return out.toString(java.nio.charset.StandardCharsets.UTF_8);
    }

    private static void write(Object value, ByteArrayOutputStream out) {
        try (JsonGenerator g = FACTORY.createGenerator(out)) {
            write(value, g);
        } catch (IOException e) {
            throw new UncheckedIOException("writing to memory", e);
        }
    }

    private static void write(Object value, JsonGenerator g) throws IOException {
        switch (value) {
            case null -> g.writeNull();
            case Boolean b -> g.writeBoolean(b);
            case BigInteger n -> g.writeNumber(n);
            case BigDecimal n -> g.writeNumber(n);
            case Double n -> g.writeNumber(n);
            case Float n -> g.writeNumber(n);
            case Number n -> g.writeNumber(n.longValue());
            case Map<?, ?> map -> {
                g.writeStartObject();
                for (Map.Entry<?, ?> e : map.entrySet()) {
                    g.writeFieldName(String.valueOf(e.getKey()));
                    write(e.getValue(), g);
                }
                g.writeEndObject();
            }
            case Iterable<?> list -> {
                g.writeStartArray();
                for (Object o : list) {
                    write(o, g);
                }
                g.writeEndArray();
            }
            default -> g.writeString(value.toString());
        }
    }
}
