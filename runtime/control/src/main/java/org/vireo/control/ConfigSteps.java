// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.control.ConfigEntry.Stand;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicState;
import org.vireo.net.api.nic.NicStatus;

/** From what one file of the configuration folder asks for to what there is. Within {@link Changes#exclusively}. */
final class ConfigSteps {
    private static final Logger LOG = LoggerFactory.getLogger(ConfigSteps.class);
    private static final Set<NicState> IN_USE = Set.of(NicState.CONNECTED, NicState.RUNNING, NicState.FROZEN, NicState.PREPARED);

    private final Operations operations;
    private final Predicate<String> given;
    private final Function<ConfigFile, Optional<ConfigEntry>> maker;

    /** What became of a file, and what is to be said about it. */
    record Outcome(Stand stand, String message) { }

    /** What is done about a file. */
    interface Step {
        Outcome apply(ConfigEntry e) throws NicException, Operations.NotFoundException;
    }

    /**
     * Steps.
     *
     * @param operations does what is asked for
     * @param given whether a netdev or a NIC, {@code "netdev ID"} or {@code "NIC ID"}, is the command line's
     * @param maker the file that has made a netdev or a NIC
     */
    ConfigSteps(Operations operations, Predicate<String> given, Function<ConfigFile, Optional<ConfigEntry>> maker) {
        this.operations = operations;
        this.given = given;
        this.maker = maker;
    }

    /** Whatever a step does: its file is told what is wrong. */
    static Outcome attempt(Step step, ConfigEntry e) {
        try {
            return step.apply(e);
        } catch (NicException x) {
            return new Outcome(Stand.REFUSED, x.getMessage());
        } catch (Operations.NotFoundException x) {
            e.made = null;
            return left(e);
        } catch (RuntimeException x) {
            LOG.debug("{}", e.file, x);
            return new Outcome(Stand.REFUSED, "unexpected: " + x);
        }
    }

    static Outcome left(ConfigEntry e) {
        return new Outcome(Stand.LEFT, e.wanted + " has gone, deleted or moved by somebody else; it is made again when the file changes");
    }

    /** What a step about a file may change. */
    List<String> things(ConfigEntry e) {
        ConfigFile w = e.wanted;
        String wanted = w.options().get("netdev");
        if (!w.isNic()) {
            return Operations.netdev(w.id());
        }
        return Stream.of(wanted, there(w.id()).map(NicStatus::netdev).orElse(null))
                .flatMap(n -> Operations.nic(w.id(), n).stream()).distinct().toList();
    }

    // ---- netdevs

    Outcome netdev(ConfigEntry e) throws NicException, Operations.NotFoundException {
        ConfigFile w = e.wanted;
        NetdevStore.Netdev now = operations.netdevs().netdev(w.id()).orElse(null);
        if (e.made == null) {
            return make(e, now);
        }
        if (now == null) {
            throw new Operations.NotFoundException(w.id());
        }
        if (!isOf(now, w)) {
            throw new NicException(w + " is of type " + now.type() + " now ('vireo backend swap'): name the file of that type");
        }
        e.made = now.options();
        if (now.options().equals(w.options())) {
            return new Outcome(Stand.DONE, "");
        }
        operations.changeNetdev(w.id(), w.options());
        e.made = w.options();
        return new Outcome(Stand.DONE, w + " is changed");
    }

    private Outcome make(ConfigEntry e, NetdevStore.Netdev now) throws NicException, Operations.NotFoundException {
        ConfigFile w = e.wanted;
        Optional<ConfigEntry> other = maker.apply(w);
        if (other.isPresent() && other.get().removed && now != null && isOf(now, w)) {
            // it was swapped to this type, and the file is called so now
            e.made = now.options();
            other.get().made = null;
            return netdev(e);
        }
        if (other.isPresent()) {
            return new Outcome(Stand.WAITS, "there are two files for " + w + ", and " + other.get().file.getFileName()
                    + " counts; this one does when that is removed");
        }
        if (now != null) {
            return foreign(w);
        }
        Set<String> types = operations.netdevs().backends().types();
        Optional<String> type = Stream.concat(types.stream().filter(w.type()::equals),
                types.stream().filter(t -> t.replace("-", "").equals(w.type()))).findFirst();
        if (type.isEmpty()) {
            return new Outcome(Stand.WAITS, w + ": " + BackendCatalog.lacking(w.type(), types) + hyphenated(w, types));
        }
        operations.addNetdev(type.get(), w.id(), w.options());
        e.made = w.options();
        return new Outcome(Stand.DONE, w + " is made");
    }

    /** In a file's name the first hyphen ends the type, so a type that has one is written without. */
    private static String hyphenated(ConfigFile w, Set<String> types) {
        String name = w.type() + "-" + w.id();
        return types.stream().filter(t -> t.contains("-") && name.startsWith(t + "-")).findFirst()
                .map(t -> "; for netdev " + name.substring(t.length() + 1) + " of type " + t + " call the file netdev." + t.replace("-", "")
                        + name.substring(t.length()) + ".cfg").orElse("");
    }

