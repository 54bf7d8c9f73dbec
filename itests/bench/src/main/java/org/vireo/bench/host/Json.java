// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.host;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * JSON (RFC 8259) as plain values: Map, List, String, Long, Double, Boolean, null. For short texts of trusted programs; the tools run
 * without a framework and without libraries.
 */
public final class Json {
    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** The text is not JSON. */
    public static final class JsonException extends IllegalArgumentException {
        private static final long serialVersionUID = 1L;

        JsonException(String message) {
            super(message);
        }
    }

    /**
     * Reads a value and nothing after it.
     *
     * @param text JSON
     * @return the value
     */
    static Object read(String text) {
        Json j = new Json(text);
        Object v = j.value();
        j.space();
        if (j.at < text.length()) {
            throw j.wrong("nothing more");
        }
        return v;
    }

    /**
     * Reads an object.
     *
     * @param text JSON
     * @return its members, in order
     */
    @SuppressWarnings("unchecked") // members are read with text keys
    public static Map<String, Object> object(String text) {
        if (read(text) instanceof Map<?, ?> m) {
            return (Map<String, Object>) m;
        }
        throw new JsonException("not an object: " + text);
    }

    /** A member that is a number. */
    public static long number(Map<?, ?> of, String name) {
        if (of.get(name) instanceof Number n) {
            return n.longValue();
        }
        throw new JsonException("no number \"" + name + "\" in " + write(of));
    }

    /** A member that is an object. */
    public static Map<?, ?> member(Map<?, ?> of, String name) {
        if (of.get(name) instanceof Map<?, ?> m) {
            return m;
        }
        throw new JsonException("no object \"" + name + "\" in " + write(of));
    }

    private JsonException wrong(String expected) {
        return new JsonException("at " + at + " expected " + expected + ": " + text);
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        space();
        if (at >= text.length()) {
            throw wrong("more");
        }
        return text.charAt(at);
    }

    private boolean skip(char c) {
        if (peek() == c) {
            at++;
            return true;
        }
        return false;
    }

    private void require(char c) {
        if (!skip(c)) {
            throw wrong("'" + c + "'");
        }
    }

    private Object value() {
        return switch (peek()) {
            case '{' -> members();
            case '[' -> elements();
            case '"' -> string();
            case 't' -> word("true", Boolean.TRUE);
            case 'f' -> word("false", Boolean.FALSE);
            case 'n' -> word("null", null);
            default -> number();
        };
    }

    private Object word(String w, Object v) {
        if (!text.startsWith(w, at)) {
            throw wrong(w);
        }
        at += w.length();
        return v;
    }

    private Map<String, Object> members() {
        Map<String, Object> m = new LinkedHashMap<>();
        require('{');
        if (skip('}')) {
            return m;
        }
        do {
            peek();
            String name = string();
            require(':');
            m.put(name, value());
        } while (skip(','));
        require('}');
        return m;
    }

    private List<Object> elements() {
        List<Object> l = new ArrayList<>();
        require('[');
        if (skip(']')) {
            return l;
        }
        do {
            l.add(value());
        } while (skip(','));
        require(']');
        return l;
    }

    private String string() {
        require('"');
        StringBuilder b = new StringBuilder();
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return b.toString();
            }
            if (c == '\\') {
                c = escape();
            }
            b.append(c);
        }
        throw wrong("the end of a string");
    }

    private char escape() {
        if (at >= text.length()) {
            throw wrong("an escape");
        }
        char c = text.charAt(at++);
        switch (c) {
            case 'n': return '\n';
            case 't': return '\t';
            case 'r': return '\r';
            case 'b': return '\b';
            case 'f': return '\f';
            case 'u':
                if (at + 4 > text.length()) {
                    throw wrong("four digits");
                }
                at += 4;
                return (char) Integer.parseInt(text.substring(at - 4, at), 16);
            default: return c;
        }
    }

    private Object number() {
        int from = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        String n = text.substring(from, at);
        try {
            return n.matches("-?[0-9]+") ? (Object) Long.valueOf(n) : (Object) Double.valueOf(n);
        } catch (NumberFormatException e) {
            at = from;
            throw wrong("a value");
        }
    }

    /**
     * Writes a value on one line.
     *
     * @param v plain values
     * @return JSON
     */
    public static String write(Object v) {
        StringBuilder b = new StringBuilder();
        write(b, v);
        return b.toString();
    }

    private static void write(StringBuilder b, Object v) {
        switch (v) {
            case Map<?, ?> m -> {
                b.append('{');
                int n = 0;
                for (Map.Entry<?, ?> e : m.entrySet()) {
                    b.append(n++ == 0 ? "" : ",");
                    quote(b, (String) e.getKey());
                    write(b.append(':'), e.getValue());
                }
                b.append('}');
            }
            case List<?> l -> {
                b.append('[');
                for (int i = 0; i < l.size(); i++) {
                    write(b.append(i == 0 ? "" : ","), l.get(i));
                }
                b.append(']');
            }
            case String s -> quote(b, s);
            case Double d -> b.append(String.format(Locale.ROOT, "%.3f", d));
            case null -> b.append("null");
            default -> b.append(v);
        }
    }

    private static void quote(StringBuilder b, String s) {
        b.append('"');
        for (int i = 0; i < s.length(); i++) {
            char c = s.charAt(i);
            if (c == '"' || c == '\\') {
                b.append('\\').append(c);
            } else if (c < ' ') {
                b.append(String.format(Locale.ROOT, "\\u%04x", (int) c));
            } else {
                b.append(c);
            }
        }
        b.append('"');
    }
}
