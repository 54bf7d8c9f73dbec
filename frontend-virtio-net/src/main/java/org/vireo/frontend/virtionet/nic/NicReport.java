// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;

/** Where a NIC is in its life, as others see it: one log line and one event for each change. */
final class NicReport {
    private static final Logger LOG = LoggerFactory.getLogger(NicReport.class);

    /** Where VMMs and drivers take a NIC from and to, as often as they like. */
    private static final Set<NicState> OF_VMM = EnumSet.of(NicState.LISTENING, NicState.CONNECTED, NicState.RUNNING);
    /** More than a VMM and its guest need that begin. */
    private static final int FIRST = 20;
    private static final int FIRST_GOINGS = 8;

    private final NicOptions options;
    private final Environment env;
    private final NicNews vmms;
    /** Of its own: a reason why a VMM has gone must not give way to the state that follows. */
    private final NicNews goings;
    private volatile Now latest = new Now(NicState.NO_BACKEND, "");

    /** A state and its reason, which belong together. */
    record Now(NicState state, String why) { }

    NicReport(NicOptions options, Environment env, Actor actor) {
        this.options = options;
        this.env = env;
        vmms = new NicNews(actor, env.timer(), FIRST, System::nanoTime, LOG::info);
        goings = new NicNews(actor, env.timer(), FIRST_GOINGS, System::nanoTime, LOG::info);
    }

    /** A VMM has gone, which happens as often as it likes. */
    void vmmGone(long pid, String why) {
        goings.say("NIC " + options.id() + ": VMM pid " + pid + " has gone: " + why);
    }

    /** Any thread. */
    Now now() {
        return latest;
    }

    NicState state() {
        return latest.state;
    }

    /** The NIC waits for its state from another process. */
    void awaiting() {
        latest = new Now(NicState.AWAITING, latest.why);
    }

    void update(NicState now, String reason, long vmmPid, long epoch) {
        NicState was = latest.state;
        if (now == was && reason.equals(latest.why)) {
            return;
        }
        latest = new Now(now, reason);
        if (env.quiet()) {
            return;
        }
        String what = was + " -> " + now + (reason.isEmpty() ? "" : ": " + reason) + " (VMM pid " + (vmmPid == 0 ? "none" : vmmPid)
                + ", netdev " + (options.netdev().isEmpty() ? "none" : options.netdev()) + ", epoch " + epoch + ")";
        if (OF_VMM.contains(was) && OF_VMM.contains(now)) {
            vmms.say("NIC " + options.id() + ": " + what);
        } else {
            goings.end();
            vmms.end();
            LOG.info("NIC {}: {}", options.id(), what);
        }
        Map<String, Object> data = new LinkedHashMap<>();
        data.put("nic", options.id());
        data.put("from", was.name().toLowerCase(Locale.ROOT));
        data.put("to", now.name().toLowerCase(Locale.ROOT));
        data.put("reason", reason);
        data.put("epoch", epoch);
        env.events().accept("NIC_STATE", data);
    }

    /** A NIC at one moment. */
    record Snapshot(String id, String netdev, NicState state, String why, Map<String, String> options, long vmmPid, long features,
            long epoch, Map<String, Long> counters) implements NicStatus { }
}
