// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.PosixException;
import org.vireo.posix.internal.Native;

/**
 * Memory that processes share (memfd_create(2), mmap(2)). Mappings have no arena: they live until {@link #unmap}, which does not
 * wait for anybody.
 */
public final class SharedMemory {
    /** fstatfs(2) f_type: tmpfs, which memfd and /dev/shm are. */
    public static final long TMPFS = 0x01021994L;
    /** fstatfs(2) f_type: hugetlbfs. */
    public static final long HUGETLBFS = 0x958458f6L;

    /** Offsets in struct statfs. */
    private static final long F_TYPE = 0;
    private static final long F_BSIZE = 8;
    private static final int MFD_CLOEXEC = 1;
    private static final int MFD_ALLOW_SEALING = 2;
    private static final int F_ADD_SEALS = 1033;
    private static final int F_GET_SEALS = 1034;
    private static final int SEAL_SEAL_SHRINK_GROW = 1 | 2 | 4;
    private static final int PROT_READ_WRITE = 3;
    private static final int MAP_SHARED = 1;
    private static final int MADV_DONTNEED = 4;
    private static final int MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE = 2 | 0x10 | 0x20 | 0x4000;

    private static final MethodHandle MEMFD = Native.intFunction("memfd_create", 2, -1);
    private static final MethodHandle TRUNCATE = Native.intFunction("ftruncate", 2, -1);
    private static final MethodHandle FCNTL = Native.intFunction("fcntl", 3, 2);
    private static final MethodHandle MMAP = Native.longFunction("mmap", 6);
    private static final MethodHandle MUNMAP = Native.intFunction("munmap", 2, -1);
    private static final MethodHandle MADVISE = Native.intFunction("madvise", 3, -1);
    private static final MethodHandle FSTATFS = Native.intFunction("fstatfs", 2, -1);

    private SharedMemory() {
    }

