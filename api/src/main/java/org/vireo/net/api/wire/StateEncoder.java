// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.wire;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;

/** Writes {@link StateItems} as bytes, see {@link StateLayout}. It keeps to the limits that {@link StateDecoder} checks. */
public final class StateEncoder {
    private static final int INITIAL_BYTES = 4096;

    private final List<Fd> descriptors = new ArrayList<>();
    private ByteBuffer out = ByteBuffer.allocate(INITIAL_BYTES).order(ByteOrder.LITTLE_ENDIAN);

    private StateEncoder() {
    }

    /**
     * What was written.
     *
     * @param bytes from position to limit, little-endian
     * @param descriptors in the order of their indices; they stay the items'
     */
    public record Encoded(ByteBuffer bytes, List<Fd> descriptors) { }

    /**
     * Writes.
     *
     * @param items what; it stays the caller's
     * @return bytes and descriptors
     * @throws StateTransferException it is over a limit
     */
    public static Encoded encode(StateItems items) throws StateTransferException {
        StateEncoder e = new StateEncoder();
        e.items(items);
        return new Encoded(e.out.flip(), List.copyOf(e.descriptors));
    }

    private void items(StateItems s) throws StateTransferException {
        section(StateLayout.HEAD, StateLayout.NEWEST, s.head());
        if (s.sections().size() > StateLayout.MAX_SECTIONS) {
            throw new StateTransferException(s.sections().size() + " sections, more than " + StateLayout.MAX_SECTIONS);
        }
        for (Section part : s.sections()) {
            section(StateLayout.SECTION, s.version(), part);
        }
        if (s.backend() != null) {
            backend(s.backend());
        }
        if (descriptors.size() > StateLayout.MAX_DESCRIPTORS) {
            throw new StateTransferException(descriptors.size() + " descriptors, more than " + StateLayout.MAX_DESCRIPTORS);
        }
    }

    private ByteBuffer room(int more) {
        if (out.remaining() < more) {
            out = ByteBuffer.allocate(Math.max(2 * out.capacity(), out.position() + more)).order(ByteOrder.LITTLE_ENDIAN).put(out.flip());
        }
        return out;
    }

    private int begin(int tag) {
        ByteBuffer b = room(StateLayout.ITEM_BYTES);
        int at = b.position();
        b.putShort((short) tag).putShort((short) StateLayout.CRITICAL).putInt(0);
        return at;
    }

    private void end(int at) {
        out.putInt(at + 4, out.position() - at - StateLayout.ITEM_BYTES);
    }

    private void backend(BackendState state) throws StateTransferException {
        int at = begin(StateLayout.BACKEND);
        byte[] type = name("backend state", state.type());
        ByteBuffer b = room(StateLayout.BACKEND_BYTES + type.length);
        b.putInt(state.version()).putShort((short) state.queues().size()).putShort((short) type.length).put(type);
        section(StateLayout.SECTION, state.version(), state.port());
        for (Section q : state.queues()) {
            section(StateLayout.SECTION, state.version(), q);
        }
        end(at);
    }

    private void section(int tag, int version, Section s) throws StateTransferException {
        int at = begin(tag);
        if (s.names().size() > StateLayout.MAX_FIELDS) {
            throw new StateTransferException("section " + s.name() + ": " + s.names().size() + " fields, more than "
                    + StateLayout.MAX_FIELDS);
        }
        if (version < 1 || version > 0xffff) {
            throw new StateTransferException("section " + s.name() + ": version " + version + " is not 1 to 65535");
        }
        byte[] name = name("section", s.name());
        ByteBuffer b = room(StateLayout.SECTION_BYTES + name.length);
        b.putShort((short) version).putShort((short) s.names().size()).putShort((short) name.length).putShort((short) 0).put(name);
        for (String field : s.names()) {
            field(s, field);
        }
        end(at);
    }

    private void field(Section s, String field) throws StateTransferException {
        byte[] name = name("section " + s.name() + ", field", field);
        int flags = s.optional(field) ? StateLayout.OPTIONAL : 0;
        switch (s.value(field)) {
            case Long n -> start(StateLayout.NUMBER, flags, name, 8).putLong(n);
            case Boolean f -> start(StateLayout.FLAG, flags, name, 1).put((byte) (f ? 1 : 0));
            case String t -> {
                byte[] text = t.getBytes(StandardCharsets.UTF_8);
                if (text.length > StateLayout.MAX_TEXT) {
                    throw new StateTransferException("section " + s.name() + ", field " + field + ": a text of " + text.length
                            + " bytes, more than "
                            + StateLayout.MAX_TEXT);
                }
                start(StateLayout.TEXT, flags, name, text.length).put(text);
            }
            case Fd fd -> {
                start(StateLayout.DESCRIPTOR, flags, name, 4).putInt(descriptors.size());
                descriptors.add(fd);
            }
            default -> throw new StateTransferException("section " + s.name() + ", field " + field + ": cannot be sent");
        }
    }

    private ByteBuffer start(int kind, int flags, byte[] name, int bytes) {
        ByteBuffer b = room(StateLayout.FIELD_BYTES + name.length + bytes);
        return b.put((byte) kind).put((byte) flags).putShort((short) name.length).putInt(bytes).put(name);
    }

    private static byte[] name(String what, String name) throws StateTransferException {
        if (name.isEmpty() || name.length() > StateLayout.MAX_NAME) {
            throw new StateTransferException(what + " \"" + name + "\": a name has 1 to " + StateLayout.MAX_NAME + " characters");
        }
        return name.getBytes(StandardCharsets.UTF_8);
    }
}
