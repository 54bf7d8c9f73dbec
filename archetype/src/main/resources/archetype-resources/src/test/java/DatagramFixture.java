## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.vireo.net.api.NetBackend;
import org.vireo.tck.BackendFixture;

/** Tells the kit how to make a backend, and what is at the other end of its network. */
public final class DatagramFixture implements BackendFixture {
    /** A fixture. The kit makes one in another process too. */
    public DatagramFixture() {
        // nothing is made before it is asked for
    }

    @Override
    public void require() {
        // neither root nor a device: see org.vireo.testsupport.Requirements for those who need them
    }

    @Override
    public int maxPairs() {
        return 1;
    }

    @Override
    public Network network(int pairs) throws IOException {
        return new OtherEnd(folder());
    }

    @Override
    public CongestedNetwork congestedNetwork() throws IOException {
        return new OtherEnd(folder());
    }

    private static Path folder() throws IOException {
        return Files.createTempDirectory("vireo-${type}");
    }

    @Override
    public Map<String, Map<String, ?>> refusedOptions() {
        return Map.of("nonsense", Map.of("path", "/tmp/a", "peer", "/tmp/b", "nonsense", "1"), "peer", Map.of("path", "/tmp/a"),
                "path=here", Map.of("path", "here", "peer", "/tmp/b"));
    }

    @Override
    public NetBackend backend(String id, Map<String, ?> options) {
        return new DatagramBackend(id, options);
    }

    @Override
    public Map<String, String> systemProperties() {
        return Map.of();
    }

    @Override
    public void close() {
        // a backend without open port holds nothing
    }
}
