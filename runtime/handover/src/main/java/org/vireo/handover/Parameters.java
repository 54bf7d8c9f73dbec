// SPDX-License-Identifier: Apache-2.0
package org.vireo.handover;

/**
 * The parameters of a handover, which both sides have to agree on.
 *
 * @param backendTransfer whether the backends' states travel, where the NIC's option allows it
 * @param breakBeforeMake whether a backend whose state does not travel is closed by the source before the target opens its own
 */
record Parameters(boolean backendTransfer, boolean breakBeforeMake) {
    static final Parameters STANDARD = new Parameters(true, false);

    Parameters withBackendTransfer(boolean on) {
        return new Parameters(on, breakBeforeMake);
    }

    Parameters withBreakBeforeMake(boolean on) {
        return new Parameters(backendTransfer, on);
    }
}
