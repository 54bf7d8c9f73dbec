// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;

/** What becomes of a handover, as query-migrate tells it, on either side. Any thread. */
final class Report {
    private final BiConsumer<String, Map<String, Object>> events;
    private final String role;
    private final long begun = System.nanoTime();
    private final Map<String, Map<String, Object>> nics = new LinkedHashMap<>();
    private String status;
    private String error;
    private long totalMillis = -1;

    Report(String role, BiConsumer<String, Map<String, Object>> events) {
        this.role = role;
        this.events = events;
    }

    /** Enters a status and tells about it. */
    void status(String now) {
        synchronized (this) {
            if (now.equals(status)) {
                return;
            }
            status = now;
        }
        events.accept("MIGRATION", Map.of("status", now, "role", role));
    }

    /** Ends it. */
    void end(String last, String why) {
        synchronized (this) {
            error = why;
            totalMillis = (System.nanoTime() - begun) / Deadlines.NANOS;
        }
        status(last);
    }

    synchronized boolean ended() {
        return totalMillis >= 0;
    }

    /** Notes something of a NIC. */
    synchronized void nic(String id, String name, Object value) {
        nics.computeIfAbsent(id, i -> new LinkedHashMap<>(Map.of("id", i))).put(name, value);
    }

    /** Whatever was noted of a NIC is of the past: it comes anew. */
    synchronized void anew(String id) {
        nics.remove(id);
    }

    /** All that was noted of a NIC. */
    synchronized Map<String, Object> nic(String id) {
        return new LinkedHashMap<>(nics.getOrDefault(id, Map.of()));
    }

    /** Notes what became of a NIC, and tells about it. */
    void result(String id, String result, String why) {
        Map<String, Object> all;
        synchronized (this) {
            nic(id, "result", result);
            if (!why.isEmpty()) {
                nic(id, "reason", why);
            }
            all = new LinkedHashMap<>(nics.get(id));
        }
        all.put("role", role);
        events.accept("NIC_HANDOVER", all);
    }

    /** How many NICs, in words. */
    static String nics(long count) {
        return count == 1 ? "1 NIC" : count + " NICs";
    }

    /** In one line, for the log. */
    synchronized String summary() {
        long moved = nics.values().stream().filter(n -> "moved".equals(n.get("result"))).count();
        return status + " after " + totalMillis + " ms, " + nics(moved) + " moved"
                + (error == null || error.isEmpty() ? "" : "; " + error);
    }

    synchronized Map<String, Object> toMap() {
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("status", status == null ? "setup" : status);
        m.put("role", role);
        if (error != null && !error.isEmpty()) {
            m.put("error-desc", error);
        }
        m.put("total-time", totalMillis >= 0 ? totalMillis : (System.nanoTime() - begun) / Deadlines.NANOS);
        List<Map<String, Object>> list = new ArrayList<>();
        nics.values().forEach(n -> list.add(new LinkedHashMap<>(n)));
        m.put("nics", list);
        return m;
    }
}
