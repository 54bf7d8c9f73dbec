## SPDX-License-Identifier: Apache-2.0
package ${package};

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

/**
 * Netdev type {@code ${type}}. Declarative Services makes one for each configuration {@code netdev.${type.replace("-", "")}~ID}. All
 * methods are called on control threads, one at a time, and may block for a while; frames pass through {@link DatagramQueue}.
 */
@Component(service = {NetBackend.class, BackendStateTransfer.class}, configurationPid = "netdev.${type.replace("-", "")}",
        configurationPolicy = ConfigurationPolicy.REQUIRE, property = "netdev.type=${type}")
public final class DatagramBackend implements NetBackend, BackendStateTransfer {
    private final String id;
    private final Map<String, ?> raw;
    private DatagramPort port;

    /**
     * For Declarative Services.
     *
     * @param properties the configuration; what the framework adds is ignored
     */
    @Activate
    public DatagramBackend(Map<String, Object> properties) {
        this(String.valueOf(properties.get(NETDEV_ID)), properties);
    }

    /**
     * A netdev. Opens nothing, and checks nothing: an error here would reach nobody.
     *
     * @param id its id
     * @param options its options
     */
    public DatagramBackend(String id, Map<String, ?> options) {
        this.id = id;
        raw = Map.copyOf(options);
    }

    @Override
    public void validate() throws NetdevException {
        DatagramOptions.parse(id, raw);
    }

    @Override
    public NetPort open(OpenContext context) throws NetdevException {
        if (isOpen()) {
            throw AlreadyOpenException.opening(id);
        }
        DatagramOptions options = DatagramOptions.parse(id, raw);
        options.requirePairs(context.pairs());
        port = new DatagramPort(options, context, UnixSocket.open(options, context.fds()));
        return port;
    }

    @Override
    public StateFormat stateFormat() {
        return DatagramState.FORMAT;
    }

    @Override
    public void check(NetPort p) throws StateTransferException {
        // such a socket can always move; a backend that sometimes cannot says here why
        mine(p);
    }

    @Override
    public BackendState save(NetPort p, int version) throws StateTransferException {
        DatagramPort mine = mine(p);
        if (!DatagramState.FORMAT.writes().contains(version)) {
            throw new StateTransferException("netdev " + id + ": state ${type} version " + version + " cannot be written, only "
                    + DatagramState.FORMAT.writes());
        }
        return DatagramState.save(id, mine);
    }

    @Override
    public NetPort load(BackendState state, OpenContext context) throws StateTransferException, AlreadyOpenException {
        // a rehearsal beside the real port is no second one
        if (isOpen() && !context.rehearsal()) {
            throw AlreadyOpenException.loading(id);
        }
        DatagramPort loaded;
        try {
            DatagramOptions options = DatagramOptions.parse(id, raw);
            options.requirePairs(context.pairs());
            loaded = new DatagramPort(options, context, DatagramState.load(options, state));
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

    private DatagramPort mine(NetPort p) throws StateTransferException {
        if (p != port || !isOpen()) {
            throw new StateTransferException("netdev " + id + ": the port to move is not the open one of this netdev");
        }
        return port;
    }
}
