// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

/** One QMP command. Any thread; may block for some seconds. */
@FunctionalInterface
public interface Command {
    /**
     * Does it.
     *
     * @param arguments what came with it
     * @return the answer as plain values
     * @throws QmpException it is refused, and nothing was done
     */
    Object run(Arguments arguments) throws QmpException;
}
