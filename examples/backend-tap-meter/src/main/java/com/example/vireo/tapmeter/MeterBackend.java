// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.tapmeter;

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
import org.vireo.posix.PosixException;

/**
 * Netdev type {@code tap-meter}. It reads and writes the state of type {@code tap}, so either takes the other's place; threads as
 * {@link NetBackend} says.
 */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.tapmeter",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=tap-meter")
public final class MeterBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private MeterPort port;

    /**
     * For Declarative Services.
     *
     * @param properties the configuration; what the framework adds is ignored
     */
    @Activate
    public MeterBackend(Map<String, Object> properties) {
        this(String.valueOf(properties.get(NETDEV_ID)), properties);
    }

    /**
     * A netdev. Nothing is opened or checked.
     *
     * @param id its id
     * @param options its options: those of the tap that it takes over
     */
    public MeterBackend(String id, Map<String, ?> options) {
        this.id = id;
        raw = Map.copyOf(options);
    }

    @Override
    public void validate() throws NetdevException {
        MeterOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        port = MeterOpener.open(MeterOptions.parse(id, raw), context);
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return TapState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        MeterPort mine = mine(p);
        try {
            Tun.name(mine.first());
        } catch (PosixException e) {
            throw new StateTransferException("netdev " + id + ": the interface cannot move, it was deleted: " + e.getMessage()
                    + "; make it again and reopen the netdev", e);
        }
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        MeterPort mine = mine(p);
        if (!TapState.FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": state tap version " + version + " cannot be written, only "
                    + TapState.FORMAT.writes());
        }
        return mine.state().save(id, mine);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        MeterPort loaded;
        try {
            loaded = MeterPort.loaded(MeterOptions.parse(id, raw), context, state);
        } catch (StateTransferException e) {
            throw e;
        } catch (NetdevException e) {
            throw new StateTransferException(e.getMessage(), e);
        }
        if (!context.rehearsal()) {
            port = loaded;
        }
        return loaded;
    }

    private boolean isOpen() {
        return port != null && !port.isClosed();
    }

    private MeterPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port to move is not the open one of this netdev");
        }
        return port;
    }
}
