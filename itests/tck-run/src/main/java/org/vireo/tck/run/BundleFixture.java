// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck.run;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import org.junit.jupiter.api.Assumptions;
import org.osgi.framework.ServiceReference;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.posix.Descriptors;
import org.vireo.tck.BackendFixture;

/**
 * Gives the kit backends out of a bundle in a framework, configured as the command line says. In the kit's other process too: what the
 * command line was is in a system property.
 */
public final class BundleFixture implements BackendFixture {
    /** System property with the arguments of {@code vireo tck}, a line each. */
    static final String ARGUMENTS = "vireo.tck.arguments";
    /** System property with the folder of the distribution. */
    static final String HOME = "vireo.home";

    private static final int CAP_NET_ADMIN = 12;
    /** Why the netdev does not open without the rights of root; empty: it does. */
    private static String lacking;
    private static Platform platform;
    private static int instances;

    private final RunOptions options;
    private final BackendFixture given;

    /**
     * Starts the framework, if this is the first one in the process: it serves all rules, since none leaves a netdev behind.
     *
     * @throws Exception the command line is wrong, or the bundle does not start
     */
    public BundleFixture() throws Exception {
        options = RunOptions.parse(List.of(System.getProperty(ARGUMENTS).split("\n")));
        given = given(options.fixture());
        if (platform == null) {
            platform = Platform.start(BundleFile.of(options.bundle(), options.type()), Path.of(System.getProperty(HOME)));
            Runtime.getRuntime().addShutdownHook(new Thread(platform::close, "vireo-tck end"));
        }
    }

    private static BackendFixture given(Path path) throws IOException, RunException {
        if (path == null) {
            return null;
        }
        if (!Files.exists(path)) {
            throw new RunException("--fixture " + path + ": there is no such jar or folder");
        }
        // never closed: it has to be there as long as the fixture
        ClassLoader loader = new URLClassLoader(new URL[] {path.toUri().toURL()}, BackendFixture.class.getClassLoader());
        return ServiceLoader.load(BackendFixture.class, loader).findFirst().orElseThrow(() -> new RunException("--fixture " + path
                + ": names no fixture in META-INF/services/" + BackendFixture.class.getName()));
    }

    /** Why a netdev does not open though it might if this were root, or null. Looked at once. */
    private String lacking() throws Exception {
        if (lacking == null && isMighty()) {
            lacking = "";
        }
        if (lacking == null) {
            lacking = "";
            try {
                NetPort p = backend("tckrights", options.config(1)).open(new KitRights());
                p.close(NetPort.Disposal.RELEASE);
            } catch (NetdevException e) {
                lacking = e.getMessage();
            }
        }
        return lacking.isEmpty() ? null : lacking;
    }

    private static boolean isMighty() throws IOException {
        String caps = Files.readAllLines(Path.of("/proc/self/status")).stream().filter(l -> l.startsWith("CapEff:")).findFirst()
                .map(l -> l.substring("CapEff:".length()).strip()).orElse("0");
        return (Long.parseUnsignedLong(caps, 16) & 1L << CAP_NET_ADMIN) != 0;
    }

    Platform platform() {
        return platform;
    }

    RunOptions options() {
        return options;
    }

    @Override
    public void require() {
        if (given != null) {
            given.require();
        }
    }

    @Override
    public boolean takesRings() {
        return given != null && given.takesRings();
    }

    @Override
    public int maxPairs() {
        return given == null ? options.pairs() : Math.max(options.pairs(), given.maxPairs());
    }

    @Override
    public Network network(int pairs) throws Exception {
        if (given != null) {
            return new Configured(given.network(pairs), options.config(pairs));
        }
        String name = options.network(pairs);
        Assumptions.assumeTrue(lacking() == null, () -> "not root, and the netdev does not open: " + lacking);
        return name == null ? new NoNetwork(options.config(pairs)) : new InterfaceNetwork(name, options.config(pairs));
    }

    @Override
    public CongestedNetwork congestedNetwork() throws Exception {
        CongestedNetwork n = given == null ? null : given.congestedNetwork();
        Assumptions.assumeTrue(n != null || given != null, "only a fixture (--fixture) has a network that can be made full");
        return n == null ? null : new ConfiguredCongested(n, options.config(1));
    }

