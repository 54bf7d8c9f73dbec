// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.traffic.Load;

/** Something that is a guest on a NIC, and the host side that it talks to. One thread. */
public interface Guest {
    /** What {@code --guest} calls it. */
    String kind();

    /** The namespace in which daemons run and in which their TAP is. */
    Namespace host();

    /** The TAP's name. */
    String tap();

    /**
     * Attaches to a NIC.
     *
     * @param socket where a daemon listens
     * @throws BenchException it does not come up
     */
    void attach(Path socket) throws BenchException;

    /**
     * Pings the guest from the host.
     *
     * @param count how often
     * @return how many came back
     * @throws BenchException ping could not be run
     */
    int ping(int count) throws BenchException;

    /**
     * Moves bytes both ways over TCP and checks each of them.
     *
     * @param seconds about how long each way
     * @return {@code out_mbit} and {@code in_mbit}, as the guest sees it
     * @throws BenchException a byte was wrong, or a connection failed
     */
    Map<String, Object> tcp(double seconds) throws BenchException;

    /** Frames a second and direction that it can do without losing any by itself. */
    int rate();

    /** Starts numbered traffic both ways; returns when the frames that count flow. */
    Load load(int rate) throws BenchException;

    /** What was thrown away on the way outside of Vireo, by place; for a message about a loss. */
    List<String> drops() throws BenchException;

    /** Whether it is still there; the message says what ended it. */
    void requireAlive() throws BenchException;
}
