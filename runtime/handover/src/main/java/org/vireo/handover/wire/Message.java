// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover.wire;

import java.nio.ByteBuffer;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.net.api.wire.StateDecoder;
import org.vireo.net.api.wire.StateEncoder;
import org.vireo.net.api.wire.StateItems;
import org.vireo.net.api.wire.StateLayout;

/**
 * A record's content: its own fields and, where it carries a NIC, the NIC's sections. Immutable; owns its descriptors if it was
 * received, until {@link #image()} passes them on.
 */
public final class Message implements AutoCloseable {
    private static final String NIC = "nic";
    private static final String SEQ = "seq";
    private static final String VERSION = "version";

    private final RecordType type;
    private final Section head;
    private final int version;
    private final List<Section> sections;
    private final BackendState backend;

    Message(RecordType type, Section head, int version, List<Section> sections, BackendState backend) {
        this.type = type;
        this.head = head;
        this.version = version;
        this.sections = sections;
        this.backend = backend;
    }

    /**
     * A record of fields only.
     *
     * @param type its type
     * @param head its fields
     * @return the message
     */
    public static Message of(RecordType type, Section head) {
        return new Message(type, head, StateLayout.NEWEST, List.of(), null);
    }

    /**
     * A record of fields and sections.
     *
     * @param type its type
     * @param head its fields
     * @param sections more
     * @return the message
     */
    public static Message of(RecordType type, Section head, List<Section> sections) {
        return new Message(type, head, StateLayout.NEWEST, List.copyOf(sections), null);
    }

    /**
     * A record about one NIC.
     *
     * @param type its type
     * @param nic the NIC's id
     * @return a builder of its fields, to be given to {@link #of(RecordType, Section)}
     */
    public static Section.Builder about(RecordType type, String nic) {
        return Section.builder(type.name()).text(NIC, nic);
    }

    /**
     * A record that carries a NIC.
     *
     * @param type PREPARE or CHANGE
     * @param image the NIC; stays the caller's
     * @return the message
     */
    public static Message of(RecordType type, NicImage image) {
        Section head = about(type, image.nic()).number(VERSION, image.version()).number(SEQ, image.seq()).build();
        return new Message(type, head, image.version(), image.sections(), image.backend().orElse(null));
    }

    /**
     * Its payload.
     *
     * @return bytes, and descriptors, which stay the message's
     * @throws WireException it is over a limit
     */
    StateEncoder.Encoded encode() throws WireException {
        try {
            return StateEncoder.encode(new StateItems(head, version, sections, backend));
        } catch (StateTransferException e) {
            throw new WireException(e.getMessage(), e);
        }
    }

    /**
     * Reads a payload. Nothing in it is trusted.
     *
     * @param type the record's type
     * @param in the payload, from position to limit
     * @param descriptors the record's; the message owns them afterwards. If this throws they are closed
     * @return the message
     * @throws WireException a rule is broken
     */
    static Message decode(RecordType type, ByteBuffer in, List<Fd> descriptors) throws WireException {
        try {
            StateItems s = StateDecoder.decode(in, type.fields(), descriptors);
            return new Message(type, s.head(), s.version(), s.sections(), s.backend());
        } catch (StateTransferException e) {
            throw new WireException(type + " record: " + e.getMessage(), e);
        }
    }

    /**
     * Its type.
     *
     * @return the type
     */
    public RecordType type() {
        return type;
    }

    /**
     * Its own fields.
     *
     * @return the section
     */
    public Section head() {
        return head;
    }

    /**
     * Version of the sections.
     *
     * @return at least 1
     */
    int version() {
        return version;
    }

    /**
     * The sections beside its own fields.
     *
     * @return an unmodifiable list
     */
    public List<Section> sections() {
        return sections;
    }

    /**
     * The backend's state.
     *
     * @return the state, or null
     */
    BackendState backend() {
        return backend;
    }

    /**
     * The NIC that it is about.
     *
     * @return its id, empty if it is about all
     * @throws WireException it names none
     */
    public String nic() throws WireException {
        return text(NIC);
    }

    /**
     * A number of its own fields.
     *
     * @param field its name
     * @return the value
     * @throws WireException it is missing or of another kind
     */
    public long number(String field) throws WireException {
        try {
            return head.number(field);
        } catch (StateTransferException e) {
            throw new WireException(type + " record: " + e.getMessage(), e);
        }
    }

    /**
     * A text of its own fields.
     *
     * @param field its name
     * @return the value
     * @throws WireException it is missing or of another kind
     */
    public String text(String field) throws WireException {
        try {
            return head.text(field);
        } catch (StateTransferException e) {
            throw new WireException(type + " record: " + e.getMessage(), e);
        }
    }

    /**
     * A flag of its own fields.
     *
     * @param field its name
     * @return the value
     * @throws WireException it is missing or of another kind
     */
    public boolean flag(String field) throws WireException {
        try {
            return head.flag(field);
        } catch (StateTransferException e) {
            throw new WireException(type + " record: " + e.getMessage(), e);
        }
    }

    /**
     * The NIC that it carries.
     *
     * @return the image, which owns the descriptors from now on
     * @throws WireException it carries none
     */
    public NicImage image() throws WireException {
        long v = number(VERSION);
        if (v != version) {
            throw new WireException(type + " record of NIC " + nic() + ": it says version " + v + ", its sections version " + version);
        }
        return NicImage.of(nic(), version, number(SEQ), sections, backend);
    }

    /** Closes its descriptors. */
    @Override
    public void close() {
        head.closeDescriptors();
        sections.forEach(Section::closeDescriptors);
        if (backend != null) {
            backend.close();
        }
    }

    @Override
    public String toString() {
        return type + " " + head;
    }
}
