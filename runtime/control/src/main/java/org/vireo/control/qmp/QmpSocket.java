// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import java.io.IOException;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;

/**
 * The listening socket at its path: nobody but its owner may connect, at no moment; a dead socket that lies there is replaced,
 * anything else is an error that names it; at the end the file is removed if it is still this one.
 */
final class QmpSocket implements AutoCloseable {
    private static final int LONGEST = 107;
    private static final int S_IFMT = 0170000;
    private static final int S_IFSOCK = 0140000;

    private volatile Path path;
    private final ServerSocketChannel channel;
    private final Object fileKey;

    private QmpSocket(Path path, ServerSocketChannel channel) throws IOException {
        this.path = path;
        this.channel = channel;
        this.fileKey = key(path);
    }

    /**
     * Binds and listens: clients may connect from now on, and wait until they are accepted.
     *
     * @param path where
     * @return the socket, which does not block
     * @throws IOException the path is taken, too long, or its folder cannot be written
     */
    static QmpSocket listen(Path path) throws IOException {
        int bytes = path.toString().getBytes(StandardCharsets.UTF_8).length;
        if (bytes > LONGEST || bytes == 0) {
            throw new IOException("the QMP socket's path must have 1 to " + LONGEST + " bytes, as UNIX sockets allow; this has " + bytes
                    + ": " + path);
        }
        Path folder = path.toAbsolutePath().getParent();
        if (folder == null || !Files.isDirectory(folder)) {
            throw new IOException("cannot listen on " + path + ": there is no folder " + folder);
        }
        if (!Files.isWritable(folder)) {
            throw new IOException("cannot listen on " + path + ": no permission to write in " + folder);
        }
        requireFree(path);
        ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            bind(channel, path, folder);
            channel.configureBlocking(false);
            return new QmpSocket(path, channel);
        } catch (IOException e) {
            channel.close();
            throw new IOException("cannot listen on " + path + ": " + e.getMessage(), e);
        }
    }

    /** Binds inside a folder of its own, so that no one can connect before the permissions are set, then moves into place. */
    private static void bind(ServerSocketChannel channel, Path path, Path folder) throws IOException {
        Path shelter = Files.createTempDirectory(folder, ".v");
        Path inside = shelter.resolve("q");
        try {
            if (inside.toString().getBytes(StandardCharsets.UTF_8).length <= LONGEST) {
                channel.bind(UnixDomainSocketAddress.of(inside), 64);
                Files.setPosixFilePermissions(inside, PosixFilePermissions.fromString("rw-------"));
                Files.move(inside, path, StandardCopyOption.ATOMIC_MOVE);
            } else {
                // too long for the detour: owner and mode are right a moment after the socket is there
                Files.deleteIfExists(path);
                channel.bind(UnixDomainSocketAddress.of(path), 64);
                Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            }
        } finally {
            Files.deleteIfExists(inside);
            Files.deleteIfExists(shelter);
        }
    }

    private static void requireFree(Path path) throws IOException {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        int mode = (int) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
        if ((mode & S_IFMT) != S_IFSOCK) {
            throw new IOException("cannot listen on " + path + ": what lies there is not a socket; remove it or choose another path");
        }
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            probe.connect(UnixDomainSocketAddress.of(path));
        } catch (SocketException e) {
            if (String.valueOf(e.getMessage()).contains("refused")) {
                return;
            }
            throw new IOException("cannot listen on " + path + ": it cannot be told whether the socket there is in use ("
                    + e.getMessage() + ")", e);
        }
        throw new IOException("cannot listen on " + path + ": another process listens there; stop it or choose another path");
    }

    ServerSocketChannel channel() {
        return channel;
    }

    Path path() {
        return path;
    }

    /** Is found elsewhere from now on, in place of what lies there; at no moment is there nothing. */
    void move(Path to) throws IOException {
        Files.move(path, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        path = to;
    }

    private static Object key(Path path) throws IOException {
        return Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).fileKey();
    }

    @Override
    public void close() throws IOException {
        channel.close();
        if (Files.exists(path, LinkOption.NOFOLLOW_LINKS) && key(path).equals(fileKey)) {
            Files.deleteIfExists(path);
        }
    }
}
