// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;

/** Reads a record's payload, see {@link RecordLayout}. Nothing in it is trusted. Used for one payload. */
final class Decoder {
    private final RecordType type;
    private final ByteBuffer in;
    private final List<Fd> descriptors;
    private final BitSet used = new BitSet();
    private Section head;
    private int version;
    private final List<Section> sections = new ArrayList<>();
    private BackendState backend;

    private Decoder(RecordType type, ByteBuffer in, List<Fd> descriptors) {
        this.type = type;
        this.in = in;
        this.descriptors = descriptors;
    }

    /**
     * Reads.
     *
     * @param type the record's type
     * @param in the payload, from position to limit
     * @param descriptors the record's; the message owns them afterwards. If this throws they are closed
     * @return the message
     * @throws WireException a rule is broken
     */
    static Message decode(RecordType type, ByteBuffer in, List<Fd> descriptors) throws WireException {
        Decoder d = new Decoder(type, in, descriptors);
        try {
            return d.message();
        } catch (WireException e) {
            descriptors.forEach(Fd::close);
            throw new WireException(type + " record: " + e.getMessage(), e);
        } catch (RuntimeException e) {
            descriptors.forEach(Fd::close);
            throw new WireException(type + " record cannot be read: " + e.getMessage(), e);
        }
    }

    private Message message() throws WireException {
        while (in.hasRemaining()) {
            need(RecordLayout.ITEM_BYTES, "an item's header");
            int tag = u16();
            int flags = u16();
            int end = end("item " + tag, in.getInt());
            item(tag, flags, end);
        }
        if (head == null) {
            throw new WireException("it has no fields of its own");
        }
        try {
            head.requireKnown(type.fields());
        } catch (StateTransferException e) {
            throw new WireException(e.getMessage() + ": the other side is too new", e);
        }
        if (used.cardinality() != descriptors.size()) {
            throw new WireException(descriptors.size() - used.cardinality() + " of " + descriptors.size()
                    + " descriptors belong to no field: surplus descriptors");
        }
        return new Message(type, head, version == 0 ? RecordLayout.NEWEST : version, List.copyOf(sections), backend);
    }

    private void item(int tag, int flags, int end) throws WireException {
        switch (tag) {
            case RecordLayout.HEAD -> {
                refuseSecond(head, "second list of own fields");
                head = section(end).section;
            }
            case RecordLayout.SECTION -> {
                if (sections.size() == RecordLayout.MAX_SECTIONS) {
                    throw new WireException("more than " + RecordLayout.MAX_SECTIONS + " sections");
                }
                Versioned s = section(end);
                if (version != 0 && version != s.version) {
                    throw new WireException("section " + s.section.name() + " has version " + s.version + ", those before " + version);
                }
                version = s.version;
                if (sections.stream().anyMatch(o -> o.name().equals(s.section.name()))) {
                    throw new WireException("section " + s.section.name() + " twice");
                }
                sections.add(s.section);
            }
            case RecordLayout.BACKEND -> {
                refuseSecond(backend, "second backend state");
                backend = backend(end);
            }
            default -> {
                if ((flags & RecordLayout.CRITICAL) != 0) {
                    throw new WireException("unknown item " + tag + ", which is critical: the other side is too new");
                }
                in.position(end);
            }
        }
        if (in.position() != end) {
            throw new WireException("item " + tag + " is " + (end - in.position()) + " bytes longer than its content");
        }
    }

    private static void refuseSecond(Object first, String what) throws WireException {
        if (first != null) {
            throw new WireException(what);
        }
    }

    private BackendState backend(int end) throws WireException {
        need(RecordLayout.BACKEND_BYTES, "a backend state's header");
        int v = in.getInt();
        int queues = u16();
        String name = name("backend state", u16());
        if (queues < 1 || queues > BackendState.MAX_QUEUES) {
            throw new WireException("backend state " + name + ": " + queues + " queue sections, not 1 to " + BackendState.MAX_QUEUES);
        }
        if (v < 1 || v > 0xffff) {
            // its sections carry it in 16 bits
            throw new WireException("backend state " + name + ": version " + v + " is not 1 to 65535");
        }
        Section port = nested(name, v, end);
        List<Section> list = new ArrayList<>(queues);
        for (int i = 0; i < queues; i++) {
            list.add(nested(name, v, end));
        }
        try {
            return BackendState.of(name, v, port, list);
        } catch (StateTransferException e) {
            throw new WireException(e.getMessage(), e);
        }
    }

    private Section nested(String state, int v, int end) throws WireException {
        need(RecordLayout.ITEM_BYTES, "backend state " + state + ": a section's header");
        int tag = u16();
        int flags = u16();
        if (tag != RecordLayout.SECTION || flags != RecordLayout.CRITICAL) {
            throw new WireException("backend state " + state + ": item " + tag + " with flags " + flags + " where a section belongs");
        }
        int sectionEnd = end("section of backend state " + state, in.getInt());
        if (sectionEnd > end) {
            throw new WireException("backend state " + state + ": a section reaches beyond it");
        }
        Versioned s = section(sectionEnd);
        if (s.version != v || in.position() != sectionEnd) {
            throw new WireException("backend state " + state + ", section " + s.section.name() + ": version " + s.version
                    + " or length is wrong");
        }
        return s.section;
    }

