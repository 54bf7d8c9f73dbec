// SPDX-License-Identifier: Apache-2.0
package com.example.vireo.packet;

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

/** Netdev type {@code packet}. Its options are {@link PacketOptions}; threads as {@link NetBackend} says. */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.packet",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=packet")
public final class PacketBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private PacketPort port;

    /**
     * For Declarative Services.
     *
     * @param properties the configuration; what the framework adds is ignored
     */
    @Activate
    public PacketBackend(Map<String, Object> properties) {
        this(String.valueOf(properties.get(NETDEV_ID)), properties);
    }

    /**
     * A netdev. Nothing is opened or checked.
     *
     * @param id its id
     * @param options its options
     */
    public PacketBackend(String id, Map<String, ?> options) {
        this.id = id;
        raw = Map.copyOf(options);
    }

    @Override
    public void validate() throws NetdevException {
        PacketOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        port = PacketOpener.open(PacketOptions.parse(id, raw), context);
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return PacketState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        PacketPort mine = mine(p);
        try {
            PacketSocket.nameOf(mine.first(), mine.facts().index());
        } catch (PosixException e) {
            throw new StateTransferException("netdev " + id + ": " + mine.facts().name() + " cannot move, it was deleted: " + e.getMessage()
                    + "; make it again and reopen the netdev", e);
        }
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        PacketPort mine = mine(p);
        if (!PacketState.FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": state packet version " + version + " cannot be written, only "
                    + PacketState.FORMAT.writes());
        }
        return PacketState.save(id, mine);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        PacketPort loaded;
        try {
            loaded = PacketState.load(PacketOptions.parse(id, raw), state, context);
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

    private PacketPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port to move is not the open one of this netdev");
        }
        return port;
    }
}
