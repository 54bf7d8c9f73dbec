// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;

/**
 * The files of a folder, for who follows what changes there. A file counts when it has not changed for a second, however it is written;
 * what has gone for a second is removed. A folder that vanishes removes nothing, nor does what is missing when it is back. Sub-folders are
 * not looked at. It is looked at twice a second, since that works with any file system; less often if that takes long. One thread.
 */
final class WatchedFolder implements AutoCloseable {
    private static final long LOOK_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    /** With thousands of files; however slow the machine is just now. */
    private static final long LONGEST_LOOK_NANOS = TimeUnit.SECONDS.toNanos(2);
    private static final int MOST_OF_TIME = 100;
    private static final long STEADY_NANOS = TimeUnit.SECONDS.toNanos(1);
    /** What is not whole may still be written, by somebody who is slow. */
    private static final long LONG_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final long NEVER = Long.MIN_VALUE;

    private final Path folder;
    private final String name;
    private final Follower follower;
    private final Logger log;
    private final LongSupplier clock;
    private final Map<String, Entry> entries = new ConcurrentSkipListMap<>();
    private final CountDownLatch end = new CountDownLatch(1);
    private volatile boolean gone;
    private long listNanos;
    /** Which folder it was when it was last looked at. */
    private volatile Identity key;

    /** Follows the files. Called by one thread. */
    interface Follower {
        /** Whether a file of this name is one to follow. */
        boolean wants(String file);

        /**
         * A file is new, or looks different, and has been as it is for a second; and once more after five.
         *
         * @param file its path
         * @param forLong whether it is the second time; at the start both are one
         */
        void settled(Path file, boolean forLong);

        /** A file has gone. */
        void removed(Path file);

        /** All files have been looked at, or the folder could not be read. */
        default void looked() {
        }
    }

    /** What a file looks like from outside. A program may set the time of the content, not that of the last change. */
    private record Look(Object size, Object modified, Object changed, Object key) {
        static final String ATTRIBUTES = "unix:isRegularFile,size,lastModifiedTime,ctime,fileKey";

        static Look of(Map<String, Object> a) {
            return new Look(a.get("size"), a.get("lastModifiedTime"), a.get("ctime"), a.get("fileKey"));
        }
    }

    private static final class Entry {
        private Look look;
        private long since;
        /** How often it was told of, as it is. */
        private int told;
        private long missing = NEVER;
        /** It was missing when the folder was another one, or there again. */
        private volatile boolean lost;
    }

    /** Which folder a path leads to. An inode's number may come again, its birth does not, if the file system knows it; else null. */
    private record Identity(Object key, Object born) {
        boolean isAnother(Identity than) {
            return !Objects.equals(key, than.key) || born != null && than.born != null && !born.equals(than.born);
        }
    }

    /**
     * A folder, not looked at yet.
     *
     * @param folder where the files are
     * @param name what people call it
     * @param log of who follows
     * @param follower told of the files
     * @param clock nanoseconds
     */
    WatchedFolder(Path folder, String name, Logger log, Follower follower, LongSupplier clock) {
        this.folder = folder;
        this.name = name;
        this.log = log;
        this.follower = follower;
        this.clock = clock;
    }

