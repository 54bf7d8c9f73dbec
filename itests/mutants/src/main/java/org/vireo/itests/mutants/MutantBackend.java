// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.mutants;

import java.util.Map;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.ConfigurationPolicy;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.Posix;

/** A netdev of type {@code mutant}. */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.mutant",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=mutant")
public final class MutantBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private final Fault fault;
    private MutantPort port;
    private int formats;

    /**
     * For Declarative Services.
     *
     * @param properties the configuration
     * @throws NetdevException the fault is that it fails here
     */
    @Activate
    public MutantBackend(Map<String, Object> properties) throws NetdevException {
        this(String.valueOf(properties.get(NETDEV_ID)), properties);
    }

    /**
     * A netdev.
     *
     * @param id its id
     * @param options its options
     * @throws NetdevException the fault is that it fails here
     */
    public MutantBackend(String id, Map<String, ?> options) throws NetdevException {
        this.id = id;
        raw = Map.copyOf(options);
        fault = MutantOptions.fault(raw);
        if (fault == Fault.ACTIVATION_FAILS) {
            MutantOptions.parse(id, raw);
        }
    }

    @Override
    public void validate() throws NetdevException {
        MutantOptions o = MutantOptions.parse(id, raw);
        if (fault == Fault.VALIDATE_OPENS) {
            Posix.duplicate(o.fd());
        }
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen() && fault != Fault.OPENS_TWICE) {
            throw fault == Fault.NO_MESSAGE ? new AlreadyOpenException(null) : AlreadyOpenException.opening(id);
        }
        MutantOptions o = MutantOptions.parse(id, raw);
        if (context.pairs() > 1 && fault != Fault.TOO_FEW_PAIRS) {
            if (fault == Fault.OPEN_LEAKS) {
                Posix.duplicate(o.fd());
            }
            throw new NetdevException("netdev " + id + ": has one pair, and the NIC has " + context.pairs());
        }
        int fd = Posix.duplicate(o.fd());
        if (fd < 0) {
            throw new NetdevException("netdev " + id + ": fd=" + o.fd() + " is not open: pass the number of a socket");
        }
        port = new MutantPort(fault, context, context.fds().adopt(fd, "netdev " + id), 0);
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return fault == Fault.FORMAT_CHANGES ? StateFormat.of(MutantState.TYPE, 1, 1).reads("other", 1, 1 + formats++).build()
                : MutantState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        mine(p);
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        MutantPort mine = mine(p);
        if (version != MutantState.VERSION) {
            if (fault == Fault.SAVES_NULL) {
                return null;
            }
            throw new StateTransferException("netdev " + id + ": version " + version + " cannot be written");
        }
        return MutantState.save(fault, mine);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal() && fault != Fault.LOADS_TWICE && fault != Fault.OPENS_TWICE) {
            throw AlreadyOpenException.loading(id);
        }
        MutantPort loaded = MutantState.load(fault, state, context);
        if (context.rehearsal() && fault == Fault.REHEARSAL_ACTS) {
            MutantPort.tell(Integer.parseInt(String.valueOf(raw.get("fd"))), "rehearsed");
        }
        if (!context.rehearsal() || fault == Fault.REHEARSAL_COUNTS) {
            port = loaded;
        }
        return loaded;
    }

    private boolean isOpen() {
        return port != null && !port.isClosed();
    }

    private MutantPort mine(NetPort p) throws StateTransferException {
        if (p instanceof MutantPort any && fault == Fault.SAVES_ANY_PORT && !any.isClosed()) {
            return any;
        }
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port is not the open one of this netdev");
        }
        return port;
    }
}
