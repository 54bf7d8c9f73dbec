// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.wire;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;

/** Reads {@link StateItems}, see {@link StateLayout}. Nothing in the bytes is trusted. Used once. */
public final class StateDecoder {
    private final ByteBuffer in;
    private final List<Fd> descriptors;
    private final BitSet used = new BitSet();
    private Section head;
    private int version;
    private final List<Section> sections = new ArrayList<>();
    private BackendState backend;

    private StateDecoder(ByteBuffer in, List<Fd> descriptors) {
        this.in = in.order(ByteOrder.LITTLE_ENDIAN);
        this.descriptors = descriptors;
    }

    /**
     * Reads.
     *
     * @param in the bytes, from position to limit
     * @param known the own fields that the reader knows
     * @param descriptors those that came along; the items own them afterwards. If this throws they are closed
     * @return the items
     * @throws StateTransferException a rule is broken
     */
    public static StateItems decode(ByteBuffer in, Set<String> known, List<Fd> descriptors) throws StateTransferException {
        StateDecoder d = new StateDecoder(in, descriptors);
        try {
            return d.items(known);
        } catch (StateTransferException e) {
            descriptors.forEach(Fd::close);
            throw e;
        } catch (RuntimeException e) {
            descriptors.forEach(Fd::close);
            throw new StateTransferException("cannot be read: " + e.getMessage(), e);
        }
    }

    private StateItems items(Set<String> known) throws StateTransferException {
        while (in.hasRemaining()) {
            need(StateLayout.ITEM_BYTES, "an item's header");
            int tag = u16();
            int flags = u16();
            int end = end("item " + tag, in.getInt());
            item(tag, flags, end);
        }
        if (head == null) {
            throw new StateTransferException("it has no fields of its own");
        }
        try {
            head.requireKnown(known);
        } catch (StateTransferException e) {
            throw new StateTransferException(e.getMessage() + ": the other side is too new", e);
        }
        if (used.cardinality() != descriptors.size()) {
            throw new StateTransferException(descriptors.size() - used.cardinality() + " of " + descriptors.size()
                    + " descriptors belong to no field: surplus descriptors");
        }
        return new StateItems(head, version == 0 ? StateLayout.NEWEST : version, List.copyOf(sections), backend);
    }

    private void item(int tag, int flags, int end) throws StateTransferException {
        switch (tag) {
            case StateLayout.HEAD -> {
                refuseSecond(head, "second list of own fields");
                head = section(end).section;
            }
            case StateLayout.SECTION -> {
                if (sections.size() == StateLayout.MAX_SECTIONS) {
                    throw new StateTransferException("more than " + StateLayout.MAX_SECTIONS + " sections");
                }
                Versioned s = section(end);
                if (version != 0 && version != s.version) {
                    throw new StateTransferException("section " + s.section.name() + " has version " + s.version + ", those before "
                            + version);
                }
                version = s.version;
                if (sections.stream().anyMatch(o -> o.name().equals(s.section.name()))) {
                    throw new StateTransferException("section " + s.section.name() + " twice");
                }
                sections.add(s.section);
            }
            case StateLayout.BACKEND -> {
                refuseSecond(backend, "second backend state");
                backend = backend(end);
            }
            default -> {
                if ((flags & StateLayout.CRITICAL) != 0) {
                    throw new StateTransferException("unknown item " + tag + ", which is critical: the other side is too new");
                }
                in.position(end);
            }
        }
        if (in.position() != end) {
            throw new StateTransferException("item " + tag + " is " + (end - in.position()) + " bytes longer than its content");
        }
    }

    private static void refuseSecond(Object first, String what) throws StateTransferException {
        if (first != null) {
            throw new StateTransferException(what);
        }
    }

    private BackendState backend(int end) throws StateTransferException {
        need(StateLayout.BACKEND_BYTES, "a backend state's header");
        int v = in.getInt();
        int queues = u16();
        String name = name("backend state", u16());
        if (queues < 1 || queues > BackendState.MAX_QUEUES) {
            throw new StateTransferException("backend state " + name + ": " + queues + " queue sections, not 1 to "
                    + BackendState.MAX_QUEUES);
        }
        if (v < 1 || v > 0xffff) {
            // its sections carry it in 16 bits
            throw new StateTransferException("backend state " + name + ": version " + v + " is not 1 to 65535");
        }
        Section port = nested(name, v, end);
        List<Section> list = new ArrayList<>(queues);
        for (int i = 0; i < queues; i++) {
            list.add(nested(name, v, end));
        }
        return BackendState.of(name, v, port, list);
    }

    private Section nested(String state, int v, int end) throws StateTransferException {
        need(StateLayout.ITEM_BYTES, "backend state " + state + ": a section's header");
        int tag = u16();
        int flags = u16();
        if (tag != StateLayout.SECTION || flags != StateLayout.CRITICAL) {
            throw new StateTransferException("backend state " + state + ": item " + tag + " with flags " + flags
                    + " where a section belongs");
        }
        int sectionEnd = end("section of backend state " + state, in.getInt());
        if (sectionEnd > end) {
            throw new StateTransferException("backend state " + state + ": a section reaches beyond it");
        }
        Versioned s = section(sectionEnd);
        if (s.version != v || in.position() != sectionEnd) {
            throw new StateTransferException("backend state " + state + ", section " + s.section.name() + ": version " + s.version
                    + " or length is wrong");
        }
        return s.section;
    }

