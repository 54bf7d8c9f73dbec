// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.memory;

import java.io.IOException;
import java.util.concurrent.atomic.AtomicInteger;
import org.vireo.net.api.Fd;
import org.vireo.posix.linux.SharedMemory;

/**
 * A region of guest memory, mapped. Shared by the tables that contain it and unmapped when the last of them lets go: a VMM that adds
 * one region leaves the mappings of the others alone.
 */
public final class MappedRegion {
    private static final long MAX_ADDRESS = 1L << 62;

    private final Spec spec;
    private final MappedFile mapped;
    private final AtomicInteger users = new AtomicInteger(1);

    /**
     * What a VMM says of a region.
     *
     * @param guest guest physical address
     * @param bytes length
     * @param user address in the VMM
     * @param offset where it begins in its file
     */
    public record Spec(long guest, long bytes, long user, long offset) {
        @Override
        public String toString() {
            return "region at guest address 0x" + Long.toHexString(guest) + ", 0x" + Long.toHexString(bytes) + " bytes, VMM address 0x"
                    + Long.toHexString(user) + ", file offset 0x" + Long.toHexString(offset);
        }
    }

    private MappedRegion(Spec spec, MappedFile mapped) {
        this.spec = spec;
        this.mapped = mapped;
    }

    /**
     * Maps a region.
     *
     * @param spec where it is
     * @param file its file, owned by the region from then on; closed if this throws
     * @param anyFileSystem whether memory may lie on a file system other than tmpfs and hugetlbfs, where an access can block
     * @return the region, with one user
     * @throws InvalidMemoryException it cannot be used
     */
    public static MappedRegion map(Spec spec, Fd file, boolean anyFileSystem) throws InvalidMemoryException {
        try {
            checkNumbers(spec);
        } catch (InvalidMemoryException e) {
            file.close();
            throw e;
        }
        return new MappedRegion(spec, MappedFile.map(spec, file, spec.offset, spec.bytes, anyFileSystem));
    }

    private static void checkNumbers(Spec s) throws InvalidMemoryException {
        if (s.bytes <= 0 || s.guest < 0 || s.offset < 0 || s.bytes > MAX_ADDRESS || s.guest > MAX_ADDRESS || s.offset > MAX_ADDRESS) {
            throw new InvalidMemoryException(s + ": out of range");
        }
        if (Long.compareUnsigned(s.user + s.bytes, s.user) <= 0) {
            throw new InvalidMemoryException(s + ": VMM address and length overflow");
        }
    }

    /**
     * What the VMM said.
     *
     * @return the numbers
     */
    public Spec spec() {
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
     * Where the region's first byte is mapped.
     *
     * @return an address
     */
    public long host() {
        return mapped.host();
    }

    /**
     * Whether the file still reaches over the whole region.
     *
     * @return false if it was truncated: accesses fault
     */
    public boolean intact() {
        return mapped.intact();
    }

    /** Whether it is this very part of this very file. */
    boolean is(Spec other, Fd file) {
        try {
            return spec.equals(other) && SharedMemory.isSameFile(mapped.file(), file);
        } catch (IOException e) {
            return false;
        }
    }

    boolean overlaps(MappedRegion o) {
        return spec.guest < o.spec.guest + o.spec.bytes && o.spec.guest < spec.guest + spec.bytes
                || Long.compareUnsigned(spec.user, o.spec.user + o.spec.bytes) < 0
                && Long.compareUnsigned(o.spec.user, spec.user + spec.bytes) < 0;
    }

    MappedRegion use() {
        users.incrementAndGet();
        return this;
    }

    /** One user less: the last one unmaps it and closes its file. */
    public void release() {
        if (users.decrementAndGet() == 0) {
            mapped.close();
        }
    }

    void unload() {
        SharedMemory.unload(mapped.mapping(), mapped.mappedBytes());
    }

    void revoke() throws IOException {
        SharedMemory.revoke(mapped.mapping(), mapped.mappedBytes());
    }
}
