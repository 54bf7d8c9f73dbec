// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import java.util.BitSet;
import java.util.List;
import org.vireo.net.api.Fd;
import org.vireo.posix.PosixException;

/**
 * The settings of a TAP that its descriptors' owner changes while it is open: attached queues, header length, offloads. A change that
 * fails is undone. Control thread only.
 */
final class TapControl {
    /** Offloads that are not known: the state does not carry them, so the first change sets them in any case. */
    static final int UNKNOWN = -1;

    private final List<Fd> queues;
    private final BitSet attached;
    private int headerLength;
    private int offload;
    private boolean sure;

    /**
     * Control of an open TAP.
     *
     * @param sure whether the settings are known to be so; not those of a port that was loaded, which its former owner may have changed
     *     since: then the device is asked before the first change
     */
    TapControl(List<Fd> queues, BitSet attached, int headerLength, int offload, boolean sure) {
        this.sure = sure;
        this.queues = queues;
        this.attached = (BitSet) attached.clone();
        this.headerLength = headerLength;
        this.offload = offload;
    }

    int headerLength() {
        return headerLength;
    }

    /**
     * Changes what differs.
     *
     * @param wanted the pairs to be attached; ignored with one pair, since a single-queue interface cannot detach
     * @param newHeader header length, 0: the interface has none
     * @param newOffload TUN_F_ bits
     */
    void change(BitSet wanted, int newHeader, int newOffload) throws PosixException {
        ask();
        BitSet before = (BitSet) attached.clone();
        int headerBefore = headerLength;
        int offloadBefore = offload;
        try {
            go(wanted, newHeader, newOffload);
        } catch (PosixException e) {
            try {
                go(before, headerBefore, offloadBefore);
            } catch (PosixException again) {
                e.addSuppressed(again);
            }
            throw e;
        }
    }

    private void ask() throws PosixException {
        if (sure) {
            return;
        }
        for (int i = 0; queues.size() > 1 && i < queues.size(); i++) {
            attached.set(i, (TapIoctl.attachment(queues.get(i).number()).flags() & TapIoctl.IFF_DETACH_QUEUE) == 0);
        }
        if (headerLength != 0) {
            headerLength = TapIoctl.headerLength(queues.getFirst().number());
        }
        offload = UNKNOWN;
        sure = true;
    }

    private void go(BitSet wanted, int newHeader, int newOffload) throws PosixException {
        boolean many = queues.size() > 1;
        int first = queues.getFirst().number();
        for (int i = 0; many && i < queues.size(); i++) {
            if (!attached.get(i) && wanted.get(i)) {
                TapIoctl.attach(queues.get(i).number());
                attached.set(i);
            }
        }
        if (newHeader != headerLength) {
            TapIoctl.setHeaderLength(first, newHeader);
            headerLength = newHeader;
        }
        if (newHeader != 0 && newOffload != offload && newOffload != UNKNOWN) {
            TapIoctl.setOffload(first, newOffload);
            offload = newOffload;
        }
        for (int i = 0; many && i < queues.size(); i++) {
            if (attached.get(i) && !wanted.get(i)) {
                TapIoctl.detach(queues.get(i).number());
                attached.clear(i);
            }
        }
    }

    /** Takes settings as done, for a port whose descriptors are stand-ins. */
    void pretend(BitSet wanted, int newHeader, int newOffload) {
        if (queues.size() > 1) {
            attached.clear();
            attached.or(wanted);
        }
        headerLength = newHeader;
        offload = newOffload;
    }
}
