// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.osgi.framework.Bundle;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;

/**
 * A folder of backends' bundles that is watched: what is in it is installed. A file counts when it has not changed for a second, by its
 * content and not by its time; it is copied away, looked at and installed beside what it replaces, which is removed when no netdev is
 * served by it any more. If that does not come about the new one is removed, and the file is refused until its content changes. One thread.
 */
final class BackendFolder implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(BackendFolder.class);
    private static final long LOOK_MILLIS = 500;
    /** Looks at which a file has been the same. */
    private static final int STEADY = 2;
    /** One that is not whole may still be written, by somebody who is slow. */
    private static final int STEADY_BROKEN = 10;
    private static final long LARGEST = 64 << 20;
    /** In the place of a content. */
    private static final String TOO_LARGE = "too large";
    private static final long SWAP_MILLIS = 20_000;
    /** They take turns with their rehearsals. */
    private static final long SWAP_EACH_MILLIS = 5_000;
    private static final long SWAP_LOOK_MILLIS = 250;
    private static final long TRIAL_MILLIS = 1_200;

    private final Path folder;
    private final BackendInstaller installer;
    private final Supplier<List<NetdevStatus>> netdevs;
    private final BiConsumer<String, Map<String, ?>> events;
    private final Map<String, Entry> entries = new TreeMap<>();
    private final CountDownLatch end = new CountDownLatch(1);
    private boolean gone;
    /** The folder's identity when it was last looked at. */
    private Object key;

    /** What a file looks like from outside. */
    private record Look(long size, long modified, Object key) { }

    /** A file of the folder. */
    private static final class Entry {
        private Look look;
        private int steady;
        /** Looks at which it was not there. */
        private int missing;
        /** Of what is installed, or was refused; null: neither yet. */
        private String content;
        private Bundle bundle;
    }

    /**
     * A folder, not looked at yet.
     *
     * @param folder where the bundles are
     * @param installer installs them
     * @param netdevs tells who serves
     * @param events told of what is installed and refused
     */
    BackendFolder(Path folder, BackendInstaller installer, Supplier<List<NetdevStatus>> netdevs,
            BiConsumer<String, Map<String, ?>> events) {
        this.folder = folder;
        this.installer = installer;
        this.netdevs = netdevs;
        this.events = events;
    }

    /**
     * Installs what is there, and watches from then on.
     *
     * @throws IOException it is no folder
     */
    void begin() throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + ": is no folder; make it before, with the bundles of backends in it");
        }
        look(true);
        Thread.ofPlatform().daemon().name("backend-folder").start(() -> {
            while (!endsWithin(LOOK_MILLIS)) {
                lookSafely();
            }
        });
    }

    /** Whatever a bundle's code does: the folder is looked at again. */
    private void lookSafely() {
        try {
            look(false);
        } catch (RuntimeException | LinkageError e) {
            LOG.error("backends folder {}", folder, e);
        }
    }

    private void look(boolean first) {
        Map<String, Look> there;
        try {
            there = list();
            Object now = Files.readAttributes(folder, BasicFileAttributes.class).fileKey();
            if (there.isEmpty() && !entries.isEmpty() && !Objects.equals(now, key)) {
                throw new IOException("it is another one, with nothing in it, as where a mount has gone");
            }
            key = now;
        } catch (IOException | DirectoryIteratorException e) {
            if (!gone) {
                LOG.warn("backends folder {} cannot be read: {}; what is installed stays", folder, e.toString());
            }
            gone = true;
            return;
        }
        if (gone) {
            gone = false;
            LOG.info("backends folder {} is there again", folder);
        }
        for (String name : new ArrayList<>(entries.keySet())) {
            // one that is replaced may be away for a moment
            if (!there.containsKey(name) && ++entries.get(name).missing > STEADY) {
                removed(name, entries.remove(name));
            }
        }
        there.forEach((name, look) -> {
            Entry e = entries.computeIfAbsent(name, n -> new Entry());
            e.missing = 0;
            e.steady = look.equals(e.look) ? e.steady + 1 : first ? STEADY_BROKEN : 0;
            e.look = look;
            if (e.steady == STEADY || e.steady == STEADY_BROKEN) {
                settled(name, e);
            }
        });
    }

    /** Jars of the folder itself; what begins with a dot is some program's own. */
    private Map<String, Look> list() throws IOException {
        Map<String, Look> found = new HashMap<>();
        try (var all = Files.newDirectoryStream(folder, "*.jar")) {
            for (Path p : all) {
                String name = p.getFileName().toString();
                if (name.startsWith(".")) {
                    continue;
                }
                try {
                    BasicFileAttributes a = Files.readAttributes(p, BasicFileAttributes.class);
                    if (a.isRegularFile()) {
                        found.put(name, new Look(a.size(), a.lastModifiedTime().toMillis(), a.fileKey()));
                    }
                } catch (NoSuchFileException e) {
                    // it has just gone, or is a link to nowhere
                    LOG.debug("{}", p, e);
                }
            }
        }
        return found;
    }

    private void settled(String name, Entry e) {
        Path path = folder.resolve(name);
        Path copy = null;
        try {
            if (e.look.size > LARGEST) {
                if (!TOO_LARGE.equals(e.content)) {
                    e.content = TOO_LARGE;
                    refuse(path, "is larger than any backend (" + e.look.size / 1_000_000 + " MB)");
                }
                return;
            }
            copy = Files.createTempFile("vireo-backend", ".jar");
            Files.copy(path, copy, StandardCopyOption.REPLACE_EXISTING);
            String content = digest(copy);
            if (content.equals(e.content)) {
                return;
            }
            take(path, copy, content, e);
        } catch (IOException x) {
            LOG.warn("{}: cannot be read: {}", path, x.toString());
        } finally {
            delete(copy);
        }
    }

    private void take(Path path, Path copy, String content, Entry e) {
        try {
            BackendJar jar;
            try {
                jar = BackendJar.of(copy, path);
            } catch (NicException x) {
                if (e.steady < STEADY_BROKEN) {
                    return;
                }
                throw x;
            }
            for (Map.Entry<String, Entry> other : entries.entrySet()) {
                if (other.getValue() != e && other.getValue().bundle != null && content.equals(other.getValue().content)) {
                    throw new NicException(path + ": is the same as " + other.getKey());
                }
            }
            e.content = content;
            Bundle former = e.bundle;
            Bundle b = installer.installBeside(jar);
            if (former != null) {
                retire(path, former, b);
            }
            e.bundle = b;
            LOG.info("{}: backend {} {} is installed", path, b.getSymbolicName(), b.getVersion());
            events.accept("BACKEND_INSTALLED", Map.of("file", path.toString(), "bundle", b.getSymbolicName(), "version",
                    b.getVersion().toString(), "id", b.getBundleId()));
        } catch (NicException | RuntimeException | LinkageError x) {
            e.content = content;
            String why = x instanceof NicException ? x.getMessage() : x.toString();
            refuse(path, why.startsWith(path + ": ") ? why.substring(path.toString().length() + 2) : why);
        }
    }

    private void refuse(Path path, String why) {
        LOG.warn("{}: {}", path, why);
        events.accept("BACKEND_REFUSED", Map.of("file", path.toString(), "reason", why));
    }

    /** The former one goes when nobody is served by it any more; else the new one, if nobody is served by that. */
    private void retire(Path path, Bundle former, Bundle b) throws NicException {
        if (b.getVersion().compareTo(former.getVersion()) < 0) {
            LOG.info("{}: {} is older than {}, which goes first", path, b.getVersion(), former.getVersion());
            installer.uninstall(former);
            return;
        }
        List<String> served = served(former);
        long deadline = System.nanoTime() + (SWAP_MILLIS + served.size() * SWAP_EACH_MILLIS) * 1_000_000;
        while (!served.isEmpty() && System.nanoTime() - deadline < 0 && !endsWithin(SWAP_LOOK_MILLIS)) {
            served = served(former);
        }
        if (served.isEmpty()) {
            // the new one may still be on trial
            endsWithin(TRIAL_MILLIS);
            served = served(former);
        }
        if (served.isEmpty()) {
            installer.uninstall(former);
            return;
        }
        String why = path + ": " + b.getSymbolicName() + " " + b.getVersion() + " does not replace " + former.getVersion()
                + ", which goes on (netdev " + String.join(", ", served) + "); the log says why";
        if (!served(b).isEmpty()) {
            LOG.warn("{}; both stay, since it serves others (netdev {})", why, String.join(", ", served(b)));
            return;
        }
        installer.uninstall(b);
        throw new NicException(why);
    }

    private List<String> served(Bundle by) {
        return netdevs.get().stream().filter(n -> n.bundleId() == by.getBundleId() && !n.nic().isEmpty()).map(NetdevStatus::id).toList();
    }

    private void removed(String name, Entry e) {
        if (e.bundle != null) {
            LOG.info("{}: has been removed, and so is backend {} {}", folder.resolve(name), e.bundle.getSymbolicName(),
                    e.bundle.getVersion());
            installer.uninstall(e.bundle);
        }
    }

    private static String digest(Path p) throws IOException {
        try (DigestInputStream in = new DigestInputStream(Files.newInputStream(p), MessageDigest.getInstance("SHA-256"))) {
            in.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(in.getMessageDigest().digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private static void delete(Path p) {
        try {
            if (p != null) {
                Files.deleteIfExists(p);
            }
        } catch (IOException e) {
            LOG.debug("{}", p, e);
        }
    }

    private boolean endsWithin(long millis) {
        try {
            return end.await(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true;
        }
    }

    /** Watches no more; what is installed stays. */
    @Override
    public void close() {
        end.countDown();
    }
}
