// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.BiConsumer;
import java.util.function.BooleanSupplier;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.ConfigEntry.Stand;
import org.vireo.control.ConfigSteps.Outcome;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicStatus;

/**
 * A folder of small files, one a netdev and one a NIC, that is watched: what a file asks for is made, changed and deleted as the file is. A
 * file counts by its content; what is wrong with it is said once. While this process waits for another one nothing is done; when it is the
 * active one files adopt what has come. Any thread; what is done is done by one at a time.
 */
final class ConfigFolder implements WatchedFolder.Follower, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(ConfigFolder.class);
    private static final int LARGEST = 64 << 10;
    private static final String MADE = "made ";
    private static final String LEFT = "left ";

    private final Path folder;
    private final Operations operations;
    private final BiConsumer<String, Map<String, ?>> events;
    private final WatchedFolder watched;
    private final ConfigSteps steps;
    private final Map<String, ConfigEntry> entries = new TreeMap<>();
    private final Set<String> told = new HashSet<>();
    private BooleanSupplier active = () -> false;
    private List<String> former = List.of();
    private boolean adopted;
    private volatile boolean closed;

    /**
     * A folder, not looked at yet.
     *
     * @param folder where the files are
     * @param operations does what they ask for
     * @param events told of what was done and refused
     * @param given whether a netdev or a NIC, {@code "netdev ID"} or {@code "NIC ID"}, is the command line's
     * @param clock nanoseconds
     */
    ConfigFolder(Path folder, Operations operations, BiConsumer<String, Map<String, ?>> events, Predicate<String> given,
            LongSupplier clock) {
        this.folder = folder;
        this.operations = operations;
        this.events = events;
        steps = new ConfigSteps(operations, given, this::maker);
        watched = new WatchedFolder(folder, "configuration folder", LOG, this, clock);
    }

    Path folder() {
        return folder;
    }

    // ---- when

    /**
     * Reads what is there.
     *
     * @throws IOException it is no folder
     */
    void read() throws IOException {
        watched.begin("files " + ConfigFile.NAMES);
    }

    /** The NICs of files wait for their state from another process, which brings their netdevs. */
    synchronized void awaitNics() {
        each(e -> e.isNic() && e.isOpen(), steps::await);
    }

    /**
     * Does what files ask for, once and from then on.
     *
     * @param when from when on
     */
    synchronized void activeWhen(BooleanSupplier when) {
        active = when;
        looked();
    }

    /** Looks for changes from now on. */
    void watch() {
        watched.watch("config-folder");
    }

    /** Looks once. */
    void look() {
        watched.look(false);
    }

    /**
     * Goes on where another process has ended, in the background.
     *
     * @param known what that one's {@link #known} told
     */
    void goOn(List<String> known) {
        synchronized (this) {
            former = List.copyOf(known);
            active = () -> true;
        }
        Thread.ofPlatform().daemon().name("config-folder-begin").start(() -> {
            watched.look(true);
            watch();
        });
    }

    /** What a process that goes on with this one's NICs cannot see: which of them are of files, and which files are to be left alone. */
    synchronized List<String> known() {
        List<String> known = new ArrayList<>();
        for (Map.Entry<String, ConfigEntry> e : entries.entrySet()) {
            ConfigEntry f = e.getValue();
            if (f.made != null && !watched.isLost(e.getKey())) {
                known.add(MADE + e.getKey());
            } else if (!f.removed && f.content != null && (f.stand == Stand.LEFT || f.stand == Stand.FOREIGN)) {
                known.add(LEFT + f.content + " " + e.getKey());
            }
        }
        return known;
    }

    // ---- files

    @Override
    public boolean wants(String file) {
        if (ConfigFile.isName(file)) {
            return true;
        }
        if (file.endsWith(".cfg") && told.add(file)) {
            LOG.warn("{}: is not looked at: a file is called {}", folder.resolve(file), ConfigFile.NAMES);
        }
        return false;
    }

    @Override
    public synchronized void settled(Path file, boolean forLong) {
        String name = file.getFileName().toString();
        ConfigEntry e = entries.computeIfAbsent(name, n -> new ConfigEntry(file));
        e.removed = false;
        try {
            byte[] bytes;
            try (InputStream in = Files.newInputStream(file)) {
                bytes = in.readNBytes(LARGEST + 1);
            }
            String content = WatchedFolder.digest(new ByteArrayInputStream(bytes));
            if (content.equals(e.content)) {
                e.again(forLong);
                return;
            }
            e.changed(content);
            if (bytes.length > LARGEST) {
                throw new NicException("is larger than any configuration, which has " + LARGEST / 1024 + " KiB at most");
            }
            e.wanted = ConfigFile.parse(name, bytes);
            e.wrong = false;
        } catch (IOException x) {
            e.content = null;
            e.wrong = true;
            conclude(e, new Outcome(Stand.REFUSED, "cannot be read: " + x));
        } catch (NicException x) {
            conclude(e, new Outcome(Stand.REFUSED, x.getMessage()));
        }
    }

    @Override
    public synchronized void removed(Path file) {
        String name = file.getFileName().toString();
        ConfigEntry e = entries.get(name);
        if (e == null) {
            return;
        }
        e.removed = true;
        e.said = "";
        if (e.made == null) {
            entries.remove(name);
            retry(f -> true);
        }
    }

    // ---- what they ask for

    @Override
    public synchronized void looked() {
        if (closed || !active.getAsBoolean()) {
            return;
        }
        if (!adopted) {
            // a folder that is not there, or empty, may be one that is not mounted yet
            if (!watched.isThere() || entries.isEmpty() && former.stream().anyMatch(k -> k.startsWith(MADE))) {
                return;
            }
            adopted = true;
            adopt();
        }
        operations.changes().exclusively(List.of(), this::lookForLost);
        removeAll(ConfigEntry::isNic);
        netdevs();
        each(e -> e.isNic() && e.isOpen(), steps::nic);
        removeAll(e -> !e.isNic());
    }

    private void each(Predicate<ConfigEntry> which, ConfigSteps.Step step) {
        for (ConfigEntry e : List.copyOf(entries.values())) {
            if (!closed && which.test(e)) {
                operations.changes().exclusively(steps.things(e), () -> ConfigSteps.attempt(step, e)).ifPresent(o -> conclude(e, o));
            }
        }
    }

    /**
     * What files ask for of netdevs, side by side: one whose backend takes its time holds up no other, nor their NICs. Two of an id come
     * one after the other.
     */
    private void netdevs() {
        Map<String, List<ConfigEntry>> byId = new TreeMap<>();
        entries.values().stream().filter(e -> !e.isNic() && e.isOpen())
                .forEach(e -> byId.computeIfAbsent(e.wanted.id(), id -> new ArrayList<>()).add(e));
        BlockingQueue<Map<ConfigEntry, Optional<Outcome>>> done = new LinkedBlockingQueue<>();
        for (List<ConfigEntry> same : byId.values()) {
            Thread.ofVirtual().name("config-folder-netdev").start(() -> {
                Map<ConfigEntry, Optional<Outcome>> outcomes = new LinkedHashMap<>();
                try {
                    for (ConfigEntry e : same) {
                        outcomes.put(e, operations.changes().exclusively(steps.things(e), () -> ConfigSteps.attempt(steps::netdev, e)));
                    }
                } finally {
                    done.add(outcomes);
                }
            });
        }
        for (int i = 0; i < byId.size(); i++) {
            try {
                done.take().forEach((e, o) -> {
                    o.ifPresent(x -> conclude(e, x));
                    String id = e.wanted.id();
                    each(n -> n.isNic() && n.isOpen() && id.equals(n.wanted.options().get("netdev")), steps::nic);
                });
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    private void conclude(ConfigEntry e, Outcome o) {
        e.stand = o.stand();
        if (o.stand() == Stand.DONE) {
            e.said = "";
            if (!o.message().isEmpty()) {
                applied(e, o);
                String id = e.wanted.id();
                retry(f -> f.isNic() && !e.isNic() && id.equals(f.wanted.options().get("netdev")));
            }
            return;
        }
        if (o.message().equals(e.said)) {
            return;
        }
        e.said = o.message();
        switch (o.stand()) {
            case WAITS -> {
                LOG.warn("{}: waits: {}", e.file, o.message());
                event("CONFIG_WAITING", e, "reason", o);
            }
            case LEFT -> LOG.info("{}: {}", e.file, o.message());
            default -> {
                LOG.error("{}: {}", e.file, o.message());
                event("CONFIG_REFUSED", e, "reason", o);
            }
        }
    }

    private void applied(ConfigEntry e, Outcome o) {
        LOG.info("{}: {}", e.file, o.message());
        event("CONFIG_APPLIED", e, "done", o);
    }

    private void event(String name, ConfigEntry e, String what, Outcome o) {
        events.accept(name, Map.of("file", e.file.toString(), what, o.message()));
    }

    /** What stood in the way of others may have gone. */
    private void retry(Predicate<ConfigEntry> which) {
        entries.values().stream().filter(which).forEach(ConfigEntry::retry);
    }

    private void removeAll(Predicate<ConfigEntry> which) {
        for (Map.Entry<String, ConfigEntry> n : List.copyOf(entries.entrySet())) {
            ConfigEntry e = n.getValue();
            if (closed || !e.removed || !which.test(e)) {
                continue;
            }
            if (e.made == null) {
                // another file has what it had made
                entries.remove(n.getKey());
                continue;
            }
            Optional<Outcome> done = operations.changes().exclusively(steps.things(e), () -> steps.remove(e));
            if (done.isEmpty()) {
                continue;
            }
            Outcome o = done.get();
            if (o.stand() == Stand.DONE) {
                entries.remove(n.getKey());
                applied(e, o);
                retry(f -> true);
            } else if (!o.message().equals(e.said)) {
                e.said = o.message();
                LOG.warn("{}: {}", e.file, o.message());
                event("CONFIG_WAITING", e, "reason", o);
            }
        }
    }

    /** NICs that others deleted, or took away, are no more those of files; if they come back they are again. */
    private int lookForLost() {
        Map<String, NicStatus> there = new LinkedHashMap<>();
        operations.nics().forEach(n -> there.put(n.id(), n));
        for (Map.Entry<String, ConfigEntry> n : List.copyOf(entries.entrySet())) {
            ConfigEntry e = n.getValue();
            if (!e.isNic()) {
                continue;
            }
            NicStatus now = there.get(e.wanted.id());
            if (e.made != null && now == null) {
                e.lost = e.made;
                e.made = null;
                if (e.removed) {
                    entries.remove(n.getKey());
                } else {
                    conclude(e, ConfigSteps.left(e));
                }
            } else if (e.lost != null && now != null && e.stand == Stand.LEFT && steps.isOf(now, e.lost)) {
                e.made = e.lost;
                e.lost = null;
                e.stand = Stand.OPEN;
            }
        }
        return there.size();
    }

    /** What is there when this process becomes the active one came from another one, that had the same files. */
    private void adopt() {
        Map<String, String> leave = new LinkedHashMap<>();
        for (String k : former) {
            String[] words = k.split(" ", 3);
            if (k.startsWith(LEFT) && words.length == 3) {
                leave.put(words[2], words[1]);
            }
        }
        for (Map.Entry<String, ConfigEntry> n : entries.entrySet()) {
            ConfigEntry e = n.getValue();
            if (e.wrong || e.made != null) {
                continue;
            }
            if (e.content.equals(leave.get(n.getKey()))) {
                e.stand = Stand.LEFT;
            } else {
                steps.adopt(e, former.contains(MADE + n.getKey()));
            }
        }
        for (String k : former) {
            String name = k.startsWith(MADE) ? k.substring(MADE.length()) : "";
            if (ConfigFile.isName(name) && !entries.containsKey(name)) {
                ConfigEntry e = new ConfigEntry(folder.resolve(name));
                e.wanted = ConfigFile.named(name);
                e.made = Map.of();
                e.removed = true;
                entries.put(name, e);
            }
        }
    }

    /** The file that has made a netdev or NIC. */
    private Optional<ConfigEntry> maker(ConfigFile what) {
        return entries.values().stream().filter(e -> e.made != null && e.wanted.isNic() == what.isNic() && e.wanted.id().equals(what.id()))
                .findFirst();
    }

    // ---- for the line "ready"

    /** How many NICs there are of files, or will be. */
    synchronized int nics() {
        return (int) entries.values().stream().filter(e -> e.isNic() && (e.made != null || !adopted)).count();
    }

    /** What does not work, in a few words; empty: all does. */
    synchronized String problems() {
        List<String> words = new ArrayList<>();
        count(words, "refused", e -> e.stand == Stand.REFUSED || e.stand == Stand.FOREIGN);
        count(words, "waiting", e -> e.stand == Stand.WAITS);
        return words.isEmpty() ? "" : "of the files in " + folder + " " + String.join(", ", words);
    }

    private void count(List<String> words, String what, Predicate<ConfigEntry> which) {
        List<String> names = entries.entrySet().stream().filter(e -> which.test(e.getValue())).map(Map.Entry::getKey).toList();
        if (!names.isEmpty()) {
            words.add(names.size() + " " + what + " (" + (names.size() > 3 ? String.join(", ", names.subList(0, 3)) + ", ..."
                    : String.join(", ", names)) + ")");
        }
    }

    /** Does nothing more; what was made stays. */
    @Override
    public void close() {
        watched.close();
        closed = true;
    }

    /** As {@link #close}, and what is being done has been done. */
    synchronized void end() {
        close();
    }
}
