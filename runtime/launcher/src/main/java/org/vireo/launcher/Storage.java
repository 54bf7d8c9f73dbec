// SPDX-License-Identifier: Apache-2.0
package org.vireo.launcher;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The framework's own files: a folder for this process alone, removed at its end. A process that was killed cannot do that, so the
 * next one removes it; a lock tells whether its owner lives, also across pid namespaces.
 */
final class Storage implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Storage.class);
    private static final String LOCK = "lock";

    private final Path folder;
    private final FileChannel lock;

    private Storage(Path folder, FileChannel lock) {
        this.folder = folder;
        this.lock = lock;
    }

    /**
     * Makes the folder.
     *
     * @return the storage
     * @throws IOException it cannot be made
     */
    static Storage create() throws IOException {
        String runtime = System.getenv("XDG_RUNTIME_DIR");
        Path base = runtime != null && Files.isWritable(Path.of(runtime)) ? Path.of(runtime, "vireo")
                : Path.of(System.getProperty("java.io.tmpdir"), "vireo-" + Files.getAttribute(Path.of("/proc/self"), "unix:uid"));
        own(base);
        removeDead(base);
        Path folder = Files.createTempDirectory(base, ProcessHandle.current().pid() + "-");
        FileChannel lock = lock(folder);
        if (lock == null) {
            throw new IOException("the folder " + folder + " that was just made is in use by another process");
        }
        return new Storage(folder, lock);
    }

    private static void own(Path base) throws IOException {
        if (!Files.isDirectory(base, LinkOption.NOFOLLOW_LINKS)) {
            Files.createDirectory(base, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        }
        Object uid = Files.getAttribute(Path.of("/proc/self"), "unix:uid");
        Object owner = Files.getAttribute(base, "unix:uid", LinkOption.NOFOLLOW_LINKS);
        int mode = (int) Files.getAttribute(base, "unix:mode", LinkOption.NOFOLLOW_LINKS) & 0777;
        if (!owner.equals(uid) || (mode & 0022) != 0) {
            throw new IOException(base + " belongs to user " + owner + " with mode " + Integer.toOctalString(mode)
                    + "; remove it, it has to belong to this user alone");
        }
    }

    private static FileChannel lock(Path folder) throws IOException {
        FileChannel c = FileChannel.open(folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock l = c.tryLock();
        if (l == null) {
            c.close();
            return null;
        }
        return c;
    }

    private static void removeDead(Path base) {
        try (DirectoryStream<Path> folders = Files.newDirectoryStream(base)) {
            for (Path f : folders) {
                // without its lock file a folder is one that another process is making just now
                if (Files.exists(f.resolve(LOCK)) && lock(f) instanceof FileChannel c) {
                    try (c) {
                        remove(f);
                    }
                }
            }
        } catch (IOException | UncheckedIOException e) {
            LOG.debug("remains of earlier processes stay: {}", e.getMessage());
        }
    }

    private static void remove(Path folder) throws IOException {
        List<Path> all;
        try (Stream<Path> files = Files.walk(folder)) {
            all = files.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path p : all) {
            Files.deleteIfExists(p);
        }
    }

    Path folder() {
        return folder;
    }

    @Override
    public void close() {
        try (lock) {
            remove(folder);
        } catch (IOException | UncheckedIOException e) {
            LOG.warn("{} stays: {}", folder, e.getMessage());
        }
    }
}
