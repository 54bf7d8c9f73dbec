// SPDX-License-Identifier: Apache-2.0
package org.vireo.control;

import java.io.IOException;
import java.util.Dictionary;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.Hashtable;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.osgi.framework.BundleContext;
import org.osgi.framework.InvalidSyntaxException;
import org.osgi.service.cm.Configuration;
import org.osgi.service.cm.ConfigurationAdmin;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Reference;
import org.vireo.control.qmp.OptionSyntax;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.nic.NetdevConfigurations;
import org.vireo.net.api.nic.NicException;

/** Netdevs as factory configurations: {@code netdev.TYPE~ID}, so that the backend's component comes alive. Any thread. */
@Component(service = {NetdevConfigurations.class, NetdevStore.class})
public final class NetdevStore implements NetdevConfigurations {
    /** What an id may be, for messages. */
    static final String ID_RULE = "an id begins with a letter, then come letters, digits, '-', '.', '_', 64 at most";

    private final ConfigurationAdmin configurations;
    private final BackendCatalog backends;
    private final BackendInstaller installer;
    /** The last one given to a netdev; guarded by this. */
    private final Map<String, Integer> revisions = new HashMap<>();

    /**
     * A store.
     *
     * @param context finds the installed backends
     * @param configurations keeps the configurations
     */
    @Activate
    public NetdevStore(BundleContext context, @Reference ConfigurationAdmin configurations) {
        this.configurations = configurations;
        this.backends = new BackendCatalog(context);
        this.installer = new BackendInstaller(context);
    }

    /** A configured netdev. */
    record Netdev(String id, String type, int revision, Map<String, String> options) { }

    BackendCatalog backends() {
        return backends;
    }

    BackendInstaller installer() {
        return installer;
    }

    @Override
    public synchronized void create(String type, String id, Map<String, String> options) throws NicException {
        if (!find(id).isEmpty()) {
            throw new NicException("netdev " + id + ": the id is taken");
        }
        createBeside(type, id, 0, options);
    }

    @Override
    public synchronized void follow(String type, String id, int revision, Map<String, String> options) throws NicException {
        if (find(id).stream().allMatch(c -> revision(c.getProperties()) < revision)) {
            createBeside(type, id, revision, options);
            deleteOthers(id, revision);
        }
    }

    /** A configuration beside the one that the netdev has, of the same type or another one, with another revision. */
    synchronized void createBeside(String type, String id, int revision, Map<String, String> options) throws NicException {
        requireId("netdev", id);
        Set<String> types = backends.types();
        if (!types.contains(type)) {
            throw new NicException("netdev " + id + ": " + BackendCatalog.lacking(type, types));
        }
        Dictionary<String, Object> properties = new Hashtable<>();
        for (Map.Entry<String, String> e : options.entrySet()) {
            try {
                OptionSyntax.requireKey(e.getKey());
            } catch (OptionSyntax.SyntaxException x) {
                throw new NicException("netdev " + id + ": " + x.getMessage(), x);
            }
            properties.put(e.getKey(), e.getValue());
        }
        properties.put(NetBackend.NETDEV_ID, id);
        properties.put(NetBackend.NETDEV_TYPE, type);
        if (revision > 0) {
            properties.put(NetBackend.NETDEV_REVISION, revision);
        }
        // no id has a colon
        String instance = revision == 0 ? id : id + ":" + revision;
        try {
            configurations.getFactoryConfiguration(NetBackend.PID_PREFIX + type.replace("-", ""), instance, "?").update(properties);
        } catch (IOException e) {
            throw new NicException("netdev " + id + ": its configuration cannot be kept: " + e.getMessage(), e);
        }
    }

    @Override
    public synchronized boolean delete(String id) throws NicException {
        List<Configuration> found = find(id);
        for (Configuration c : found) {
            delete(id, c);
        }
        revisions.remove(id);
        return !found.isEmpty();
    }

    /** A revision that no configuration of a netdev has had: services of one that was refused may still be leaving. */
    synchronized int nextRevision(Netdev now) {
        return revisions.merge(now.id(), now.revision() + 1, (last, next) -> Math.max(last + 1, next));
    }

    /** All but the one of a revision. */
    synchronized void deleteOthers(String id, int revision) throws NicException {
        for (Configuration c : find(id)) {
            if (revision(c.getProperties()) != revision) {
                delete(id, c);
            }
        }
    }

    private static int revision(Dictionary<String, Object> properties) {
        return properties.get(NetBackend.NETDEV_REVISION) instanceof Integer i ? i : 0;
    }

    private static void delete(String id, Configuration c) throws NicException {
        try {
            c.delete();
        } catch (IOException e) {
            throw new NicException("netdev " + id + ": its configuration cannot be removed: " + e.getMessage(), e);
        }
    }

    /** The configured netdevs, whoever configured them. */
    List<Netdev> list() throws NicException {
        return configurations("(" + NetBackend.NETDEV_ID + "=*)").stream().map(NetdevStore::netdev).toList();
    }

    /** The one of an id. */
    Optional<Netdev> netdev(String id) throws NicException {
        return find(id).stream().map(NetdevStore::netdev).findFirst();
    }

    private static Netdev netdev(Configuration c) {
        Dictionary<String, Object> properties = c.getProperties();
        Map<String, String> options = new LinkedHashMap<>();
        for (Enumeration<String> keys = properties.keys(); keys.hasMoreElements();) {
            String key = keys.nextElement();
            if (key.indexOf('.') < 0) {
                options.put(key, String.valueOf(properties.get(key)));
            }
        }
        return new Netdev(String.valueOf(properties.get(NetBackend.NETDEV_ID)), String.valueOf(properties.get(NetBackend.NETDEV_TYPE)),
                revision(properties), options);
    }

    private List<Configuration> find(String id) throws NicException {
        // ids that were checked hold nothing that a filter would have to escape; others cannot exist
        return isId(id) ? configurations("(" + NetBackend.NETDEV_ID + "=" + id + ")") : List.of();
    }

    private List<Configuration> configurations(String filter) throws NicException {
        try {
            Configuration[] found = configurations.listConfigurations(filter);
            return found == null ? List.of() : List.of(found);
        } catch (IOException | InvalidSyntaxException e) {
            throw new NicException("the configurations cannot be read: " + e.getMessage(), e);
        }
    }

    static boolean isId(String id) {
        return id.matches("[A-Za-z][A-Za-z0-9._-]{0,63}");
    }

    static void requireId(String what, String id) throws NicException {
        if (!isId(id)) {
            throw new NicException(what + " '" + id + "': " + ID_RULE);
        }
    }
}
