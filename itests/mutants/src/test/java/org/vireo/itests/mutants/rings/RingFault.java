// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants.rings;

import java.util.Locale;
import java.util.Set;

/** How a port that takes rings can be wrong, and the ids of the kit's rules that say so. */
public enum RingFault {
    /** It is right. */
    NONE,

    /** A frame is lost now and then. */
    LOSES_ONE("rings-move-frames", "move-inside", "save-pure", "other-side-returns"),
    /** Where EVENT_IDX is acknowledged the driver is not called. */
    CALLS_WITHOUT_EVENT_INDEX_ONLY("ring-features"),
    /** It takes features that it does not have. */
    TAKES_ANY_FEATURE("features-refused"),
    /** Rings run enabled as soon as they are started. */
    STARTS_ENABLED("start-disabled", "enable-there-and-back"),
    /** A ring that is started is not looked at before it is kicked. */
    WAITS_FOR_A_KICK("start-looks-at-once"),
    /** A ring that is started is not called. */
    STARTS_WITHOUT_A_CALL("start-looks-at-once"),
    /** A ring without a kick descriptor is not polled. */
    NEVER_POLLS("start-without-descriptors"),
    /** Positions have 15 bits. */
    CUTS_POSITIONS("start-anywhere"),
    /** A ring's flags are written after it was stopped. */
    WRITES_AFTER_STOP("stop-untouched"),
    /** The driver is called after its ring was stopped. */
    CALLS_AFTER_STOP("stop-untouched"),
    /** The position is wrong when a ring is stopped often. */
    MISCOUNTS_STOPS("stop-says-where"),
    /** Stopping a stopped ring fails. */
    STOPS_ONCE("stop-twice"),
    /** Rings cannot be disabled. */
    NEVER_DISABLES("enable-there-and-back"),
    /** A call takes longer than two seconds. */
    REPLACES_SLOWLY("calls-in-time"),
    /** Nothing is announced. */
    ANNOUNCES_NOTHING("announce"),

    /** It keeps a descriptor's number instead of a duplicate. */
    KEEPS_A_NUMBER("descriptors-of-the-call"),
    /** Memory that is told of while rings run is not looked at. */
    FORGETS_NEW_MEMORY("memory-added", "memory-moved"),
    /** What has the same addresses is taken for the same memory. */
    KEEPS_FORMER_MEMORY("memory-moved"),
    /** The memory of a guest that has gone is kept. */
    KEEPS_GONE_MEMORY("memory-gone"),
    /** Buffers are not marked. */
    MARKS_NO_BUFFERS("log-marks"),
    /** Used rings are not marked. */
    MARKS_NO_RINGS("log-marks"),
    /** It takes a log though it cannot log. */
    PRETENDS_TO_LOG("log-marks"),
    /** It goes on logging. */
    LOGS_FOR_EVER("log-ends"),
    /** The former call descriptor is used. */
    KEEPS_FORMER_CALL("call-replaced"),
    /** A ring's flags are written after the port was closed. */
    WRITES_AFTER_CLOSE("close-with-running-rings", "close-leaves-nothing"),
    /** close() does not unmap. */
    CLOSE_LEAKS_MEMORY("close-with-running-rings", "close-leaves-nothing"),

    /** A ring that may run is begun where it once began. */
    INHERITS_THE_BEGINNING("rings-inherited"),
    /** That nobody is there is an error like others. */
    UNAVAILABLE_IS_WRONG("open-unavailable"),
    /** open() leaves a descriptor when nobody is there. */
    UNAVAILABLE_LEAKS("open-unavailable"),
    /** It does not tell its link. */
    TELLS_NO_LINK("other-side-returns", "profile-told", "stopped-stays-stopped"),
    /** Calls fail while the other side is away. */
    REFUSES_CALLS_WHILE_AWAY("other-side-returns", "stopped-stays-stopped"),
    /** What was available while the other side was away is skipped. */
    SKIPS_WHEN_IT_RETURNS("other-side-returns"),
    /** It starts rings that were stopped meanwhile. */
    STARTS_STOPPED_RINGS("stopped-stays-stopped"),
    /** It does not tell a new profile. */
    TELLS_NO_PROFILE("profile-told");

    private final Set<String> rules;

    RingFault(String... rules) {
        this.rules = Set.of(rules);
    }

    /**
     * The rules that it breaks.
     *
     * @return their ids
     */
    public Set<String> rules() {
        return rules;
    }

    String option() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
