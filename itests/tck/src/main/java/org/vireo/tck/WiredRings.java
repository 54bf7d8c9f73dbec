// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.vireo.net.api.BackendState;
import org.vireo.net.api.Fd;
import org.vireo.net.api.GuestMemory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.RingPosition;
import org.vireo.net.api.Section;
import org.vireo.net.api.StateTransferException;
import org.vireo.net.api.VringPort;
import org.vireo.net.api.VringSpec;

/**
 * A driver's memory and rings as another process is told of them, in the form of a backend's state: a section with the features and the
 * regions, and one for each ring.
 */
final class WiredRings {
    private static final String TYPE = "vireo-tck-rings";

    private final BackendState state;

    /** What was received. */
    WiredRings(BackendState state) {
        this.state = state;
    }

    static BackendState of(KitDriver d) throws IOException {
        Section.Builder port = Section.builder("guest").number("features", d.features());
        List<GuestMemory.Region> regions = d.ram().memory().regions();
        for (int i = 0; i < regions.size(); i++) {
            GuestMemory.Region r = regions.get(i);
            port.number("guest" + i, r.guestAddress()).number("bytes" + i, r.bytes()).number("user" + i, r.userAddress())
                    .number("offset" + i, r.fileOffset()).descriptor("file" + i, r.file().duplicate());
        }
        List<Section> rings = new ArrayList<>();
        for (KitRing r : d.rings()) {
            VringSpec s = r.spec(RingPosition.of(0, 0), false, r.kick(), r.call());
            rings.add(Section.builder("ring " + rings.size()).number("size", s.size()).number("descriptors", s.descriptors())
                    .number("driver", s.driver()).number("device", s.device()).number("log", s.log())
                    .descriptor("kick", s.kick().duplicate()).descriptor("call", s.call().duplicate()).build());
        }
        try {
            return BackendState.of(TYPE, 1, port.build(), rings);
        } catch (StateTransferException e) {
            throw new IOException(e);
        }
    }

    private record Region(long guestAddress, long bytes, long userAddress, long fileOffset, Fd file) implements GuestMemory.Region { }

    private record Ring(int size, long descriptors, long driver, long device, long log, RingPosition position, boolean mayRun, Fd kick,
            Fd call) implements VringSpec { }

    /** Tells a port that was loaded all of it, and starts the rings where they are. */
    void start(VringPort port, String[] positions) throws NetdevException, StateTransferException {
        Section g = state.port();
        List<GuestMemory.Region> regions = new ArrayList<>();
        for (int i = 0; g.has("guest" + i); i++) {
            regions.add(new Region(g.number("guest" + i), g.number("bytes" + i), g.number("user" + i), g.number("offset" + i),
                    g.descriptor("file" + i)));
        }
        port.features(g.number("features"));
        port.memory(() -> regions);
        port.log(null);
        for (int i = 0; i < state.queues().size(); i++) {
            port.enable(i, true);
        }
        for (int i = 0; i < state.queues().size(); i++) {
            Section s = state.queues().get(i);
            port.start(i, new Ring((int) s.number("size"), s.number("descriptors"), s.number("driver"), s.number("device"), s.number("log"),
                    position(positions[i]), false, s.descriptor("kick"), s.descriptor("call")));
        }
    }

    /** Stops the rings: where they are, null for where the used ring says. */
    List<RingPosition> stop(VringPort port) throws NetdevException {
        List<RingPosition> all = new ArrayList<>();
        for (int i = 0; i < state.queues().size(); i++) {
            all.add(port.stop(i));
        }
        return all;
    }

    static String text(RingPosition p) {
        return p == null ? "-" : p.available() + ":" + p.used();
    }

    /** The reverse of {@link #text}. */
    static RingPosition position(String text) {
        int colon = text.indexOf(':');
        return colon < 0 ? null : RingPosition.of(Integer.parseInt(text.substring(0, colon)), Integer.parseInt(text.substring(colon + 1)));
    }
}