    private Outcome foreign(ConfigFile w) {
        String who = given.test(w.toString()) ? "the command line" : "QMP, or the process that it came from";
        return new Outcome(Stand.FOREIGN, w + " is there already, made by " + who + ", and stays as it is; give the file another id, or"
                + " delete that one and touch the file");
    }

    private static boolean isOf(NetdevStore.Netdev netdev, ConfigFile w) {
        return netdev.type().replace("-", "").equals(w.type().replace("-", ""));
    }

    // ---- NICs

    Outcome nic(ConfigEntry e) throws NicException, Operations.NotFoundException {
        ConfigFile w = e.wanted;
        NicStatus now = there(w.id()).orElse(null);
        if (e.made == null && now != null) {
            return foreign(w);
        }
        Map<String, String> effective = operations.frontend().check(w.withId());
        if (now != null && effective.equals(now.options())) {
            e.made = w.withId();
            return new Outcome(Stand.DONE, "");
        }
        String netdev = w.options().get("netdev");
        if (netdev != null && operations.netdevs().netdev(netdev).isEmpty()) {
            return new Outcome(Stand.WAITS, w + ": netdev=" + netdev + ": there is no such netdev"
                    + (now == null ? "" : "; the NIC goes on as it was"));
        }
        if (e.made == null) {
            operations.addNic(w.withId());
            e.made = w.withId();
            return new Outcome(Stand.DONE, w + " is made");
        }
        if (now == null) {
            throw new Operations.NotFoundException(w.id());
        }
        return replace(e, now, difference(effective, now.options()));
    }

    /** Nothing of a NIC can be changed while it lives, and one that a VMM has is not taken away. */
    private Outcome replace(ConfigEntry e, NicStatus now, String difference) throws NicException, Operations.NotFoundException {
        ConfigFile w = e.wanted;
        if (IN_USE.contains(now.state()) || now.vmmPid() != 0 || now.features() != 0) {
            throw new NicException(w + ": " + difference + " takes a new NIC, and "
                    + (now.vmmPid() == 0 ? "a VMM" : "the VMM with pid " + now.vmmPid())
                    + " uses this one, which goes on as it is; end the VMM, then touch the file");
        }
        Map<String, String> before = e.made;
        operations.deleteNic(w.id());
        e.made = null;
        try {
            operations.addNic(w.withId());
            e.made = w.withId();
            return new Outcome(Stand.DONE, w + " is made anew: " + difference);
        } catch (NicException x) {
            try {
                operations.addNic(before);
                e.made = before;
            } catch (NicException y) {
                throw new NicException(x.getMessage() + "; nor does it start as it was: " + y.getMessage(), x);
            }
            throw new NicException(x.getMessage() + "; it is as it was", x);
        }
    }

    private static String difference(Map<String, String> wanted, Map<String, String> now) {
        TreeSet<String> keys = new TreeSet<>(wanted.keySet());
        keys.addAll(now.keySet());
        return String.join(", ", keys.stream().filter(k -> !wanted.getOrDefault(k, "").equals(now.getOrDefault(k, "")))
                .map(k -> k + "=" + wanted.getOrDefault(k, "") + " instead of " + now.getOrDefault(k, "nothing")).toList());
    }

    /** It waits for its state from another process. */
    Outcome await(ConfigEntry e) throws NicException {
        operations.addNic(e.wanted.withId());
        e.made = e.wanted.withId();
        return new Outcome(Stand.DONE, e.wanted + " waits for the process that hands it over");
    }

    private Optional<NicStatus> there(String id) {
        return operations.nics().stream().filter(n -> n.id().equals(id)).findFirst();
    }

    /** Whether it is one of these options. */
    boolean isOf(NicStatus nic, Map<String, String> options) {
        try {
            return operations.frontend().check(options).equals(nic.options());
        } catch (NicException e) {
            return false;
        }
    }

    // ---- both

    /**
     * What is there already is the file's from now on, unless it is the command line's.
     *
     * @param known whether it is known to be the file's, whatever type it is of by now
     */
    void adopt(ConfigEntry e, boolean known) {
        ConfigFile w = e.wanted;
        if (given.test(w.toString()) || maker.apply(w).isPresent()) {
            return;
        }
        if (w.isNic()) {
            there(w.id()).filter(n -> n.state() != NicState.AWAITING).ifPresent(n -> e.made = n.options());
            return;
        }
        try {
            operations.netdevs().netdev(w.id()).filter(n -> known || isOf(n, w)).ifPresent(n -> e.made = n.options());
        } catch (NicException x) {
            LOG.error("{}: {}", e.file, x.getMessage());
        }
    }

    /** The file has been removed. */
    Outcome remove(ConfigEntry e) {
        ConfigFile w = e.wanted;
        try {
            if (w.isNic()) {
                operations.deleteNic(w.id());
            } else {
                operations.deleteNetdev(w.id());
            }
        } catch (Operations.NotFoundException x) {
            LOG.debug("{}: {} has gone already", e.file, w);
        } catch (NicException | RuntimeException x) {
            return new Outcome(Stand.WAITS, "has been removed, and " + w + " goes as soon as that is possible: "
                    + (x instanceof NicException ? x.getMessage() : x.toString()));
        }
        return new Outcome(Stand.DONE, "has been removed, and so is " + w);
    }
}
