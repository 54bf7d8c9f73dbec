// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.util.Map;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.ConfigurationPolicy;
import org.osgi.service.component.annotations.Deactivate;
import org.osgi.service.metatype.annotations.Designate;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.AlreadyOpenException;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.BackendStateTransfer;
import org.vireo.net.api.Fd;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.StateFormat;
import org.vireo.net.api.StateTransferException;
import org.vireo.posix.PosixException;

/**
 * Netdev type {@code tap}. The options are those of QEMU's {@code -netdev tap}, without vhost and helper: ifname, fd, fds, queues,
 * script, downscript, sndbuf, vnet_hdr, and br and mtu beside them.
 *
 * <p>A Declarative Services component, and a plain class for those who have no framework. Threads as {@link NetBackend} says.
 */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.tap",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=tap")
@Designate(ocd = TapConfiguration.class, factory = true)
public final class TapBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private TapPort port;

    /**
     * For Declarative Services. The netdev's id is {@value NetBackend#NETDEV_ID} or, if that is missing, the instance's name: what
     * follows '~' in the configuration's pid.
     *
     * @param properties the configuration; what the framework adds is ignored
     */
    @Activate
    public TapBackend(Map<String, Object> properties) {
        this(idOf(properties), properties);
    }

    /**
     * A netdev. Nothing is opened or checked.
     *
     * @param id its id
     * @param options its options, values as text, number or boolean; checked by {@link #validate} and when it is opened or loaded
     */
    public TapBackend(String id, Map<String, ?> options) {
        this.id = id;
        this.raw = Map.copyOf(options);
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
        TapOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        TapOptions options = TapOptions.parse(id, raw);
        port = new TapPort(options, context, TapOpener.open(options, context));
        port.watchLink();
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return TapState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        TapPort tap = mine(p);
        try {
            for (Fd fd : tap.descriptors()) {
                TapIoctl.Attachment a = TapIoctl.attachment(fd.number());
                if (!a.has(TapIoctl.IFF_TAP)) {
                    throw new StateTransferException("netdev " + id + ": interface " + a.name() + " is no TAP");
                }
            }
        } catch (PosixException e) {
            throw new StateTransferException("netdev " + id + ": interface " + tap.facts().name() + " cannot move, it was deleted: "
                    + e.getMessage() + "; make it again and reopen the netdev", e);
        }
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        TapPort tap = mine(p);
        if (!TapState.FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": state tap version " + version + " cannot be written, only version "
                    + TapState.VERSION);
        }
        return TapState.save(id, tap);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        try {
            TapPort loaded = TapState.load(TapOptions.parse(id, raw), state, context);
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

    private TapPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port to move is not the open one of this netdev");
        }
        return port;
    }

    /** The port, if there is one, is closed by whoever opened it; nothing of the bundle waits for news of its link any more. */
    @Deactivate
    void deactivate() {
        if (isOpen()) {
            port.unwatchLink();
            LoggerFactory.getLogger(TapBackend.class).debug("netdev {}: deactivated with an open port", id);
        }
    }
}
