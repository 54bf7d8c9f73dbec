// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.util.Locale;
import java.util.Set;

/** How a backend can be wrong, and the ids of the kit's rules that say so. */
public enum Fault {
    /** It is right. */
    NONE,
    /** It tells news after the close, which is allowed. */
    LATE_NEWS,

    /** Activating it with a wrong configuration fails. */
    ACTIVATION_FAILS("validate-names-the-option", "validate-unknown-option"),
    /** validate() opens something. */
    VALIDATE_OPENS("validate-inert"),
    /** What it does not know it ignores. */
    TAKES_ANY_OPTION("validate-unknown-option"),
    /** It does not name the option whose value is wrong. */
    HIDES_THE_OPTION("validate-names-the-option"),
    /** It does not know that frameworks add options. */
    REFUSES_DOTS("options-with-a-dot"),
    /** It opens a second port. */
    OPENS_TWICE("open-once", "refusals-say-why", "load-once", "rehearsal-beside"),
    /** It opens fewer pairs than asked for. */
    TOO_FEW_PAIRS("open-too-few-pairs", "refusals-say-why"),
    /** open() leaves a descriptor when it throws. */
    OPEN_LEAKS("open-too-few-pairs"),
    /** Refusals have no message. */
    NO_MESSAGE("refusals-say-why"),
    /** The profile changes with the settings. */
    PROFILE_CHANGES("profile-constant", "move-inside"),
    /** The descriptor is another object each time. */
    OTHER_DESCRIPTOR("profile-constant"),
    /** One of the header lengths of the profile is refused. */
    REFUSES_A_HEADER("apply-what-the-profile-allows"),
    /** Settings that are refused are in force all the same. */
    APPLIES_HALF("apply-fails-unchanged"),
    /** A thread of its own goes on after quiesce(). */
    NEVER_QUIET("quiesce-stills", "quiesce-then-move"),
    /** resume() does not undo quiesce(). */
    STAYS_QUIET("quiesce-resume", "quiesce-stills", "quiesce-then-move"),
    /** A counter goes down. */
    COUNTS_DOWN("statistics"),
    /** close() forgets a descriptor. */
    CLOSE_LEAKS_A_DESCRIPTOR("close-leaves-nothing", "load-once"),
    /** close() forgets a thread. */
    CLOSE_LEAKS_A_THREAD("close-leaves-nothing", "load-once"),
    /** close() closes the numbers once more. */
    CLOSES_TWICE("close-twice"),

    /** Long batches are sent in another order. */
    REORDERS("transmit-in-order", "transmit-short-when-full"),
    /** Of a long batch one frame is sent twice. */
    DOUBLES("transmit-in-order", "transmit-short-when-full"),
    /** Of a long batch one frame is lost. */
    LOSES("transmit-in-order", "transmit-short-when-full"),
    /** Long frames are dropped. */
    DROPS_LONG("frames-up-to-the-mtu"),
    /** Long frames are received without their end. */
    CUTS_LONG("frames-up-to-the-mtu"),
    /** A frame that cannot be sent stops those behind it. */
    STOPS_AT_UNSENDABLE("transmit-drops-unsendable"),
    /** It drops when the device is full. */
    DROPS_WHEN_FULL("transmit-short-when-full"),
    /** It reads one frame a call. */
    RECEIVES_ONE("receive-until-it-would-block"),
    /** It does not look whether the window is full. */
    OVERRUNS_THE_WINDOW("receive-stops-when-full", "receive-until-it-would-block"),
    /** It reads a frame before it looks whether there is room. */
    READS_BEFORE_IT_LOOKS("receive-stops-when-full", "receive-until-it-would-block"),
    /** It allocates for each frame that is sent. */
    ALLOCATES_TRANSMIT("transmit-allocates-nothing"),
    /** It allocates for each frame that is received. */
    ALLOCATES_RECEIVE("receive-allocates-nothing"),
    /** It sends what lies where the frames of the former call were. */
    KEEPS_TRANSMIT_ADDRESS("addresses-of-the-call"),
    /** It writes where the window of the former call was. */
    KEEPS_RECEIVE_ADDRESS("addresses-of-the-call"),
    /** With nothing to receive it waits. */
    WAITS_FOR_FRAMES("worker-not-blocked"),

    /** The format is another one each time. */
    FORMAT_CHANGES("state-versions"),
    /** save() answers null for a version that it cannot write. */
    SAVES_NULL("state-versions"),
    /** save() leaves a descriptor. */
    SAVE_LEAKS("save-pure"),
    /** save() sends something. */
    SAVE_SENDS("save-pure", "load-given-up"),
    /** It saves the port of another netdev. */
    SAVES_ANY_PORT("save-strangers-port"),
    /** The state has the port's own descriptor. */
    LENDS_ITS_DESCRIPTOR("save-pure"),
    /** load() looks at the device. */
    LOAD_LOOKS("load-inert"),
    /** load() empties the device first. */
    LOAD_DRAINS("move-inside", "quiesce-then-move", "load-inert", "move-to-another-process"),
    /** load() ignores what it does not know. */
    LOADS_UNKNOWN_FIELDS("load-names-the-field"),
    /** load() does not say which field is missing. */
    HIDES_THE_FIELD("load-names-the-field"),
    /** load() leaves a descriptor when it throws. */
    LOAD_LEAKS("load-names-the-field", "load-once"),
    /** load() takes states of any version. */
    LOADS_ANY_VERSION("load-foreign-state"),
    /** load() takes a second port. */
    LOADS_TWICE("load-once"),
    /** LEAVE tells the other end that it was left. */
    LEAVE_SENDS("move-inside", "load-given-up"),
    /** The state says how many frames were sent, though it claims to be stable. */
    STATE_COUNTS("stable-stays-true", "rehearsal-beside"),
    /** In a rehearsal it does something outside. */
    REHEARSAL_ACTS("rehearsal-stand-ins"),
    /** A rehearsed port counts as the open one. */
    REHEARSAL_COUNTS("rehearsal-beside");

    private final Set<String> rules;

    Fault(String... rules) {
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

    /**
     * What option {@code fault} calls it.
     *
     * @return words joined by hyphens
     */
    public String option() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
