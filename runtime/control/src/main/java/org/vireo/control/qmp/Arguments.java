// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A command's arguments, each taken once and by type; what is left at {@link #end()} is an error. A command takes all of them and
 * calls {@link #end()} or {@link #rest()} before it does anything. One thread.
 */
public final class Arguments {
    private static final String TEXTS = "array of strings";

    private final Map<String, Object> left;

    /**
     * Arguments.
     *
     * @param arguments names and values, as JSON gives them
     */
    public Arguments(Map<String, ?> arguments) {
        left = new LinkedHashMap<>(arguments);
    }

    /**
     * A text that must be there.
     *
     * @param name its name
     * @return the text
     * @throws QmpException it is missing or not a text
     */
    public String text(String name) throws QmpException {
        Optional<String> t = optionalText(name);
        if (t.isEmpty()) {
            throw QmpException.generic("Parameter '" + name + "' is missing");
        }
        return t.get();
    }

    /**
     * A text that may be there.
     *
     * @param name its name
     * @return the text
     * @throws QmpException it is not a text
     */
    public Optional<String> optionalText(String name) throws QmpException {
        return optional(name, "string", String.class);
    }

    /**
     * A truth value that may be there.
     *
     * @param name its name
     * @return the value
     * @throws QmpException it is none
     */
    public Optional<Boolean> optionalFlag(String name) throws QmpException {
        return optional(name, "boolean", Boolean.class);
    }

    /**
     * A list of texts that may be there.
     *
     * @param name its name
     * @return the texts; empty if it is not there
     * @throws QmpException it is none
     */
    public Optional<List<String>> optionalTexts(String name) throws QmpException {
        Optional<?> list = optional(name, TEXTS, List.class);
        if (list.isEmpty()) {
            return Optional.empty();
        }
        List<String> texts = new ArrayList<>();
        for (Object o : (List<?>) list.get()) {
            if (!(o instanceof String s)) {
                throw wrongType(name, TEXTS, o);
            }
            texts.add(s);
        }
        return Optional.of(texts);
    }

    private <T> Optional<T> optional(String name, String expected, Class<T> type) throws QmpException {
        if (!left.containsKey(name)) {
            return Optional.empty();
        }
        Object value = left.remove(name);
        if (!type.isInstance(value)) {
            throw wrongType(name, expected, value);
        }
        return Optional.of(type.cast(value));
    }

    /**
     * Everything that is left, as options: numbers and truth values ({@code on}, {@code off}) as text.
     *
     * @return names and values in order
     * @throws QmpException one is an object, an array, null or a fraction
     */
    public Map<String, String> rest() throws QmpException {
        Map<String, String> options = new LinkedHashMap<>();
        for (Map.Entry<String, Object> e : left.entrySet()) {
            options.put(e.getKey(), switch (e.getValue()) {
                case String s -> s;
                case Boolean b -> b ? "on" : "off";
                case Long n -> n.toString();
                case BigInteger n -> n.toString();
                case null, default -> throw wrongType(e.getKey(), "string, number or boolean", e.getValue());
            });
        }
        left.clear();
        return options;
    }

    /**
     * Ends the list.
     *
     * @throws QmpException there is an argument that nobody asked for
     */
    public void end() throws QmpException {
        if (!left.isEmpty()) {
            throw QmpException.generic("Parameter '" + left.keySet().iterator().next() + "' is unexpected");
        }
    }

    private static QmpException wrongType(String name, String expected, Object value) {
        String is = switch (value) {
            case null -> "null";
            case String s -> "a string";
            case Boolean b -> "a boolean";
            case Number n -> "a number";
            case List<?> l -> "an array";
            default -> "an object";
        };
        return QmpException.generic("Invalid parameter type for '" + name + "', expected: " + expected + ", got " + is);
    }
}
