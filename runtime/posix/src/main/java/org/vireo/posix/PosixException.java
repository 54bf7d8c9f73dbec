// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix;

import java.io.IOException;

/** A system call failed. */
public final class PosixException extends IOException {
    private static final long serialVersionUID = 1L;

    private final int errno;

    /**
     * An exception.
     *
     * @param what the call and what it was about
     * @param errno its error number, positive
     */
    public PosixException(String what, int errno) {
        super(what + ": " + Errno.text(errno));
        this.errno = errno;
    }

    /**
     * The error number.
     *
     * @return see {@link Errno}
     */
    public int errno() {
        return errno;
    }
}
