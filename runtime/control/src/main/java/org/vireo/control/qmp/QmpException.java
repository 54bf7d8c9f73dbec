// SPDX-License-Identifier: Apache-2.0
package org.vireo.control.qmp;

import org.vireo.net.api.nic.NicException;

/** A command is refused: the error that QMP answers (QEMU, qmp-spec, "Error"). */
public final class QmpException extends Exception {
    private static final long serialVersionUID = 1L;

    private final String kind;

    private QmpException(String kind, String description) {
        super(description);
        this.kind = kind;
    }

    /**
     * Nothing more special than the description.
     *
     * @param description for a person
     * @return the error
     */
    public static QmpException generic(String description) {
        return new QmpException("GenericError", description);
    }

    /**
     * What a service refused.
     *
     * @param e its reason
     * @return the error
     */
    public static QmpException generic(NicException e) {
        return generic(e.getMessage());
    }

    /**
     * There is no such NIC or netdev.
     *
     * @param id its id
     * @return the error
     */
    public static QmpException deviceNotFound(String id) {
        return new QmpException("DeviceNotFound", "Device '" + id + "' not found");
    }

    /**
     * There is no such command, or not now.
     *
     * @param description for a person
     * @return the error
     */
    public static QmpException commandNotFound(String description) {
        return new QmpException("CommandNotFound", description);
    }

    /**
     * The error's class.
     *
     * @return as QEMU's
     */
    public String kind() {
        return kind;
    }
}