    private record Versioned(Section section, int version) { }

    private Versioned section(int end) throws WireException {
        need(RecordLayout.SECTION_BYTES, "a section's header");
        int v = u16();
        int fields = u16();
        int nameBytes = u16();
        in.getShort();
        String name = name("section", nameBytes);
        if (v == 0) {
            throw new WireException("section " + name + ": versions begin at 1");
        }
        if (fields > RecordLayout.MAX_FIELDS) {
            throw new WireException("section " + name + ": " + fields + " fields, more than " + RecordLayout.MAX_FIELDS);
        }
        Section.Builder b = Section.builder(name);
        for (int i = 0; i < fields; i++) {
            field(name, b);
            if (in.position() > end) {
                throw new WireException("section " + name + ": its fields reach beyond it");
            }
        }
        try {
            return new Versioned(b.build(), v);
        } catch (IllegalArgumentException e) {
            throw new WireException(e.getMessage(), e);
        }
    }

    private void field(String section, Section.Builder b) throws WireException {
        need(RecordLayout.FIELD_BYTES, "section " + section + ": a field's header");
        int kind = in.get() & 0xff;
        boolean optional = (in.get() & RecordLayout.OPTIONAL) != 0;
        int nameBytes = u16();
        int bytes = in.getInt();
        String name = name("section " + section + ", field", nameBytes);
        String what = "section " + section + ", field " + name;
        int end = end(what, bytes);
        try {
            switch (kind) {
                case RecordLayout.NUMBER -> b.number(name, sized(what, bytes, 8).getLong());
                case RecordLayout.FLAG -> b.flag(name, flag(what, sized(what, bytes, 1).get()));
                case RecordLayout.TEXT -> b.text(name, text(what, bytes));
                case RecordLayout.DESCRIPTOR -> b.descriptor(name, descriptor(what, sized(what, bytes, 4).getInt()));
                default -> {
                    if (!optional) {
                        throw new WireException(what + ": unknown kind " + kind + ", and the field is critical: the other side is too new");
                    }
                    in.position(end);
                    return;
                }
            }
            if (optional) {
                b.optional(name);
            }
        } catch (IllegalArgumentException e) {
            throw new WireException(e.getMessage(), e);
        }
    }

    private ByteBuffer sized(String what, int bytes, int expected) throws WireException {
        if (bytes != expected) {
            throw new WireException(what + ": " + bytes + " bytes, not " + expected);
        }
        return in;
    }

    private static boolean flag(String what, byte value) throws WireException {
        if (value != 0 && value != 1) {
            throw new WireException(what + ": flag is " + value + ", not 0 or 1");
        }
        return value == 1;
    }

    private Fd descriptor(String what, int index) throws WireException {
        if (index < 0 || index >= descriptors.size()) {
            throw new WireException(what + ": descriptor " + index + " is missing; " + descriptors.size() + " came");
        }
        if (used.get(index)) {
            throw new WireException(what + ": descriptor " + index + " belongs to another field already");
        }
        used.set(index);
        return descriptors.get(index);
    }

    private String text(String what, int bytes) throws WireException {
        if (bytes > RecordLayout.MAX_TEXT) {
            throw new WireException(what + ": a text of " + bytes + " bytes, more than " + RecordLayout.MAX_TEXT);
        }
        try {
            String s = StandardCharsets.UTF_8.newDecoder().decode(in.slice(in.position(), bytes)).toString();
            in.position(in.position() + bytes);
            return s;
        } catch (CharacterCodingException e) {
            throw new WireException(what + ": not UTF-8", e);
        }
    }

    private String name(String what, int bytes) throws WireException {
        if (bytes == 0 || bytes > 4 * RecordLayout.MAX_NAME) {
            throw new WireException(what + ": a name of " + bytes + " bytes");
        }
        need(bytes, what + ": a name");
        String s = text(what, bytes);
        if (s.length() > RecordLayout.MAX_NAME || s.chars().anyMatch(Character::isISOControl)) {
            throw new WireException(what + ": a name has 1 to " + RecordLayout.MAX_NAME + " characters and no control characters");
        }
        return s;
    }

    private int end(String what, int bytes) throws WireException {
        if (bytes < 0 || bytes > in.remaining()) {
            throw new WireException(what + ": " + Integer.toUnsignedString(bytes) + " bytes, but " + in.remaining() + " are left");
        }
        return in.position() + bytes;
    }

    private void need(int bytes, String what) throws WireException {
        if (in.remaining() < bytes) {
            throw new WireException(what + " of " + bytes + " bytes, but " + in.remaining() + " are left");
        }
    }

    private int u16() {
        return in.getShort() & 0xffff;
    }
}
