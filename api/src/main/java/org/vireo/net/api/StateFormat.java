// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * What kind of state a backend writes and which states it reads. Immutable.
 */
public final class StateFormat {
    /** Whether a saved state stays true while the port's queues run. */
    public enum Kind {
        /** Saved once, it stays true: the state does not change with the frames. */
        STABLE,
        /** It changes with the frames: saved once more when the queues are quiet. It moves within a process, not to another one. */
        LIVE
    }

    /**
     * A closed range of versions.
     *
     * @param oldest the oldest version, at least 1
     * @param newest the newest version, at least {@code oldest}
     */
    public record Versions(int oldest, int newest) {
        /** Checks the range. */
        public Versions {
            if (oldest < 1 || newest < oldest) {
                throw new IllegalArgumentException("versions " + oldest + " to " + newest);
            }
        }

        /**
         * Whether a version lies in the range.
         *
         * @param version the version
         * @return whether it does
         */
        public boolean contains(int version) {
            return version >= oldest && version <= newest;
        }

        /** For people: {@code 1} or {@code 1..3}. */
        @Override
        public String toString() {
            return oldest == newest ? String.valueOf(oldest) : oldest + ".." + newest;
        }
    }

    private final String type;
    private final Kind kind;
    private final Versions writes;
    private final Map<String, Versions> reads;

    private StateFormat(Builder b) {
        type = b.type;
        kind = b.kind;
        writes = b.writes;
        reads = Map.copyOf(b.reads);
    }

    /**
     * Starts a description.
     *
     * @param type name of the state, usually the netdev's type
     * @param oldest oldest version that is written and read
     * @param newest newest version that is written and read
     * @return the builder
     */
    public static Builder of(String type, int oldest, int newest) {
        return new Builder(type, new Versions(oldest, newest));
    }

    /**
     * The name of the state that is written.
     *
     * @return the name
     */
    public String type() {
        return type;
    }

    /**
     * Whether a saved state stays true.
     *
     * @return the kind
     */
    public Kind kind() {
        return kind;
    }

    /**
     * The versions that can be written.
     *
     * @return the range
     */
    public Versions writes() {
        return writes;
    }

    /**
     * The states that can be read: name and versions, of this type and of others.
     *
     * @return an unmodifiable map
     */
    public Map<String, Versions> reads() {
        return reads;
    }

    /**
     * Whether a state can be read.
     *
     * @param stateType the state's name
     * @param version the state's version
     * @return whether it can
     */
    public boolean canRead(String stateType, int version) {
        Versions v = reads.get(stateType);
        return v != null && v.contains(version);
    }

    @Override
    public boolean equals(Object o) {
        return o instanceof StateFormat f && type.equals(f.type) && kind == f.kind && writes.equals(f.writes) && reads.equals(f.reads);
    }

    @Override
    public int hashCode() {
        return Objects.hash(type, kind, writes, reads);
    }

    /** For people: {@code tap 1 stable}, {@code tap 2 live, reads tap 1..2, macvtap 1}. */
    @Override
    public String toString() {
        String text = type + " " + writes + " " + kind.name().toLowerCase(Locale.ROOT);
        if (reads.equals(Map.of(type, writes))) {
            return text;
        }
        return text + ", reads " + new TreeMap<>(reads).entrySet().stream().map(e -> e.getKey() + " " + e.getValue())
                .collect(Collectors.joining(", "));
    }

    /** Collects a {@link StateFormat}. */
    public static final class Builder {
        private final String type;
        private final Versions writes;
        private final Map<String, Versions> reads = new LinkedHashMap<>();
        private Kind kind = Kind.STABLE;

        private Builder(String type, Versions writes) {
            this.type = Objects.requireNonNull(type);
            this.writes = writes;
            reads.put(type, writes);
        }

        /**
         * Says that the state changes with the frames.
         *
         * @return this
         */
        public Builder live() {
            kind = Kind.LIVE;
            return this;
        }

        /**
         * Adds a state that can be read too, or widens what is read of the own type.
         *
         * @param stateType its name
         * @param oldest oldest version
         * @param newest newest version
         * @return this
         */
        public Builder reads(String stateType, int oldest, int newest) {
            reads.put(stateType, new Versions(oldest, newest));
            return this;
        }

        /**
         * Ends the description.
         *
         * @return the format
         */
        public StateFormat build() {
            return new StateFormat(this);
        }
    }
}
