// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fds;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.testsupport.Await;

/** A context whose port's news are noted. */
final class News implements PortListener {
    private final List<String> all = new ArrayList<>();
    private final List<String> downs = new ArrayList<>();
    /** Why the link is down; null: it is up. */
    private volatile String down;

    OpenContext context(Duration limit, int pairs, boolean rehearsal) {
        long deadline = System.nanoTime() + limit.toNanos();
        return new OpenContext() {
            @Override
            public Fds fds() {
                return ScriptedBackEnd.FDS;
            }

            @Override
            public PortListener listener() {
                return News.this;
            }

            @Override
            public long deadlineNanos() {
                return deadline;
            }

            @Override
            public boolean rehearsal() {
                return rehearsal;
            }

            @Override
            public int pairs() {
                return pairs;
            }
        };
    }

    OpenContext context() {
        return context(Duration.ofSeconds(5), 1, false);
    }

    private synchronized void add(String news) {
        all.add(news);
    }

    /** All since it was last asked. */
    synchronized List<String> take() {
        List<String> t = List.copyOf(all);
        all.clear();
        return t;
    }

    synchronized int count() {
        return all.size();
    }

    synchronized boolean has(String news) {
        return all.stream().anyMatch(n -> n.startsWith(news));
    }

    void await(String news) {
        Await.until(Duration.ofNanos(TimeUnit.SECONDS.toNanos(20)), "the port says: " + news, () -> has(news));
    }

    @Override
    public void link(boolean up) {
        down = up ? null : "";
        add(up ? "link up" : "link down");
    }

    @Override
    public void linkDown(String why) {
        boolean news = down == null;
        down = why;
        addDown(why);
        if (news) {
            add("link down");
        }
    }

    private synchronized void addDown(String why) {
        downs.add(why);
    }

    /** The link is or was down for a reason that matches, which may have been told for a moment only. */
    void awaitEverDown(String pattern) {
        Await.until(Duration.ofSeconds(20), "the link was down: " + pattern, () -> wasDown(pattern));
    }

    synchronized boolean wasDown(String pattern) {
        return downs.stream().anyMatch(d -> d.matches(pattern));
    }

    /** Why the link is down; null: it is up. */
    String down() {
        return down;
    }

    /** The link is down, for a reason that has all of these in it. */
    void awaitDown(String... why) {
        try {
            Await.until(Duration.ofSeconds(20), "the link is down: " + List.of(why), () -> {
                String now = down;
                return now != null && List.of(why).stream().allMatch(now::contains);
            });
        } catch (AssertionError e) {
            throw new AssertionError(e.getMessage() + ", but: " + down, e);
        }
    }

    @Override
    public void profile(PortProfile now) {
        add("profile " + now);
    }

    @Override
    public void stateChanged() {
        add("state");
    }

    @Override
    public void failed(Exception why) {
        add("failed: " + why.getMessage());
    }
}
