// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.slot;

import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.nic.NetdevStatus;

/** What people see of a netdev. */
record SlotStatus(String id, String type, String bundle, long bundleId, String state, String nic, Map<String, String> options,
        String stateFormat) implements NetdevStatus {
    private static final Logger LOG = LoggerFactory.getLogger(SlotStatus.class);

    /** With the format of the state that a backend saves, which is asked for it. */
    SlotStatus withFormat(PortMaker maker, Candidate of) {
        try {
            return new SlotStatus(id, type, bundle, bundleId, state, nic, options, maker.format(of).toString());
        } catch (NetdevException e) {
            LOG.debug("{}", e.getMessage());
            return this;
        }
    }
}
