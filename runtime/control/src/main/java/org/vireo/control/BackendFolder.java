// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import org.osgi.framework.Bundle;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.NicException;

/**
 * A folder of backends' bundles that is watched: what is in it is installed. A file counts by its content and not by its time; it is copied
 * away, looked at and installed beside what it replaces, which is removed when no netdev is served by it any more. If that does not come
 * about the new one is removed, and the file is refused until its content changes. One thread.
 */
final class BackendFolder implements WatchedFolder.Follower, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(BackendFolder.class);
    private static final long LARGEST = 64 << 20;
    private static final long SWAP_MILLIS = 20_000;
    /** They take turns with their rehearsals. */
    private static final long SWAP_EACH_MILLIS = 5_000;
    private static final long SWAP_LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(250);
    private static final long TRIAL_NANOS = TimeUnit.MILLISECONDS.toNanos(1_200);

    private final WatchedFolder watched;
    private final BackendInstaller installer;
    private final Supplier<List<NetdevStatus>> netdevs;
    private final BiConsumer<String, Map<String, ?>> events;
    private final Map<Path, Entry> entries = new TreeMap<>();

    /** What became of a file of the folder. */
    private static final class Entry {
        /** Of what is installed, or was refused; null: neither yet. */
        private String content;
        /** Why it could not be looked at, when that was said last. */
        private String unread = "";
        private Bundle bundle;
        /** Of contents before, by which netdevs are served that the new one cannot serve. */
        private final List<Bundle> former = new ArrayList<>();
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
        this.installer = installer;
        this.netdevs = netdevs;
        this.events = events;
        watched = new WatchedFolder(folder, "backends folder", LOG, this, System::nanoTime);
    }

    /**
     * Installs what is there, and watches from then on.
     *
     * @throws IOException it is no folder
     */
    void begin() throws IOException {
        watched.begin("the bundles of backends");
        watched.watch("backend-folder");
    }

    @Override
    public boolean wants(String file) {
        return file.endsWith(".jar");
    }

    @Override
    public void settled(Path path, boolean forLong) {
        Entry e = entries.computeIfAbsent(path, p -> new Entry());
        Path copy = null;
        try {
            long size = Files.size(path);
            if (size > LARGEST) {
                unread(path, e, "has " + size / 1_000_000 + " MB, more than any backend: at most " + LARGEST / 1_000_000);
                return;
            }
            copy = Files.createTempFile("vireo-backend", ".jar");
            Files.copy(path, copy, StandardCopyOption.REPLACE_EXISTING);
            String content = WatchedFolder.digest(Files.newInputStream(copy));
            e.unread = "";
            if (content.equals(e.content)) {
                return;
            }
            take(path, copy, content, e, forLong);
        } catch (IOException x) {
            unread(path, e, "cannot be read: " + x);
        } finally {
            delete(copy);
        }
    }

    private void take(Path path, Path copy, String content, Entry e, boolean forLong) {
        try {
            BackendJar jar;
            try {
                jar = BackendJar.of(copy, path);
            } catch (NicException x) {
                if (!forLong) {
                    return;
                }
                throw x;
            }
            for (Map.Entry<Path, Entry> other : entries.entrySet()) {
                if (other.getValue() != e && other.getValue().bundle != null && content.equals(other.getValue().content)) {
                    throw new NicException(path + ": is the same as " + other.getKey().getFileName());
                }
            }
            e.content = content;
            Bundle former = e.bundle;
            Bundle b = installer.installBeside(jar);
            if (former != null && !retire(path, former, b)) {
                e.former.add(former);
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

    /** What is installed of it stays. */
    private void unread(Path path, Entry e, String why) {
        if (!why.equals(e.unread)) {
            e.unread = why;
            refuse(path, why);
        }
    }

    private void refuse(Path path, String why) {
        LOG.warn("{}: {}", path, why);
        events.accept("BACKEND_REFUSED", Map.of("file", path.toString(), "reason", why));
    }

    /**
     * The former one goes when nobody is served by it any more; else the new one, if nobody is served by that.
     *
     * @return whether the former one has gone; false: both stay
     */
    private boolean retire(Path path, Bundle former, Bundle b) throws NicException {
        if (b.getVersion().compareTo(former.getVersion()) < 0) {
            LOG.info("{}: {} is older than {}, which goes first", path, b.getVersion(), former.getVersion());
            installer.uninstall(former);
            return true;
        }
        List<String> served = served(former);
        long deadline = System.nanoTime() + (SWAP_MILLIS + served.size() * SWAP_EACH_MILLIS) * 1_000_000;
        while (!served.isEmpty() && System.nanoTime() - deadline < 0 && !watched.endsWithin(SWAP_LOOK_NANOS)) {
            served = served(former);
        }
        if (served.isEmpty()) {
            // the new one may still be on trial
            watched.endsWithin(TRIAL_NANOS);
            served = served(former);
        }
        if (served.isEmpty()) {
            installer.uninstall(former);
            return true;
        }
        String why = path + ": " + b.getSymbolicName() + " " + b.getVersion() + " does not replace " + former.getVersion()
                + ", which goes on (netdev " + String.join(", ", served) + "); the log says why";
        if (!served(b).isEmpty()) {
            LOG.warn("{}; both stay, since it serves others (netdev {})", why, String.join(", ", served(b)));
            return false;
        }
        installer.uninstall(b);
        throw new NicException(why);
    }

    private List<String> served(Bundle by) {
        return netdevs.get().stream().filter(n -> n.bundleId() == by.getBundleId() && !n.nic().isEmpty()).map(NetdevStatus::id).toList();
    }

    @Override
    public void removed(Path path) {
        Entry e = entries.remove(path);
        if (e != null && e.bundle != null) {
            LOG.info("{}: has been removed, and so is backend {} {}", path, e.bundle.getSymbolicName(), e.bundle.getVersion());
            e.former.forEach(installer::uninstall);
            installer.uninstall(e.bundle);
        }
    }

    @Override
    public void looked() {
        for (Entry e : entries.values()) {
            for (Bundle f : List.copyOf(e.former)) {
                if (served(f).isEmpty()) {
                    LOG.info("backend {} {} serves nobody any more and goes", f.getSymbolicName(), f.getVersion());
                    e.former.remove(f);
                    installer.uninstall(f);
                }
            }
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

    /** Watches no more; what is installed stays. */
    @Override
    public void close() {
        watched.close();
    }
}
