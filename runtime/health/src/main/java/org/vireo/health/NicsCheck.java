// SPDX-License-Identifier: Apache-2.0
package org.vireo.health;

import org.apache.felix.hc.api.FormattingResultLog;
import org.apache.felix.hc.api.HealthCheck;
import org.apache.felix.hc.api.Result;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.Reference;
import org.osgi.service.component.annotations.ReferenceCardinality;
import org.osgi.service.component.annotations.ReferencePolicy;
import org.osgi.service.component.annotations.ReferencePolicyOption;
import org.vireo.net.api.nic.NicStatus;
import org.vireo.net.api.nic.Nics;

/**
 * Whether each NIC serves: WARN without a backend, TEMPORARILY_UNAVAILABLE while it stands still for a handover, CRITICAL
 * when it has failed, for a backend that held a worker too long for instance, or when there is no frontend. Any thread.
 */
@Component(service = HealthCheck.class, property = {"hc.name=Vireo NICs", "hc.tags=vireo", "hc.tags=nics"})
public final class NicsCheck implements HealthCheck {
    @Reference(cardinality = ReferenceCardinality.OPTIONAL, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    private volatile Nics nics;

    /** Made by the framework. */
    @Activate
    public NicsCheck() {
        // the frontend comes later, and goes
    }

    /** For tests: with a frontend. */
    NicsCheck(Nics nics) {
        this.nics = nics;
    }

    @Override
    public Result execute() {
        FormattingResultLog log = new FormattingResultLog();
        Nics frontend = nics;
        if (frontend == null) {
            log.critical("no frontend is there: without it there are no NICs");
            return new Result(log);
        }
        int count = 0;
        for (NicStatus n : frontend.list()) {
            count++;
            add(log, n);
        }
        log.info("{} NICs", count);
        return new Result(log);
    }

    private static void add(FormattingResultLog log, NicStatus n) {
        switch (n.state()) {
            case RUNNING -> log.info("NIC {} serves pid {}", n.id(), n.vmmPid());
            case CONNECTED -> log.info("NIC {}: its VMM, pid {}, is connected and runs no ring", n.id(), n.vmmPid());
            case LISTENING -> log.info("NIC {} waits for a VMM", n.id());
            case AWAITING, PREPARED -> log.info("NIC {} waits for its state from another process", n.id());
            case FROZEN -> log.temporarilyUnavailable("NIC {} stands still for a handover", n.id());
            case NO_BACKEND -> log.warn("NIC {}: netdev {} has no backend", n.id(), n.netdev());
            case FAILED -> log.critical("NIC {} has failed: {}", n.id(), n.why());
            // closed: it was deleted just now
            default -> log.debug("NIC {} is gone", n.id());
        }
    }
}
