// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;

/** Writes a record's payload, see {@link RecordLayout}. It keeps to the limits that {@link Decoder} checks. One thread at a time. */
final class Encoder {
    private final WireBuffer out;
    private final List<Fd> descriptors = new ArrayList<>();

    Encoder(WireBuffer out) {
        this.out = out;
    }

    /** Descriptors of the last message, in the order of their indices; they stay the message's. */
    List<Fd> descriptors() {
        return descriptors;
    }

    /** Writes the payload from the buffer's position on. */
    void payload(Message m) throws WireException {
        descriptors.clear();
        section(RecordLayout.HEAD, RecordLayout.NEWEST, m.head());
        if (m.sections().size() > RecordLayout.MAX_SECTIONS) {
            throw new WireException(m.sections().size() + " sections, more than " + RecordLayout.MAX_SECTIONS);
        }
        for (Section s : m.sections()) {
            section(RecordLayout.SECTION, m.version(), s);
        }
        if (m.backend() != null) {
            backend(m.backend());
        }
        if (descriptors.size() > RecordLayout.MAX_DESCRIPTORS) {
            throw new WireException(descriptors.size() + " descriptors, more than " + RecordLayout.MAX_DESCRIPTORS);
        }
    }

    private int begin(int tag) throws WireException {
        ByteBuffer b = out.room(RecordLayout.ITEM_BYTES);
        int at = b.position();
        b.putShort((short) tag).putShort((short) RecordLayout.CRITICAL).putInt(0);
        return at;
    }

    private void end(int at) {
        ByteBuffer b = out.bytes();
        b.putInt(at + 4, b.position() - at - RecordLayout.ITEM_BYTES);
    }

    private void backend(BackendState state) throws WireException {
        int at = begin(RecordLayout.BACKEND);
        byte[] type = name("backend state", state.type());
        ByteBuffer b = out.room(RecordLayout.BACKEND_BYTES + type.length);
        b.putInt(state.version()).putShort((short) state.queues().size()).putShort((short) type.length).put(type);
        section(RecordLayout.SECTION, state.version(), state.port());
        for (Section q : state.queues()) {
            section(RecordLayout.SECTION, state.version(), q);
        }
        end(at);
    }

    private void section(int tag, int version, Section s) throws WireException {
        int at = begin(tag);
        if (s.names().size() > RecordLayout.MAX_FIELDS) {
            throw new WireException("section " + s.name() + ": " + s.names().size() + " fields, more than " + RecordLayout.MAX_FIELDS);
        }
        if (version < 1 || version > 0xffff) {
            throw new WireException("section " + s.name() + ": version " + version + " is not 1 to 65535");
        }
        byte[] name = name("section", s.name());
        ByteBuffer b = out.room(RecordLayout.SECTION_BYTES + name.length);
        b.putShort((short) version).putShort((short) s.names().size()).putShort((short) name.length).putShort((short) 0).put(name);
        for (String field : s.names()) {
            field(s, field);
        }
        end(at);
    }

    private void field(Section s, String field) throws WireException {
        byte[] name = name("section " + s.name() + ", field", field);
        int flags = s.optional(field) ? RecordLayout.OPTIONAL : 0;
        switch (s.value(field)) {
            case Long n -> start(RecordLayout.NUMBER, flags, name, 8).putLong(n);
            case Boolean f -> start(RecordLayout.FLAG, flags, name, 1).put((byte) (f ? 1 : 0));
            case String t -> {
                byte[] text = t.getBytes(StandardCharsets.UTF_8);
                if (text.length > RecordLayout.MAX_TEXT) {
                    throw new WireException("section " + s.name() + ", field " + field + ": a text of " + text.length + " bytes, more than "
                            + RecordLayout.MAX_TEXT);
                }
                start(RecordLayout.TEXT, flags, name, text.length).put(text);
            }
            case Fd fd -> {
                start(RecordLayout.DESCRIPTOR, flags, name, 4).putInt(descriptors.size());
                descriptors.add(fd);
            }
            default -> throw new WireException("section " + s.name() + ", field " + field + ": cannot be sent");
        }
    }

    private ByteBuffer start(int kind, int flags, byte[] name, int bytes) throws WireException {
        ByteBuffer b = out.room(RecordLayout.FIELD_BYTES + name.length + bytes);
        return b.put((byte) kind).put((byte) flags).putShort((short) name.length).putInt(bytes).put(name);
    }

    private static byte[] name(String what, String name) throws WireException {
        if (name.isEmpty() || name.length() > RecordLayout.MAX_NAME) {
            throw new WireException(what + " \"" + name + "\": a name has 1 to " + RecordLayout.MAX_NAME + " characters");
        }
        return name.getBytes(StandardCharsets.UTF_8);
    }
}