    private record Versioned(Section section, int version) { }

    private Versioned section(int end) throws StateTransferException {
        need(StateLayout.SECTION_BYTES, "a section's header");
        int v = u16();
        int fields = u16();
        int nameBytes = u16();
        in.getShort();
        String name = name("section", nameBytes);
        if (v == 0) {
            throw new StateTransferException("section " + name + ": versions begin at 1");
        }
        if (fields > StateLayout.MAX_FIELDS) {
            throw new StateTransferException("section " + name + ": " + fields + " fields, more than " + StateLayout.MAX_FIELDS);
        }
        Section.Builder b = Section.builder(name);
        for (int i = 0; i < fields; i++) {
            field(name, b);
            if (in.position() > end) {
                throw new StateTransferException("section " + name + ": its fields reach beyond it");
            }
        }
        try {
            return new Versioned(b.build(), v);
        } catch (IllegalArgumentException e) {
            throw new StateTransferException(e.getMessage(), e);
        }
    }

    private void field(String section, Section.Builder b) throws StateTransferException {
        need(StateLayout.FIELD_BYTES, "section " + section + ": a field's header");
        int kind = in.get() & 0xff;
        boolean optional = (in.get() & StateLayout.OPTIONAL) != 0;
        int nameBytes = u16();
        int bytes = in.getInt();
        String name = name("section " + section + ", field", nameBytes);
        String what = "section " + section + ", field " + name;
        int end = end(what, bytes);
        try {
            switch (kind) {
                case StateLayout.NUMBER -> b.number(name, sized(what, bytes, 8).getLong());
                case StateLayout.FLAG -> b.flag(name, flag(what, sized(what, bytes, 1).get()));
                case StateLayout.TEXT -> b.text(name, text(what, bytes));
                case StateLayout.DESCRIPTOR -> b.descriptor(name, descriptor(what, sized(what, bytes, 4).getInt()));
                default -> {
                    if (!optional) {
                        throw new StateTransferException(what + ": unknown kind " + kind
                                + ", and the field is critical: the other side is too new");
                    }
                    in.position(end);
                    return;
                }
            }
            if (optional) {
                b.optional(name);
            }
        } catch (IllegalArgumentException e) {
            throw new StateTransferException(e.getMessage(), e);
        }
    }

    private ByteBuffer sized(String what, int bytes, int expected) throws StateTransferException {
        if (bytes != expected) {
            throw new StateTransferException(what + ": " + bytes + " bytes, not " + expected);
        }
        return in;
    }

    private static boolean flag(String what, byte value) throws StateTransferException {
        if (value != 0 && value != 1) {
            throw new StateTransferException(what + ": flag is " + value + ", not 0 or 1");
        }
        return value == 1;
    }

    private Fd descriptor(String what, int index) throws StateTransferException {
        if (index < 0 || index >= descriptors.size()) {
            throw new StateTransferException(what + ": descriptor " + index + " is missing; " + descriptors.size() + " came");
        }
        if (used.get(index)) {
            throw new StateTransferException(what + ": descriptor " + index + " belongs to another field already");
        }
        used.set(index);
        return descriptors.get(index);
    }

    private String text(String what, int bytes) throws StateTransferException {
        if (bytes > StateLayout.MAX_TEXT) {
            throw new StateTransferException(what + ": a text of " + bytes + " bytes, more than " + StateLayout.MAX_TEXT);
        }
        try {
            String s = StandardCharsets.UTF_8.newDecoder().decode(in.slice(in.position(), bytes)).toString();
            in.position(in.position() + bytes);
            return s;
        } catch (CharacterCodingException e) {
            throw new StateTransferException(what + ": not UTF-8", e);
        }
    }

    private String name(String what, int bytes) throws StateTransferException {
        if (bytes == 0 || bytes > 4 * StateLayout.MAX_NAME) {
            throw new StateTransferException(what + ": a name of " + bytes + " bytes");
        }
        need(bytes, what + ": a name");
        String s = text(what, bytes);
        if (s.length() > StateLayout.MAX_NAME || s.chars().anyMatch(Character::isISOControl)) {
            throw new StateTransferException(what + ": a name has 1 to " + StateLayout.MAX_NAME + " characters and no control characters");
        }
        return s;
    }

    private int end(String what, int bytes) throws StateTransferException {
        if (bytes < 0 || bytes > in.remaining()) {
            throw new StateTransferException(what + ": " + Integer.toUnsignedString(bytes) + " bytes, but " + in.remaining() + " are left");
        }
        return in.position() + bytes;
    }

    private void need(int bytes, String what) throws StateTransferException {
        if (in.remaining() < bytes) {
            throw new StateTransferException(what + " of " + bytes + " bytes, but " + in.remaining() + " are left");
        }
    }

    private int u16() {
        return in.getShort() & 0xffff;
    }
}
