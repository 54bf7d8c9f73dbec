// SPDX-License-Identifier: Apache-2.0
package org.vireo.net.api;

import java.io.IOException;
import org.osgi.annotation.versioning.ProviderType;

/**
 * An open file descriptor with one owner, who closes it. Any thread.
 *
 * <p>An object that becomes unreachable without having been closed is closed then, and the leak is logged with the name of the
 * bundle or of the purpose that it was made for.
 */
@ProviderType
public interface Fd extends AutoCloseable {
    /**
     * The number, for system calls while the object is open.
     *
     * @return the number
     * @throws IllegalStateException it is closed
     */
    int number();

    /**
     * Another descriptor of the same open file description, close-on-exec.
     *
     * @return the duplicate, which the caller owns
     * @throws IOException no descriptor left ({@code EMFILE})
     */
    Fd duplicate() throws IOException;

    /**
     * Whether it is open.
     *
     * @return false after {@link #close()}
     */
    boolean isOpen();

    /** Closes it. Further calls do nothing. */
    @Override
    void close();
}
