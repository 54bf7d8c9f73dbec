// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import org.vireo.net.api.Fd;
import org.vireo.vhostuser.InflightSpec;
import org.vireo.vhostuser.SplitInflightLayout;

/**
 * Memory that a VMM keeps for whoever serves its rings next: what was taken from the driver and not given back, a part for each ring
 * ("Inflight I/O tracking" in the vhost-user specification). The VMM may change or cut it off at any time.
 */
public final class InflightRegion {
    /** Most entries of a ring. */
    public static final int MOST_ENTRIES = 32768;
    private static final int ALIGNMENT = 8;

    private final InflightSpec spec;
    private final MappedFile mapped;

    private InflightRegion(InflightSpec spec, MappedFile mapped) {
        this.spec = spec;
        this.mapped = mapped;
    }

    /**
     * Maps it.
     *
     * @param spec what the VMM says of it
     * @param file its file, owned by the region from then on; closed if this throws
     * @param anyFileSystem whether it may lie on a file system other than tmpfs and hugetlbfs
     * @return the region
     * @throws InvalidMemoryException it cannot be used
     */
    public static InflightRegion map(InflightSpec spec, Fd file, boolean anyFileSystem) throws InvalidMemoryException {
        String what = text(spec);
        String wrong = wrong(spec);
        if (wrong != null) {
            file.close();
            throw new InvalidMemoryException(what + ": " + wrong);
        }
        return new InflightRegion(spec, MappedFile.map(what, file, spec.offset(), spec.size(), anyFileSystem));
    }

    private static String wrong(InflightSpec s) {
        if (s.queues() < 1) {
            return "it is for no ring";
        }
        if (s.queueSize() < 1 || s.queueSize() > MOST_ENTRIES) {
            return "rings have 1 to " + MOST_ENTRIES + " entries";
        }
        if (s.offset() < 0 || s.offset() % ALIGNMENT != 0 || s.offset() > Long.MAX_VALUE / 2) {
            return "its offset is out of range or not a multiple of " + ALIGNMENT;
        }
        // each ring's part has the same size, which peers compute from the number of entries and round up
        long least = s.queues() * SplitInflightLayout.bytes(s.queueSize());
        if (s.size() < least || s.size() > Long.MAX_VALUE / 2) {
            return "it has to have at least " + least + " bytes";
        }
        if (s.size() % s.queues() != 0 || s.size() / s.queues() % ALIGNMENT != 0) {
            return "its size is no whole number of parts, each a multiple of " + ALIGNMENT + " bytes";
        }
        return null;
    }

    private static String text(InflightSpec s) {
        return "in-flight memory of " + s.size() + " bytes at file offset " + s.offset() + " for " + s.queues() + " ring(s) of "
                + s.queueSize() + " entries";
    }

    /**
     * What the VMM said of it.
     *
     * @return the numbers
     */
    public InflightSpec spec() {
        return spec;
    }

    /**
     * The file.
     *
     * @return owned by the region
     */
    public Fd file() {
        return mapped.file();
    }

    /**
     * Where a ring's part is mapped.
     *
     * @param ring its number, less than the spec's queues
     * @return an address
     */
    public long at(int ring) {
        return mapped.host() + ring * stride();
    }

    /**
     * Bytes of each ring's part.
     *
     * @return a multiple of 8
     */
    public long stride() {
        return spec.size() / spec.queues();
    }

    /**
     * Whether the file still reaches over the whole region.
     *
     * @return false if it was truncated: accesses fault
     */
    public boolean intact() {
        return mapped.intact();
    }

    /** Unmaps it and closes its file. No ring uses it. */
    public void close() {
        mapped.close();
    }

    @Override
    public String toString() {
        return text(spec);
    }
}
