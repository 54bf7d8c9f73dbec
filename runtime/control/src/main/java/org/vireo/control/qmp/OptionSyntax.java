// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.util.LinkedHashMap;
import java.util.Map;
import org.vireo.control.json.Json;

/**
 * QEMU's option syntax: {@code key=value,key=value}, {@code ,,} for a comma in a value, the first key may be left out where one is
 * implied ({@code tap,id=net0}). Stricter than QEMU: a key that comes twice, an empty part and a key without a value are errors.
 */
public final class OptionSyntax {
    private OptionSyntax() {
    }

    /** The text does not follow the syntax; the message says where. */
    public static final class SyntaxException extends Exception {
        private static final long serialVersionUID = 1L;

        /**
         * An exception.
         *
         * @param message says where and what
         */
        public SyntaxException(String message) {
            super(message);
        }
    }

    /**
     * Reads options.
     *
     * @param text the options
     * @param implied the key that the first part may leave out; empty: none
     * @return keys and values in order
     * @throws SyntaxException what is wrong
     */
    public static Map<String, String> parse(String text, String implied) throws SyntaxException {
        Map<String, String> options = new LinkedHashMap<>();
        int at = 0;
        while (at <= text.length()) {
            StringBuilder part = new StringBuilder();
            at = part(text, at, part);
            int equals = part.indexOf("=");
            String key = equals < 0 ? implied : part.substring(0, equals);
            String value = part.substring(equals + 1);
            if (equals < 0 && (!options.isEmpty() || part.isEmpty() || implied.isEmpty())) {
                throw new SyntaxException(part.isEmpty()
                        ? "there is an empty part between two commas or at an end; write ,, for a comma in a value"
                        : "'" + part + "' has no value; write " + part + "=VALUE");
            }
            requireKey(key);
            if (options.putIfAbsent(key, value) != null) {
                throw new SyntaxException("'" + key + "' is given twice: " + options.get(key) + " and " + value);
            }
        }
        return options;
    }

    /**
     * Reads the arguments of a command that come one by one: {@code id=net0 backend-transfer=false nics=["nic0"]}.
     *
     * @param words {@code key=value} each; the value is JSON if it is any, else a text
     * @return keys and values in order
     * @throws SyntaxException what is wrong
     */
    public static Map<String, Object> words(Iterable<String> words) throws SyntaxException {
        Map<String, Object> arguments = new LinkedHashMap<>();
        for (String word : words) {
            int equals = word.indexOf('=');
            if (equals < 1) {
                throw new SyntaxException("'" + word + "' is not KEY=VALUE");
            }
            String key = word.substring(0, equals);
            if (arguments.containsKey(key)) {
                throw new SyntaxException(key + " is given twice");
            }
            arguments.put(key, jsonOrText(word.substring(equals + 1)));
        }
        return arguments;
    }

    private static Object jsonOrText(String value) {
        try {
            return Json.read(value);
        } catch (Json.JsonException e) {
            // the usual case: a word without quotes
            return value;
        }
    }

    /** Copies up to a single comma; gives where the next part begins, beyond the end if there is none. */
    private static int part(String text, int from, StringBuilder to) {
        int i = from;
        while (i < text.length()) {
            char c = text.charAt(i);
            if (c == ',') {
                if (i + 1 < text.length() && text.charAt(i + 1) == ',') {
                    i++;
                } else {
                    return i + 1;
                }
            }
            to.append(c);
            i++;
        }
        return text.length() + 1;
    }

    /**
     * A key becomes a configuration's property: letters, digits, hyphens, no dot, so that it cannot pass for one of the framework's.
     *
     * @param key the key
     * @throws SyntaxException it is no such word
     */
    public static void requireKey(String key) throws SyntaxException {
        if (!key.matches("[A-Za-z][A-Za-z0-9_-]{0,63}")) {
            throw new SyntaxException("'" + key + "' is not the name of an option");
        }
    }
}
