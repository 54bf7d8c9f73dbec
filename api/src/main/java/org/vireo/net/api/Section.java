// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;

/**
 * A part of a {@link BackendState}: named plain values and descriptors, in the order in which they were put. Immutable.
 */
public final class Section {
    /** Most descriptors in a section. */
    public static final int MAX_DESCRIPTORS = 16;

    private final String name;
    private final Map<String, Object> values;
    private final Set<String> optional;

    private Section(String name, Map<String, Object> values, Set<String> optional) {
        this.name = name;
        this.values = values;
        this.optional = optional;
    }

    /**
     * Starts a section.
     *
     * @param name its name, for messages: {@code port} or {@code queue 3}
     * @return the builder
     */
    public static Builder builder(String name) {
        return new Builder(name);
    }

    /**
     * The section's name.
     *
     * @return the name
     */
    public String name() {
        return name;
    }

    /**
     * A number.
     *
     * @param field its name
     * @return the value
     * @throws StateTransferException it is missing or of another kind
     */
    public long number(String field) throws StateTransferException {
        return get(field, Long.class, "a number");
    }

    /**
     * A flag.
     *
     * @param field its name
     * @return the value
     * @throws StateTransferException it is missing or of another kind
     */
    public boolean flag(String field) throws StateTransferException {
        return get(field, Boolean.class, "a flag");
    }

    /**
     * A text.
     *
     * @param field its name
     * @return the value
     * @throws StateTransferException it is missing or of another kind
     */
    public String text(String field) throws StateTransferException {
        return get(field, String.class, "a text");
    }

    /**
     * A descriptor, owned by the state.
     *
     * @param field its name
     * @return the descriptor
     * @throws StateTransferException it is missing or of another kind
     */
    public Fd descriptor(String field) throws StateTransferException {
        return get(field, Fd.class, "a descriptor");
    }

    /**
     * Whether a field is there.
     *
     * @param field its name
     * @return whether
     */
    public boolean has(String field) {
        return values.containsKey(field);
    }

    /**
     * The fields' names in order.
     *
     * @return an unmodifiable set
     */
    public Set<String> names() {
        return values.keySet();
    }

    /**
     * The value as Long, Boolean, String or {@link Fd}.
     *
     * @param field its name
     * @return the value, or null
     */
    public Object value(String field) {
        return values.get(field);
    }

    /**
     * Whether a reader that does not know a field may skip it. All others are critical.
     *
     * @param field its name
     * @return whether
     */
    public boolean optional(String field) {
        return optional.contains(field);
    }

    /**
     * Refuses a section with a critical field that its reader does not know.
     *
     * @param known the fields that the reader knows
     * @throws StateTransferException there is one
     */
    public void requireKnown(Set<String> known) throws StateTransferException {
        for (String field : values.keySet()) {
            if (!known.contains(field) && !optional.contains(field)) {
                throw new StateTransferException(name, field, "one of " + new TreeSet<>(known), "this unknown field");
            }
        }
    }

    private <T> T get(String field, Class<T> type, String expected) throws StateTransferException {
        Object v = values.get(field);
        if (!type.isInstance(v)) {
            throw new StateTransferException(name, field, expected, v == null ? "nothing" : describe(v));
        }
        return type.cast(v);
    }

    private static String describe(Object v) {
        return switch (v) {
            case Long n -> "the number " + n;
            case Boolean b -> "the flag " + b;
            case String s -> "the text \"" + s + "\"";
            default -> "a descriptor";
        };
    }

    /** Closes its descriptors: for the owner of a section outside of a state. */
    public void closeDescriptors() {
        for (Object v : values.values()) {
            if (v instanceof Fd fd) {
                fd.close();
            }
        }
    }

    long size() {
        long n = name.length() * 3L;
        for (Map.Entry<String, Object> e : values.entrySet()) {
            n += 16 + e.getKey().length() * 3L + (e.getValue() instanceof String s ? s.length() * 3L : 0);
        }
        return n;
    }

    @Override
    public String toString() {
        return name + values;
    }

    /** Collects a {@link Section}. */
    public static final class Builder {
        private final String name;
        private final Map<String, Object> values = new LinkedHashMap<>();
        private final Set<String> optional = new HashSet<>();
        private int descriptors;

        private Builder(String name) {
            this.name = Objects.requireNonNull(name);
        }

        /**
         * Puts a number.
         *
         * @param field its name
         * @param value the value
         * @return this
         */
        public Builder number(String field, long value) {
            return put(field, value);
        }

        /**
         * Puts a flag.
         *
         * @param field its name
         * @param value the value
         * @return this
         */
        public Builder flag(String field, boolean value) {
            return put(field, value);
        }

        /**
         * Puts a text.
         *
         * @param field its name
         * @param value the value
         * @return this
         */
        public Builder text(String field, String value) {
            return put(field, Objects.requireNonNull(value));
        }

        /**
         * Puts a descriptor, which the state owns from then on.
         *
         * @param field its name
         * @param value an open descriptor
         * @return this
         */
        public Builder descriptor(String field, Fd value) {
            if (descriptors == MAX_DESCRIPTORS) {
                throw new IllegalArgumentException("section " + name + ": more than " + MAX_DESCRIPTORS + " descriptors");
            }
            descriptors++;
            return put(field, Objects.requireNonNull(value));
        }

        /**
         * Lets readers that do not know a field skip it.
         *
         * @param field a field that was put
         * @return this
         */
        public Builder optional(String field) {
            if (!values.containsKey(field)) {
                throw new IllegalArgumentException("section " + name + ": no field " + field);
            }
            optional.add(field);
            return this;
        }

        private Builder put(String field, Object value) {
            if (field.isEmpty() || field.length() > 64) {
                throw new IllegalArgumentException("section " + name + ": field name \"" + field + "\" is not of 1 to 64 characters");
            }
            if (values.putIfAbsent(field, value) != null) {
                throw new IllegalArgumentException("section " + name + ": field " + field + " twice");
            }
            return this;
        }

        /**
         * Ends the section.
         *
         * @return the section
         */
        public Section build() {
            return new Section(name, Collections.unmodifiableMap(new LinkedHashMap<>(values)), Set.copyOf(optional));
        }
    }
}
