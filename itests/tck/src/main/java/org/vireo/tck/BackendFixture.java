// SPDX-License-Identifier: Apache-2.0
package org.vireo.tck;

import java.time.Duration;
import java.util.Map;
import org.vireo.net.api.NetBackend;

/**
 * What the kit needs to know of a backend: how to make one, and how to reach the network behind it. A public class with a public
 * constructor without arguments, since a test makes one in another process too. One a test; closed at its end, also after a failure.
 *
 * <p>What a machine or a backend does not have ends a rule as skipped: {@link org.junit.jupiter.api.Assumptions#abort(String)} with the
 * reason, in whichever method notices. Everything but {@link Network#send} and {@link Network#take} is called on the test's thread.
 *
 * <p>For {@code vireo tck --fixture} it is a service provider ({@link java.util.ServiceLoader}) of its jar; then the backends come
 * out of the bundle, {@link #backend} is not called, and options of the command line are added to those of the networks.
 */
public interface BackendFixture extends AutoCloseable {
    /** Skips or fails the test if the machine lacks something; see {@link org.vireo.testsupport.Requirements}. */
    void require();

    /**
     * The most queue pairs to test with.
     *
     * @return at least 1
     */
    int maxPairs();

    /**
     * Whether the netdev's ports take the guest's rings ({@link org.vireo.net.api.VringPort}), so that no frame passes the frontend. Its
     * networks are where the frames of those rings come out.
     *
     * @return whether
     */
    default boolean takesRings() {
        return false;
    }

    /**
     * Makes a network that a netdev can be opened on.
     *
     * @param pairs queue pairs of the netdev
     * @return the network; the kit closes it
     * @throws Exception it cannot be made
     */
    Network network(int pairs) throws Exception;

    /**
     * Makes a network that can be made to take no more frames.
     *
     * @return the network, or null: this backend is never full
     * @throws Exception it cannot be made
     */
    CongestedNetwork congestedNetwork() throws Exception;

    /**
     * Makes a network whose other side comes and goes, and is not there at first.
     *
     * @return the network, or null: there is no such thing behind this netdev
     * @throws Exception it cannot be made
     */
    default ExternalNetwork externalNetwork() throws Exception {
        return null;
    }

    /**
     * Options that {@link NetBackend#validate} has to refuse.
     *
     * @return by the text that the message has to contain
     */
    Map<String, Map<String, ?>> refusedOptions();

    /**
     * Makes a backend as its users do. It is not opened.
     *
     * @param id the netdev's id
     * @param options the netdev's options
     * @return the backend
     * @throws Exception it cannot be made
     */
    NetBackend backend(String id, Map<String, ?> options) throws Exception;

    /**
     * The system properties that a fixture of this class needs in another process.
     *
     * @return names and values
     */
    Map<String, String> systemProperties();

    /** Ends all backends that it made. */
    @Override
    void close();

    /** A network with a place for one netdev, and the test at the other end. */
    interface Network extends AutoCloseable {
        /**
         * The options with which a netdev is opened on it.
         *
         * @return options
         */
        Map<String, ?> options();

        /** A netdev was opened, or loaded, on it: for networks that the netdev makes itself. May be told more than once. */
        default void opened() {
            // most networks are there before
        }

        /**
         * Sends a frame to the guest.
         *
         * @param frame an Ethernet frame, without header
         */
        void send(byte[] frame);

        /**
         * Takes a frame that the guest transmitted. At least 200 KiB of them have to find room until they are taken.
         *
         * @param limit waits at most this long
         * @return an Ethernet frame, or null: none came. Frames that are not of the kit may be among them
         */
        byte[] take(Duration limit);

        /**
         * Describes what a netdev could change outside: the interface's settings, files. The same text as long as nothing changed.
         *
         * @return a text without counters and times
         */
        String observe();

        /** Takes it down. */
        @Override
        void close();
    }

    /** A network that can be full. */
    interface CongestedNetwork extends Network {
        /** From now on frames that the guest transmits stay where they are until the netdev takes no more. */
        void block();

        /** Lets them go. */
        void unblock();
    }

    /** A network whose other side is a thing of its own: another process, a device that is plugged in. */
    interface ExternalNetwork extends Network {
        /**
         * The other side comes.
         *
         * @param able whether it can do something for guests that it cannot do otherwise; with it comes a longer
         *     {@link org.vireo.net.api.PortProfile#features}
         */
        void come(boolean able);

        /** The other side goes without a word, as if it were killed. Frames that it had taken are sent before. */
        void go();
    }
}
