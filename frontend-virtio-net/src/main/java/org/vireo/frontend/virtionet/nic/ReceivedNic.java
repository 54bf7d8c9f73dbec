// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.nic;

import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
import org.vireo.frontend.virtionet.block.NicBlockMemory;
import org.vireo.frontend.virtionet.nic.Actor.Urgency;
import org.vireo.frontend.virtionet.session.Session;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.nic.IncomingNic;
import org.vireo.net.api.nic.NicBlock;
import org.vireo.net.api.nic.NicException;
import org.vireo.net.api.nic.NicImage;
import org.vireo.vhostuser.VirtioNet;

/** A NIC of another process, built here beside it. */
final class ReceivedNic implements IncomingNic {
    private static final long CALL_MILLIS = 10_000;

    private final Nic nic;
    private final Consumer<ReceivedNic> owned;
    private final Runnable dropped;
    private final boolean loaded;
    /** Whether the port is opened when the NIC is taken: the source has it until then. */
    private final boolean opensLate;
    /** Whether another NIC has the port. */
    private final boolean waits;
    private final DressRehearsal rehearsal;
    private volatile long seq;
    private boolean taken;
    private boolean closed;

    private ReceivedNic(Nic nic, NicImage image, boolean loaded, boolean opensLate, Consumer<ReceivedNic> owned, Runnable dropped)
            throws StateTransferException {
        this.nic = nic;
        waits = NicImages.portElsewhere(image);
        rehearsal = DressRehearsal.of(image, nic.environment());
        this.loaded = loaded;
        this.opensLate = opensLate;
        seq = image.seq();
        this.owned = owned;
        this.dropped = dropped;
    }

    /**
     * Builds the NIC: maps its memory, loads its backend, touches nothing that is in use.
     *
     * @param awaiting the options of a NIC that waits for this one, or null
     * @param owned told when the NIC belongs to this process
     * @param dropped told when it does not any more, and never will
     */
    static ReceivedNic build(NicImage image, NicOptions awaiting, boolean transfer, long deadlineNanos, Environment env,
            Consumer<ReceivedNic> owned, Runnable dropped) throws Exception {
        Section s = NicImages.require(image, "nic");
        NicOptions sent = NicOptions.parse(NicImages.options(s, "option."));
        NicOptions options = awaiting == null ? sent : awaiting;
        compare(sent, options);
        NicBlockMemory block = NicBlockMemory.open(NicImages.require(image, "block").descriptor("file").duplicate());
        Nic nic = new Nic(options, env, block);
        boolean waits = NicImages.portElsewhere(image);
        boolean loads = transfer && options.backendTransfer() && !waits;
        try {
            boolean opensLate = !loads && nic.binding() != null && NicImages.breaks(image);
            if (nic.binding() != null) {
                nic.binding().slot().users().receive(nic.backend(), !waits, deadlineNanos);
                if (!opensLate && !waits) {
                    bind(nic, image, loads, deadlineNanos);
                }
            }
            nic.custody().receive(NicImages.state(image, nic.state(), options.anyMemory()), session(nic, image));
            if (!opensLate && !waits) {
                checkFeatures(nic);
            }
            Section listener = image.section("listener").orElse(null);
            if (listener != null) {
                nic.endpoint().adopt(listener.descriptor("socket").duplicate());
            }
            nic.engine().startCountersFrom(NicImages.counters(image));
            return new ReceivedNic(nic, image, loads, opensLate, owned, dropped);
        } catch (Exception e) {
            nic.close(loads ? Disposal.LEAVE : Disposal.RELEASE);
            throw e;
        }
    }

    private static void bind(Nic nic, NicImage image, boolean loads, long deadlineNanos) throws Exception {
        if (!loads) {
            try {
                nic.binding().open();
            } catch (PortUnavailableException e) {
                throw e;
            } catch (NetdevException e) {
                throw new NetdevException(e.getMessage() + "; if only one process at a time can have it open: with break-before-make=on,"
                        + " set on both sides (migrate-set-parameters), the source closes it first", e);
            }
            return;
        }
        BackendState state = image.backend().orElseThrow(() -> new NicException("NIC " + image.nic()
                + ": the image has no backend state although backend-transfer is on"));
        if (state.queues().size() != nic.options().pairs()) {
            throw new NicException("NIC " + image.nic() + ": the backend state has " + state.queues().size() + " queues, the NIC has "
                    + nic.options().pairs() + " pairs");
        }
        nic.binding().load(state, NicImages.settings(image), deadlineNanos);
    }

