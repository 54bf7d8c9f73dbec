// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.net.api.nic.Handovers;
import org.vireo.net.api.nic.NicException;

/** A handover that only remembers. */
final class FakeHandovers implements Handovers {
    final List<String> calls = new ArrayList<>();
    volatile Map<String, Object> status = Map.of("status", "none");
    /** Whether another process is the active one: then who stands by is told later. */
    boolean another;
    StandbyListener waiting;
    private volatile boolean transfer = true;
    private volatile boolean breaks;

    @Override
    public void start(String uri, List<String> nics) throws NicException {
        if (!uri.startsWith("unix:")) {
            throw new NicException("migrate: '" + uri + "' is not unix:PATH");
        }
        calls.add("start " + uri + " " + nics);
    }

    @Override
    public void check(String uri, List<String> nics) {
        calls.add("check " + uri + " " + nics);
    }

    @Override
    public void cancel() {
        calls.add("cancel");
    }

    @Override
    public void listen(String uri) {
        calls.add("listen " + uri);
    }

    @Override
    public void standBy(String uri, boolean begins, StandbyListener listener) {
        calls.add("standBy " + uri + " " + begins);
        waiting = listener;
        if (!another) {
            listener.active(List.of());
        }
    }

    @Override
    public Map<String, Object> standbyStatus() {
        return Map.of("role", "none");
    }

    @Override
    public int restore() {
        calls.add("restore");
        return 0;
    }

    @Override
    public void keep(boolean on) {
        calls.add("keep " + on);
    }

    @Override
    public void backendTransfer(boolean on) {
        transfer = on;
    }

    @Override
    public boolean backendTransfer() {
        return transfer;
    }

    @Override
    public void breakBeforeMake(boolean on) {
        breaks = on;
    }

    @Override
    public boolean breakBeforeMake() {
        return breaks;
    }

    @Override
    public Map<String, Object> status() {
        return status;
    }
}
