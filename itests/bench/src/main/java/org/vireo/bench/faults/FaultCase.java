// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.faults;

import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * One fault at one point of a handover's course.
 *
 * @param step in words
 * @param side where
 * @param fault in words
 * @param point as faultpoint.c takes it
 * @param action as faultpoint.c takes it
 * @param vmm what the VMM does while the process stands at the point
 * @param owners who may have the NIC afterwards
 * @param darkMillis for how long nobody serves the guest, by the protocol's deadlines or for as long as the fault itself lasts
 * @param stable whether it belongs to the short run
 */
public record FaultCase(String step, Side side, String fault, String point, String action, Vmm vmm, Set<Owner> owners, int darkMillis,
        boolean stable) {
    private static final int[] STOPS = {100, 400, 2_000};
    private static final int[] DELAYS = {100, 1_000};
    private static final int EPIPE = 32;
    private static final int ECONNRESET = 104;
    private static final int OFFERED_MILLIS = 200;
    private static final int FENCED_AND_KILLED_MILLIS = 1_000;

    /** At which process. */
    enum Side { SOURCE, TARGET }

    /** Who has the NIC. Nobody: its owner died before another one had all of it, so the VMM's connection ends. */
    enum Owner { SOURCE, TARGET, STANDBY, NOBODY }

    /** What the VMM does. */
    enum Vmm { NOTHING, ASKS, HANGS_UP }

    /** How far a NIC has come; what a process's stop costs depends on it. */
    private enum Phase { UNPREPARED, HALF, PREPARED, FROZEN, OFFERED, TAKEN, RUNNING, OWNED }

    private record Step(String name, Side side, Phase phase, String point, boolean stable) {
        /** Whether the NIC's change of hands is under way. */
        boolean commits() {
            return phase.compareTo(Phase.PREPARED) >= 0 && phase.compareTo(Phase.OWNED) < 0;
        }

        boolean sends() {
            return point.startsWith("before:send.");
        }
    }

    private static final List<Step> STEPS = List.of(
            new Step("HELLO not sent", Side.SOURCE, Phase.UNPREPARED, "before:send.HELLO", false),
            new Step("PREPARE not sent", Side.SOURCE, Phase.UNPREPARED, "before:send.PREPARE", false),
            new Step("PREPARE sent", Side.SOURCE, Phase.HALF, "after:send.PREPARE", false),
            new Step("PREPARED came", Side.SOURCE, Phase.PREPARED, "after:recv.PREPARED", false),
            new Step("freezing, TAP not left", Side.SOURCE, Phase.FROZEN, "before:tap-del@recv.PREPARED", false),
            new Step("frozen, TAP left", Side.SOURCE, Phase.FROZEN, "after:tap-del@recv.PREPARED", true),
            new Step("offered, OFFER not sent", Side.SOURCE, Phase.OFFERED, "before:send.OFFER", false),
            new Step("OFFER sent", Side.SOURCE, Phase.OFFERED, "after:send.OFFER", true),
            new Step("drops, TAP not closed", Side.SOURCE, Phase.OWNED, "before:tap-close@send.OFFER", false),
            new Step("DROPPED not sent", Side.SOURCE, Phase.OWNED, "before:send.DROPPED", true),
            new Step("dropped, RUNNING came", Side.SOURCE, Phase.OWNED, "after:recv.RUNNING", false),
            new Step("OWNING came", Side.SOURCE, Phase.OWNED, "after:recv.OWNING", false),
            new Step("END not sent", Side.SOURCE, Phase.OWNED, "before:send.END", false),
            new Step("HELLO came", Side.TARGET, Phase.UNPREPARED, "after:recv.HELLO", false),
            new Step("HELLO not sent", Side.TARGET, Phase.UNPREPARED, "before:send.HELLO", false),
            new Step("PREPARE came", Side.TARGET, Phase.UNPREPARED, "after:recv.PREPARE", false),
            new Step("PREPARED not sent", Side.TARGET, Phase.HALF, "before:send.PREPARED", false),
            new Step("PREPARED sent", Side.TARGET, Phase.PREPARED, "after:send.PREPARED", true),
            new Step("OFFER came", Side.TARGET, Phase.OFFERED, "after:recv.OFFER", true),
            new Step("taken, TAP not read", Side.TARGET, Phase.TAKEN, "before:tap-add@send.PREPARED", true),
            new Step("taken, TAP read", Side.TARGET, Phase.TAKEN, "after:tap-add@send.PREPARED", false),
            new Step("RUNNING not sent", Side.TARGET, Phase.RUNNING, "before:send.RUNNING", false),
            new Step("RUNNING sent", Side.TARGET, Phase.RUNNING, "after:send.RUNNING", true),
            new Step("DROPPED came", Side.TARGET, Phase.OWNED, "after:recv.DROPPED", false),
            new Step("OWNING not sent", Side.TARGET, Phase.OWNED, "before:send.OWNING", false),
            new Step("END came", Side.TARGET, Phase.OWNED, "after:recv.END", false));

    /** All of them. */
    static List<FaultCase> all() {
        List<FaultCase> all = new ArrayList<>();
        for (Step s : STEPS) {
            all.add(of(s, "SIGKILL", "kill", s.side == Side.TARGET && s.phase == Phase.TAKEN ? OFFERED_MILLIS : 0, s.stable));
            for (int millis : STOPS) {
                boolean stable = millis == 400 && (s.point.equals("after:recv.OFFER") || s.point.equals("after:send.OFFER"));
                all.add(of(s, "SIGSTOP " + millis + " ms", "stop:" + millis, stopped(s, millis), stable));
            }
            for (int millis : s.commits() ? DELAYS : new int[] {}) {
                all.add(of(s, "thread stalls " + millis + " ms", "delay:" + millis, stopped(s, millis), false));
            }
            if (s.sends()) {
                all.add(of(s, "EPIPE", "error:" + EPIPE, OFFERED_MILLIS, false));
            }
        }
        reads(all);
        descriptors(all);
        vmm(all);
        return all;
    }

    private static FaultCase of(Step s, String fault, String action, int dark, boolean stable) {
        return new FaultCase(s.name, s.side, fault, s.point, action, Vmm.NOTHING, owners(s, action), dark, stable);
    }

    /** A killed process has nothing; one that lives on may have it either way, since the others need not wait for it. */
    private static Set<Owner> owners(Step s, String action) {
        if (!action.equals("kill")) {
            return EnumSet.of(Owner.SOURCE, Owner.TARGET);
        }
        if (s.side == Side.TARGET) {
            // the source keeps its copies until the target has said that all is in use
            return switch (s.point) {
                case "after:recv.END" -> EnumSet.of(Owner.NOBODY);
                case "after:recv.DROPPED" -> EnumSet.of(Owner.SOURCE, Owner.NOBODY);
                default -> EnumSet.of(Owner.SOURCE);
            };
        }
        return switch (s.phase) {
            case UNPREPARED -> EnumSet.of(Owner.NOBODY);
            case HALF -> EnumSet.of(Owner.NOBODY, Owner.TARGET);
            default -> EnumSet.of(Owner.TARGET);
        };
    }

    /** For how long the guest is without service if this process stands still at that step. */
    private static int stopped(Step s, int millis) {
        if (s.side == Side.SOURCE) {
            return switch (s.phase) {
                // it serves the guest itself, and nobody else may
                case UNPREPARED, HALF, PREPARED, FROZEN -> millis;
                case OFFERED -> Math.min(millis, OFFERED_MILLIS);
                default -> 0;
            };
        }
        return switch (s.phase) {
            case UNPREPARED, HALF -> 0;
            case PREPARED, FROZEN, OFFERED -> Math.min(millis, OFFERED_MILLIS);
            case TAKEN -> Math.min(millis, FENCED_AND_KILLED_MILLIS);
            // it has the NIC, and is not dead
            case RUNNING, OWNED -> millis;
        };
    }

    private static void reads(List<FaultCase> all) {
        Set<Owner> either = EnumSet.of(Owner.SOURCE, Owner.TARGET);
        for (Side side : Side.values()) {
            String first = side == Side.SOURCE ? "send.PREPARE" : "send.HELLO";
            String second = side == Side.SOURCE ? "send.OFFER" : "send.PREPARED";
            for (String after : List.of(first, second)) {
                all.add(new FaultCase("reading after " + after.substring(5), side, "ECONNRESET", "before:recv@" + after,
                        "error:" + ECONNRESET, Vmm.NOTHING, either, OFFERED_MILLIS, false));
            }
        }
    }

    /** Descriptors run out from that point on; the limit is lifted again afterwards. */
    private static void descriptors(List<FaultCase> all) {
        Set<Owner> either = EnumSet.of(Owner.SOURCE, Owner.TARGET);
        for (int left : new int[] {0, 2, 8}) {
            for (String point : List.of("before:send.HELLO", "after:recv.PREPARE", "after:send.PREPARED", "after:recv.OFFER")) {
                String what = point.contains("recv") ? " came" : point.startsWith("after") ? " sent" : " not sent";
                all.add(new FaultCase(point.substring(point.indexOf('.') + 1) + what, Side.TARGET, left + " descriptors left", point,
                        "nofile:" + left, Vmm.NOTHING, either, OFFERED_MILLIS, false));
            }
            for (String point : List.of("before:send.HELLO", "after:recv.PREPARED")) {
                all.add(new FaultCase(point.startsWith("before") ? "HELLO not sent" : "PREPARED came", Side.SOURCE,
                        left + " descriptors left", point, "nofile:" + left, Vmm.NOTHING, either, OFFERED_MILLIS, false));
            }
        }
    }

    /** The process stands at the point until the VMM has spoken. */
    private static void vmm(List<FaultCase> all) {
        Set<Owner> either = EnumSet.of(Owner.SOURCE, Owner.TARGET);
        for (Step s : STEPS) {
            if (s.phase == Phase.UNPREPARED && s.side == Side.SOURCE || s.name.startsWith("END")) {
                continue;
            }
            boolean stable = s.point.equals("after:recv.OFFER") || s.point.equals("after:tap-del@recv.PREPARED");
            all.add(new FaultCase(s.name, s.side, "the VMM asks", s.point, "wait", Vmm.ASKS, either, OFFERED_MILLIS, false));
            all.add(new FaultCase(s.name, s.side, "the VMM hangs up", s.point, "wait", Vmm.HANGS_UP, either, OFFERED_MILLIS, stable));
        }
    }

    /** In words. */
    String line() {
        return side.name().toLowerCase(java.util.Locale.ROOT) + ", " + step + ": " + fault;
    }

    /** Whether it ends the process, by itself or because another one may. */
    boolean mayKill() {
        return action.equals("kill") || side == Side.TARGET && action.startsWith("stop:2000");
    }
}
