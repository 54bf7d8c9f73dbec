// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.util.List;
import java.util.Objects;

/**
 * A live port's state: plain values and descriptors, no class of any bundle, so that another bundle, version or process can read
 * it. Immutable; owns its descriptors, and who got it closes it.
 */
public final class BackendState implements AutoCloseable {
    /** Most queue pairs. */
    public static final int MAX_QUEUES = 256;
    /** Most bytes of values. */
    public static final int MAX_BYTES = 64 * 1024;

    private final String type;
    private final int version;
    private final Section port;
    private final List<Section> queues;

    private BackendState(String type, int version, Section port, List<Section> queues) {
        this.type = type;
        this.version = version;
        this.port = port;
        this.queues = queues;
    }

    /**
     * A state. It owns the descriptors of its sections, also if this throws: then they are closed.
     *
     * @param type its name, as in {@link StateFormat#type()}
     * @param version its version
     * @param port what concerns the whole port
     * @param queues a section for each queue pair, at least one
     * @return the state
     * @throws StateTransferException it is over a limit
     */
    public static BackendState of(String type, int version, Section port, List<Section> queues) throws StateTransferException {
        BackendState s = new BackendState(Objects.requireNonNull(type), version, Objects.requireNonNull(port), List.copyOf(queues));
        String wrong = s.overLimit();
        if (wrong != null) {
            s.close();
            throw new StateTransferException("state " + type + " version " + version + ": " + wrong);
        }
        return s;
    }

    private String overLimit() {
        if (type.isEmpty() || type.length() > 64) {
            return "its name is not of 1 to 64 characters";
        }
        if (version < 1) {
            return "versions begin at 1";
        }
        if (queues.isEmpty() || queues.size() > MAX_QUEUES) {
            return queues.size() + " queue sections, not 1 to " + MAX_QUEUES;
        }
        long n = port.size();
        for (Section q : queues) {
            n += q.size();
        }
        return n > MAX_BYTES ? n + " bytes, more than " + MAX_BYTES : null;
    }

    /**
     * The state's name.
     *
     * @return the name
     */
    public String type() {
        return type;
    }

    /**
     * The state's version.
     *
     * @return at least 1
     */
    public int version() {
        return version;
    }

    /**
     * What concerns the whole port.
     *
     * @return the section
     */
    public Section port() {
        return port;
    }

    /**
     * A section for each queue pair.
     *
     * @return an unmodifiable list
     */
    public List<Section> queues() {
        return queues;
    }

    /** Closes its descriptors. */
    @Override
    public void close() {
        port.closeDescriptors();
        queues.forEach(Section::closeDescriptors);
    }

    @Override
    public String toString() {
        return type + " version " + version + " " + port + " " + queues;
    }
}
