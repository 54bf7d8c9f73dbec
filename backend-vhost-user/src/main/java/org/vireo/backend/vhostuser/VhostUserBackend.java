// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import java.util.Map;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.ConfigurationPolicy;
import org.osgi.service.metatype.annotations.Designate;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;

/**
 * Netdev type {@code vhost-user}, with the options path, server, reconnect-ms, queues and vhostforce.
 *
 * <p>A Declarative Services component, and a plain class for those who have no framework. Threads as {@link NetBackend} says.
 */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.vhostuser",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=vhost-user")
@Designate(ocd = VhostUserConfiguration.class, factory = true)
public final class VhostUserBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private final Pace pace;
    private VhostUserPort port;

    /**
     * For Declarative Services. The netdev's id is {@value NetBackend#NETDEV_ID} or, if that is missing, the instance's name: what
     * follows '~' in the configuration's pid.
     *
     * @param properties the configuration; what the framework adds is ignored
     */
    @Activate
    public VhostUserBackend(Map<String, Object> properties) {
        this(idOf(properties), properties);
    }

    /**
     * A netdev. Nothing is opened or checked.
     *
     * @param id its id
     * @param options its options, values as text, number or boolean; checked by {@link #validate} and {@link #open}
     */
    public VhostUserBackend(String id, Map<String, ?> options) {
        this(id, options, Pace.USUAL);
    }

    VhostUserBackend(String id, Map<String, ?> options, Pace pace) {
        this.id = id;
        this.pace = pace;
        raw = Map.copyOf(options);
    }

    private static String idOf(Map<String, Object> properties) {
        Object given = properties.get(NETDEV_ID);
        if (given != null) {
            return given.toString();
        }
        String pid = String.valueOf(properties.get("service.pid"));
        return pid.substring(pid.indexOf('~') + 1);
    }

    @Override
    public void validate() throws NetdevException {
        VhostUserOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        port = Opener.open(VhostUserOptions.parse(id, raw), context, pace);
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return VhostUserState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        // also while a back-end is brought up: that is sent away by quiesce, and calls again where the port goes on
        mine(p);
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        VhostUserPort vhost = mine(p);
        if (!VhostUserState.FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": state vhost-user version " + version
                    + " cannot be written, only version " + VhostUserState.VERSION);
        }
        vhost.enter();
        try {
            return VhostUserState.save(vhost);
        } finally {
            vhost.leave();
        }
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        try {
            VhostUserPort loaded = VhostUserState.load(VhostUserOptions.parse(id, raw), state, context, pace);
            if (!context.rehearsal()) {
                port = loaded;
            }
            return loaded;
        } catch (StateTransferException e) {
            throw e;
        } catch (NetdevException e) {
            throw new StateTransferException(e.getMessage(), e);
        }
    }

    private boolean isOpen() {
        return port != null && !port.isClosed();
    }

    private VhostUserPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port to move is not the open one of this netdev");
        }
        return port;
    }
}
