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
import org.vireo.net.api.nic.NetdevStatus;
import org.vireo.net.api.nic.Nics;

/**
 * Whether each netdev has a backend: WARN while its port is parked, or when a NIC waits for a backend that is not there; CRITICAL when its
 * backend failed. Any thread.
 */
@Component(service = HealthCheck.class, property = {"hc.name=Vireo netdevs", "hc.tags=vireo", "hc.tags=netdevs"})
public final class NetdevsCheck implements HealthCheck {
    @Reference(cardinality = ReferenceCardinality.OPTIONAL, policy = ReferencePolicy.DYNAMIC, policyOption = ReferencePolicyOption.GREEDY)
    private volatile Nics nics;

    /** Made by the framework. */
    @Activate
    public NetdevsCheck() {
        // the frontend comes later, and goes
    }

    /** For tests: with a frontend. */
    NetdevsCheck(Nics nics) {
        this.nics = nics;
    }

    @Override
    public Result execute() {
        FormattingResultLog log = new FormattingResultLog();
        Nics frontend = nics;
        if (frontend == null) {
            log.critical("no frontend is there: nobody uses the netdevs");
            return new Result(log);
        }
        int count = 0;
        for (NetdevStatus n : frontend.netdevs()) {
            count++;
            add(log, n);
        }
        log.info("{} netdevs", count);
        return new Result(log);
    }

    private static void add(FormattingResultLog log, NetdevStatus n) {
        if (n.state().startsWith("failed")) {
            log.critical("netdev {}: {}", n.id(), n.state());
        } else if (n.state().equals("parked")) {
            log.warn("netdev {} is parked: its backend has left, NIC {} waits for one that goes on", n.id(), n.nic());
        } else if (n.bundleId() < 0) {
            log.warn("netdev {} has no backend: {}{}", n.id(), n.state(), n.nic().isEmpty() ? "" : "; NIC " + n.nic() + " waits for one");
        } else {
            log.info("netdev {} is {}, served by {}", n.id(), n.state(), n.bundle());
        }
    }
}
