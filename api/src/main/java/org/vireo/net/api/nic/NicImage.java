// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api.nic;

import java.util.List;
import java.util.Optional;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Section;

/**
 * A NIC's state, or the sections of it that changed: plain values and descriptors. Immutable; owns its descriptors.
 */
public final class NicImage implements AutoCloseable {
    private final String nic;
    private final int version;
    private final long seq;
    private final List<Section> sections;
    private final BackendState backend;

    private NicImage(String nic, int version, long seq, List<Section> sections, BackendState backend) {
        this.nic = nic;
        this.version = version;
        this.seq = seq;
        this.sections = List.copyOf(sections);
        this.backend = backend;
    }

    /**
     * An image.
     *
     * @param nic the NIC's id
     * @param version version of the format, see {@link Nics#imageFormat()}
     * @param seq number of the session's state that it holds
     * @param sections the sections, each name once
     * @param backend the backend's state, or null
     * @return the image
     */
    public static NicImage of(String nic, int version, long seq, List<Section> sections, BackendState backend) {
        return new NicImage(nic, version, seq, sections, backend);
    }

    /**
     * The NIC's id.
     *
     * @return the id
     */
    public String nic() {
        return nic;
    }

    /**
     * Version of the format.
     *
     * @return at least 1
     */
    public int version() {
        return version;
    }

    /**
     * Number of the session's state: epoch in which its author owned (32 bits) and a counter (32 bits).
     *
     * @return the number
     */
    public long seq() {
        return seq;
    }

    /**
     * All sections.
     *
     * @return an unmodifiable list
     */
    public List<Section> sections() {
        return sections;
    }

    /**
     * A section.
     *
     * @param name its name
     * @return the section, if it is there
     */
    public Optional<Section> section(String name) {
        return sections.stream().filter(s -> s.name().equals(name)).findFirst();
    }

    /**
     * The backend's state.
     *
     * @return the state; empty if the NIC has no netdev or its state does not travel
     */
    public Optional<BackendState> backend() {
        return Optional.ofNullable(backend);
    }

    /** Closes its descriptors. */
    @Override
    public void close() {
        sections.forEach(Section::closeDescriptors);
        if (backend != null) {
            backend.close();
        }
    }

    @Override
    public String toString() {
        return nic + " seq " + Long.toHexString(seq) + " " + sections + (backend == null ? "" : " " + backend);
    }
}