    /** What a guest can see must not change under it. */
    private static void compare(NicOptions sent, NicOptions here) throws NicException {
        if (sent.backendTransfer() != here.backendTransfer()) {
            throw different(here.id(), "backend-transfer", sent.backendTransfer() ? "on" : "off", here.backendTransfer() ? "on" : "off");
        }
        for (String key : new String[] {"queues", "mac", "mtu", "netdev", "machine"}) {
            String there = sent.effective().getOrDefault(key, "");
            String mine = here.effective().getOrDefault(key, "");
            if (!there.equals(mine) && (here.explicit().containsKey(key) || !key.equals("mac"))) {
                throw different(here.id(), key, there, mine);
            }
        }
    }

    private static NicException different(String id, String option, String there, String here) {
        return new NicException("NIC " + id + ": " + option + " is " + there + " at the source and " + here
                + " at the target; both have to agree");
    }

    private static void checkFeatures(Nic nic) throws NicException {
        long missing = nic.state().features() & ~nic.vmm().offered();
        if (missing != 0) {
            throw new NicException("NIC " + nic.id() + ": the guest acknowledged " + VirtioNet.names(missing)
                    + ", which this process does not have");
        }
    }

    private static Session session(Nic nic, NicImage image) throws Exception {
        Section c = image.section("connection").orElse(null);
        if (c == null || !c.has("socket")) {
            return null;
        }
        Fd socket = c.descriptor("socket").duplicate();
        return nic.vmm().session(socket, NicImages.optional(c, "backend-requests"), c.number("vmm-pid"));
    }

    Nic nic() {
        return nic;
    }

    @Override
    public String id() {
        return nic.id();
    }

    @Override
    public NicBlock block() {
        return nic.block();
    }

    @Override
    public String rehearse(long deadlineNanos) {
        return rehearsal.report(id(), deadlineNanos);
    }

    @Override
    public void change(NicImage change) throws NicException {
        try (change) {
            call(() -> {
                nic.custody().update(NicImages.state(change, nic.state(), nic.options().anyMemory()));
                if (change.section("connection").isPresent()) {
                    nic.custody().update(session(nic, change));
                }
                if (!opensLate && !waits) {
                    checkFeatures(nic);
                }
                seq = change.seq();
                return null;
            });
        }
    }

    @Override
    public long seq() {
        return seq;
    }

    @Override
    public void take() throws NicException {
        callHere(() -> {
            if (opensLate && nic.binding().port() == null) {
                nic.binding().open();
                nic.link().ofPort();
                checkFeatures(nic);
            }
            nic.custody().startTaken();
            taken = true;
            return null;
        });
    }

    @Override
    public void giveBack() throws NicException {
        call(() -> {
            nic.custody().stopTaken();
            if (opensLate) {
                // the source may open it as soon as the word says so
                nic.binding().breakOff();
            }
            taken = false;
            return null;
        });
    }

    @Override
    public void own() {
        boolean ahead = Long.compareUnsigned(seq, block().seq()) > 0;
        closed = true;
        try {
            call(() -> {
                nic.custody().own(ahead);
                return null;
            });
        } catch (NicException e) {
            throw new IllegalStateException(e.getMessage(), e);
        } finally {
            owned.accept(this);
            rehearsal.close();
        }
    }

    @Override
    public void close() {
        if (!closed) {
            closed = true;
            rehearsal.close();
            nic.close(loaded || opensLate || taken ? Disposal.LEAVE : Disposal.RELEASE);
            dropped.run();
        }
    }

    private void call(Callable<Void> what) throws NicException {
        named(() -> nic.actor().call(Urgency.HANDOVER, CALL_MILLIS, what));
    }

    private void callHere(Callable<Void> what) throws NicException {
        named(() -> nic.actor().callHere(Urgency.HANDOVER, CALL_MILLIS, what));
    }

    private void named(Callable<Void> what) throws NicException {
        try {
            what.call();
        } catch (NicException e) {
            throw e;
        } catch (Exception | InternalError e) {
            // its VMM's memory was truncated, perhaps: other NICs are taken by the same thread
            throw new NicException("NIC " + id() + ": " + e.getMessage(), e);
        }
    }

    static Map<String, String> netdevOptions(NicImage image) throws Exception {
        return NicImages.options(NicImages.require(image, "nic"), "netdev-option.");
    }
}
