// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import org.vireo.net.api.NetdevException;

/**
 * What a backend's code threw, told in words of our own. A throwable of a backend is code of a backend: its message may throw or never
 * come, and who prints it calls that. So this is made on the thread that the backend has, and only this is passed on.
 */
public final class BackendException extends Exception {
    private static final long serialVersionUID = 1L;
    private static final int MOST_CAUSES = 4;
    private static final int MOST_CHARACTERS = 2_000;

    private final boolean silent;
    private final boolean refusal;
    private final boolean crash;

    private BackendException(String message, boolean silent, Throwable thrown, BackendException cause) {
        super(message, cause);
        this.silent = silent;
        refusal = thrown instanceof NetdevException && !silent;
        crash = thrown instanceof RuntimeException || thrown instanceof Error || cause != null && cause.crash;
    }

    /**
     * Tells what was thrown. On the backend's thread.
     *
     * @param thrown what a backend threw
     * @return the same with its stack trace and its causes, none of which is the backend's
     */
    public static BackendException of(Throwable thrown) {
        return of(thrown, MOST_CAUSES);
    }

    private static BackendException of(Throwable thrown, int causes) {
        Throwable cause = null;
        StackTraceElement[] trace = {};
        try {
            cause = thrown.getCause();
            trace = thrown.getStackTrace();
        } catch (Throwable t) {
            // its own methods throw: it goes without
        }
        String said = message(thrown);
        BackendException e = new BackendException(said == null ? thrown.getClass().getName() + " without a message" : said, said == null,
                thrown, cause == null || causes == 0 ? null : of(cause, causes - 1));
        e.setStackTrace(trace == null ? new StackTraceElement[0] : trace.clone());
        return e;
    }

    /** A refusal's own words, of everything else the class too; null: it says nothing. */
    private static String message(Throwable thrown) {
        String said;
        try {
            said = thrown instanceof NetdevException ? thrown.getMessage() : thrown.toString();
        } catch (Throwable t) {
            return null;
        }
        return said == null || said.isBlank() ? null : said.length() > MOST_CHARACTERS ? said.substring(0, MOST_CHARACTERS) + "..." : said;
    }

    /**
     * Whether nothing was to be had of what was thrown but its class.
     *
     * @return whether
     */
    public boolean isSilent() {
        return silent;
    }

    /**
     * Whether a backend says in its own words what is wrong: then nobody needs to see where in its code that was. Not if they are about
     * an error of its code, a {@link RuntimeException} or an {@link Error} among the causes.
     *
     * @param reason what was made of what it threw: a refusal, or one of these
     * @return whether
     */
    public static boolean isForeseen(Throwable reason) {
        if (reason instanceof BackendException b) {
            return b.refusal && !b.crash;
        }
        Throwable cause = reason.getCause();
        return reason instanceof NetdevException
                && !(cause instanceof BackendException b ? b.crash : cause instanceof RuntimeException || cause instanceof Error);
    }

    @Override
    public String toString() {
        return getMessage();
    }
}