    /**
     * Makes a memory file.
     *
     * @param fds makes the descriptor
     * @param name shown in /proc
     * @param bytes its size
     * @param sealed whether its size is fixed for ever
     * @return the descriptor
     * @throws IOException no descriptor or memory left
     */
    public static Fd create(Fds fds, String name, long bytes, boolean sealed) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            int n = (int) MEMFD.invokeExact(s, a.allocateFrom(name).address(), (long) (MFD_CLOEXEC | MFD_ALLOW_SEALING));
            if (n < 0) {
                throw new PosixException("memfd_create " + name, Native.errno(s));
            }
            Fd fd = fds.adopt(n, name);
            try {
                resize(fd, bytes);
                if (sealed && (int) FCNTL.invokeExact(s, (long) n, (long) F_ADD_SEALS, (long) SEAL_SEAL_SHRINK_GROW) < 0) {
                    throw new PosixException("seal " + name, Native.errno(s));
                }
            } catch (IOException e) {
                fd.close();
                throw e;
            }
            return fd;
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Changes a file's size.
     *
     * @param fd the file
     * @param bytes the new size
     * @throws IOException it is sealed, or there is no space
     */
    public static void resize(Fd fd, long bytes) throws IOException {
        MemorySegment s = Native.state();
        try {
            if ((int) TRUNCATE.invokeExact(s, (long) fd.number(), bytes) < 0) {
                throw new PosixException("ftruncate " + fd + " to " + bytes, Native.errno(s));
            }
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Whether a file can neither shrink nor grow any more.
     *
     * @param fd the file
     * @return whether
     */
    public static boolean isSealed(Fd fd) {
        MemorySegment s = Native.state();
        try {
            int seals = (int) FCNTL.invokeExact(s, (long) fd.number(), (long) F_GET_SEALS, 0L);
            return seals >= 0 && (seals & SEAL_SEAL_SHRINK_GROW) == SEAL_SEAL_SHRINK_GROW;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Maps a part of a file for reading and writing, shared.
     *
     * @param fd the file
     * @param offset where, a multiple of the page size
     * @param bytes how much
     * @return the address
     * @throws IOException it cannot be mapped: {@code EACCES} for a file that is open for reading only
     */
    public static long map(Fd fd, long offset, long bytes) throws IOException {
        return map(0, bytes, MAP_SHARED, fd.number(), offset, fd.toString());
    }

    /**
     * Replaces a mapping by empty private memory, so that a late access harms nobody.
     *
     * @param address of the mapping
     * @param bytes its length
     * @throws IOException the kernel refused
     */
    public static void revoke(long address, long bytes) throws IOException {
        map(address, bytes, MAP_PRIVATE_FIXED_ANONYMOUS_NORESERVE, -1, 0, "revoked memory");
    }

    private static long map(long at, long bytes, int flags, int fd, long offset, String what) throws IOException {
        MemorySegment s = Native.state();
        try {
            long a = (long) MMAP.invokeExact(s, at, bytes, (long) PROT_READ_WRITE, (long) flags, (long) fd, offset);
            if (a == -1) {
                throw new PosixException("map " + bytes + " bytes at offset " + offset + " of " + what, Native.errno(s));
            }
            return a;
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Ends a mapping.
     *
     * @param address of the mapping
     * @param bytes its length
     */
    public static void unmap(long address, long bytes) {
        MemorySegment s = Native.state();
        try {
            int ignored = (int) MUNMAP.invokeExact(s, address, bytes);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * Takes a mapping of a file out of this process's page table; its content stays, and comes back page by page when it is touched. What
     * is not in the table need not be taken out of it when the process dies.
     *
     * @param address of the mapping
     * @param bytes its length
     */
    public static void unload(long address, long bytes) {
        MemorySegment s = Native.state();
        try {
            int ignored = (int) MADVISE.invokeExact(s, address, bytes, (long) MADV_DONTNEED);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * How much memory of files in memory this process has in its page table.
     *
     * @return bytes; 0 if the kernel does not tell
     */
    public static long loaded() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("RssShmem:")) {
                    return Long.parseLong(line.substring(9).replace("kB", "").strip()) * 1024;
                }
            }
        } catch (IOException e) {
            return 0;
        }
        return 0;
    }

    /**
     * Size of a file.
     *
     * @param fd the file
     * @return bytes
     * @throws IOException it has none
     */
    public static long size(Fd fd) throws IOException {
        return Files.size(Path.of("/proc/self/fd/" + fd.number()));
    }

    /**
     * Whether two descriptors are of one file, opened together or not.
     *
     * @param a a descriptor
     * @param b another one
     * @return whether they have the same device and inode (stat(2))
     * @throws IOException one of them cannot be looked at
     */
    public static boolean isSameFile(Fd a, Fd b) throws IOException {
        return Files.isSameFile(Path.of("/proc/self/fd/" + a.number()), Path.of("/proc/self/fd/" + b.number()));
    }

    /**
     * Kind of the file system that a file is on.
     *
     * @param fd the file
     * @return f_type of fstatfs(2)
     * @throws IOException it is on none
     */
    public static long fileSystem(Fd fd) throws IOException {
        return statfs(fd, F_TYPE);
    }

    /**
     * Page size of the file system, for hugetlbfs the huge page's.
     *
     * @param fd the file
     * @return bytes
     * @throws IOException it is on none
     */
    public static long blockSize(Fd fd) throws IOException {
        return statfs(fd, F_BSIZE);
    }

    private static long statfs(Fd fd, long field) throws IOException {
        MemorySegment s = Native.state();
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(256, 8);
            if ((int) FSTATFS.invokeExact(s, (long) fd.number(), m.address()) < 0) {
                throw new PosixException("fstatfs " + fd, Native.errno(s));
            }
            return m.get(ValueLayout.JAVA_LONG, field);
        } catch (IOException e) {
            throw e;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }

    /**
     * All of the address space, to read and write mapped memory at its addresses. Bounds are the caller's.
     *
     * @return a segment that begins at address 0
     */
    public static MemorySegment addressSpace() {
        return Native.MEMORY;
    }
}
