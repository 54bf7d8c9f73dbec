// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.vireo.net.api.Fd;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.FrameQueue;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.VringPort;
import org.vireo.posix.Descriptors;

/**
 * A port with what stays the same for its life, asked for once on the backend's thread: so that neither the NIC's actor nor a worker
 * calls a backend's code for it.
 *
 * @param port the port
 * @param profile what it can do
 * @param news what it has said since
 * @param queues one for each pair of the NIC; none: it takes the rings
 * @param events the queues' descriptors
 */
public record OpenedPort(NetPort port, PortProfile profile, PortNews news, List<FrameQueue> queues, List<Fd> events) {
    /**
     * Asks for them. On the backend's thread.
     *
     * @throws NetdevException what it gave is of no use
     */
    static OpenedPort of(NetPort given, PortProfile profile, PortNews news, int pairs) throws NetdevException {
        boolean frames = given instanceof FramePort;
        if (frames == given instanceof VringPort) {
            throw new NetdevException("gave a port that is " + (frames ? "both a FramePort and a VringPort"
                    : "neither a FramePort nor a VringPort"));
        }
        return frames ? of((FramePort) given, profile, news, pairs) : new OpenedPort(given, profile, news, List.of(), List.of());
    }

    private static OpenedPort of(FramePort port, PortProfile profile, PortNews news, int pairs) throws NetdevException {
        List<FrameQueue> queues = new ArrayList<>();
        List<Fd> events = new ArrayList<>();
        for (int i = 0; i < pairs; i++) {
            queues.add(usable("queue", i, port.queue(i), queues));
            Fd fd = usable("descriptor to poll", i, queues.get(i).events(), events);
            // a worker asks it for its number
            if (!Descriptors.made(fd) || !fd.isOpen()) {
                throw new NetdevException("gave a descriptor to poll for pair " + i + " that " + (Descriptors.made(fd) ? "is closed"
                        : "was not made by OpenContext.fds()"));
            }
            events.add(fd);
        }
        return new OpenedPort(port, profile, news, List.copyOf(queues), List.copyOf(events));
    }

    /**
     * What it can do: what it said last, or what it could when it was opened.
     *
     * @return the profile
     */
    @Override
    public PortProfile profile() {
        return news.latestProfile().filter(p -> p.pairs() >= profile.pairs()).orElse(profile);
    }

    /**
     * Whether it takes the guest's rings: no frame passes this process.
     *
     * @return whether
     */
    public boolean takesRings() {
        return port instanceof VringPort;
    }

    /**
     * Its link: what it said last, or what it was when it was opened.
     *
     * @return whether it is up, and why not
     */
    public PortLink link() {
        return news.latestLink().orElseGet(() -> new PortLink(profile.linkUp(), ""));
    }

    /**
     * Why it has failed, also if it said so when it did not serve.
     *
     * @return empty: it has not
     */
    public Optional<Exception> failure() {
        return news.failure();
    }

    /**
     * Whether it has said that its state is no more what was saved last.
     *
     * @return whether
     */
    public boolean isStateChanged() {
        return news.isStateChanged();
    }

    private static <T> T usable(String what, int pair, T given, List<T> before) throws NetdevException {
        if (given == null) {
            throw new NetdevException("gave no " + what + " for pair " + pair);
        }
        if (before.stream().anyMatch(b -> b == given)) {
            throw new NetdevException("gave one " + what + " for two pairs, the second one is pair " + pair);
        }
        return given;
    }
}