    @Override
    public ExternalNetwork externalNetwork() throws Exception {
        ExternalNetwork n = given == null ? null : given.externalNetwork();
        return n == null ? null : new ConfiguredExternal(n, options.config(1));
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        Map<String, Map<String, ?>> all = new LinkedHashMap<>();
        if (given != null) {
            all.putAll(given.refusedOptions());
        }
        options.refuse().forEach((name, value) -> {
            Map<String, String> o = options.config(1);
            o.put(name, value);
            all.put(name, o);
        });
        return all;
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> config) throws Exception {
        return platform.object(service(id, config));
    }

    /** The service of a new netdev. */
    ServiceReference<?> service(String id, Map<String, ?> config) throws IOException {
        return platform.netdev(id + "x" + ++instances, config);
    }

    @Override
    public Map<String, String> systemProperties() {
        Map<String, String> all = new LinkedHashMap<>(given == null ? Map.of() : given.systemProperties());
        all.put(ARGUMENTS, System.getProperty(ARGUMENTS));
        all.put(HOME, System.getProperty(HOME));
        return all;
    }

    @Override
    public void close() {
        try {
            platform.forgetNetdevs();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } finally {
            if (given != null) {
                given.close();
            }
        }
    }

    private static Map<String, Object> merged(Map<String, ?> options, Map<String, ?> more) {
        Map<String, Object> all = new LinkedHashMap<>(options);
        all.putAll(more);
        return all;
    }

    /** A fixture's network, with options of the command line. */
    private static class Configured implements Network {
        private final Network network;
        private final Map<String, ?> more;

        Configured(Network network, Map<String, ?> more) {
            this.network = network;
            this.more = more;
        }

        @Override
        public Map<String, ?> options() {
            return merged(network.options(), more);
        }

        @Override
        public void opened() {
            network.opened();
        }

        @Override
        public void send(byte[] frame) {
            network.send(frame);
        }

        @Override
        public byte[] take(Duration limit) {
            return network.take(limit);
        }

        @Override
        public String observe() {
            return network.observe();
        }

        @Override
        public void close() {
            network.close();
        }
    }

    private static final class ConfiguredCongested extends Configured implements CongestedNetwork {
        private final CongestedNetwork network;

        ConfiguredCongested(CongestedNetwork network, Map<String, ?> more) {
            super(network, more);
            this.network = network;
        }

        @Override
        public void block() {
            network.block();
        }

        @Override
        public void unblock() {
            network.unblock();
        }
    }

    private static final class ConfiguredExternal extends Configured implements ExternalNetwork {
        private final ExternalNetwork network;

        ConfiguredExternal(ExternalNetwork network, Map<String, ?> more) {
            super(network, more);
            this.network = network;
        }

        @Override
        public void come(boolean able) {
            network.come(able);
        }

        @Override
        public void go() {
            network.go();
        }
    }

    /** Opens a netdev to see whether it opens. */
    private static final class KitRights implements OpenContext, PortListener {
        private final Fds fds = new Descriptors();
        private final long deadline = System.nanoTime() + Duration.ofSeconds(10).toNanos();

        @Override
        public Fds fds() {
            return fds;
        }

        @Override
        public PortListener listener() {
            return this;
        }

        @Override
        public long deadlineNanos() {
            return deadline;
        }

        @Override
        public boolean rehearsal() {
            return false;
        }

        @Override
        public int pairs() {
            return 1;
        }

        @Override
        public void link(boolean up) {
            // nobody asks
        }

        @Override
        public void profile(PortProfile now) {
            // nobody asks
        }

        @Override
        public void stateChanged() {
            // nobody asks
        }

        @Override
        public void failed(Exception why) {
            // the rules will see it
        }
    }

    /**
     * What is known without --network: nothing of what comes out.
     *
     * @param options the netdev's
     */
    private record NoNetwork(Map<String, String> options) implements Network {
        private static final String WHY = "not known where frames come out (--network INTERFACE, or --fixture)";

        @Override
        public void send(byte[] frame) {
            Assumptions.abort(WHY);
        }

        @Override
        public byte[] take(Duration limit) {
            return Assumptions.abort(WHY);
        }

        @Override
        public String observe() {
            return "";
        }

        @Override
        public void close() {
            // there is none
        }
    }
}