    /**
     * Tells of what is there.
     *
     * @param with what should be in it
     * @throws IOException it is no folder
     */
    void begin(String with) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + ": is no folder; make it before, with " + with + " in it");
        }
        look(true);
    }

    /** Watches from then on. */
    void watch(String thread) {
        Thread.ofPlatform().daemon().name(thread).start(() -> {
            while (!endsWithin(Math.clamp(MOST_OF_TIME * listNanos, LOOK_NANOS, LONGEST_LOOK_NANOS))) {
                lookSafely();
            }
        });
    }

    /** Whatever a follower does: the folder is looked at again. */
    private void lookSafely() {
        try {
            look(false);
        } catch (RuntimeException | LinkageError e) {
            log.error("{} {}", name, folder, e);
        }
    }

    /**
     * Looks once.
     *
     * @param first whether what is there counts at once
     */
    void look(boolean first) {
        try {
            long begin = System.nanoTime();
            Map<String, Look> there = list();
            listNanos = System.nanoTime() - begin;
            follow(there, identity(), first);
        } catch (IOException | DirectoryIteratorException e) {
            if (!gone) {
                log.warn("{} {} cannot be read: {}; all stays as it is", name, folder, e.toString());
            }
            gone = true;
            listNanos = 0;
            entries.values().forEach(f -> f.missing = NEVER);
        }
        follower.looked();
    }

    private Identity identity() throws IOException {
        BasicFileAttributes a = Files.readAttributes(folder, BasicFileAttributes.class);
        Object born = a.creationTime();
        // what Java says where the birth is not known
        return new Identity(a.fileKey(), born.equals(a.lastModifiedTime()) ? null : born);
    }

    private void follow(Map<String, Look> there, Identity now, boolean first) throws IOException {
        boolean another = key != null && now.isAnother(key);
        if (another && there.isEmpty() && !entries.isEmpty()) {
            throw new IOException("it is another one, with nothing in it, as where a mount has gone");
        }
        if (gone || another) {
            isBack(there);
        }
        gone = false;
        key = key != null && !another && now.born == null ? key : now;
        long time = clock.getAsLong();
        for (String file : List.copyOf(entries.keySet())) {
            if (!there.containsKey(file)) {
                missing(file, entries.get(file), time);
            }
        }
        there.forEach((file, look) -> present(file, look, time, first));
    }

    /** Files may still be on their way: what is not there yet is not taken for removed. */
    private void isBack(Map<String, Look> there) {
        entries.forEach((file, e) -> e.lost |= !there.containsKey(file));
        List<String> without = entries.entrySet().stream().filter(e -> e.getValue().lost).map(Map.Entry::getKey).toList();
        log.info("{} {} is there again{}", name, folder, without.isEmpty() ? "" : ", without " + String.join(", ", without)
                + ": what was made of them stays, until they are there and removed again");
    }

    private void missing(String file, Entry e, long time) {
        if (e.lost) {
            return;
        }
        // one that is replaced may be away for a moment
        if (e.missing == NEVER) {
            e.missing = time;
        } else if (time - e.missing >= STEADY_NANOS) {
            entries.remove(file);
            follower.removed(folder.resolve(file));
        }
    }

    private void present(String file, Look look, long time, boolean first) {
        Entry e = entries.computeIfAbsent(file, n -> new Entry());
        e.missing = NEVER;
        e.lost = false;
        if (!look.equals(e.look)) {
            e.look = look;
            e.since = time;
            e.told = 0;
        }
        long age = first ? LONG_NANOS : time - e.since;
        if (age >= LONG_NANOS && e.told < 2) {
            e.told = 2;
            follower.settled(folder.resolve(file), true);
        } else if (age >= STEADY_NANOS && e.told < 1) {
            e.told = 1;
            follower.settled(folder.resolve(file), false);
        }
    }

    /** Whether it could be read when it was last looked at. */
    boolean isThere() {
        return !gone && key != null;
    }

    /** Whether a file is missing that was not removed: the folder was away. */
    boolean isLost(String file) {
        Entry e = entries.get(file);
        return e != null && e.lost;
    }

    /** Files of the folder itself that are followed; what begins with a dot is some program's own. */
    private Map<String, Look> list() throws IOException {
        Map<String, Look> found = new TreeMap<>();
        try (var all = Files.newDirectoryStream(folder)) {
            for (Path p : all) {
                String file = p.getFileName().toString();
                if (file.startsWith(".") || !follower.wants(file)) {
                    continue;
                }
                try {
                    Map<String, Object> a = Files.readAttributes(p, Look.ATTRIBUTES);
                    if (Boolean.TRUE.equals(a.get("isRegularFile"))) {
                        found.put(file, Look.of(a));
                    }
                } catch (NoSuchFileException e) {
                    // it has just gone; a link to nowhere is there, and cannot be read
                    if (Files.isSymbolicLink(p)) {
                        found.put(file, link(p));
                    }
                } catch (IOException e) {
                    found.put(file, new Look(null, null, null, e.toString()));
                }
            }
        }
        return found;
    }

    private static Look link(Path p) {
        try {
            return Look.of(Files.readAttributes(p, Look.ATTRIBUTES, LinkOption.NOFOLLOW_LINKS));
        } catch (IOException e) {
            return new Look(null, null, null, e.toString());
        }
    }

    /** What tells one content from another. */
    static String digest(InputStream content) throws IOException {
        try (DigestInputStream in = new DigestInputStream(content, MessageDigest.getInstance("SHA-256"))) {
            in.transferTo(OutputStream.nullOutputStream());
            return HexFormat.of().formatHex(in.getMessageDigest().digest());
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Waits; whether it is not watched any more. */
    boolean endsWithin(long nanos) {
        try {
            return end.await(nanos, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true;
        }
    }

    /** Watches no more. */
    @Override
    public void close() {
        end.countDown();
    }
}
