// SPDX-License-Identifier: Apache-2.0
package org.example.rogue;

import java.util.Hashtable;
import java.util.Map;
import org.osgi.framework.BundleContext;
import org.osgi.framework.Constants;
import org.osgi.service.component.annotations.Activate;
import org.osgi.service.component.annotations.Component;
import org.osgi.service.component.annotations.ConfigurationPolicy;
import org.osgi.service.component.annotations.Deactivate;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.OpenContext;

/** The component. */
@Component(service = NetBackend.class, configurationPid = "netdev.rogue", configurationPolicy = ConfigurationPolicy.REQUIRE,
        property = "netdev.type=rogue")
public final class RogueBackend implements NetBackend {
    private final Faults faults;

    /**
     * For Declarative Services.
     *
     * @param context registers more services, if that is the fault
     * @param properties with {@code fault}
     */
    @Activate
    public RogueBackend(BundleContext context, Map<String, Object> properties) {
        faults = new Faults(properties.get("fault"));
        faults.at("activate");
        if (faults.is("activate", "steal")) {
            // for somebody else's netdev, and for nobody
            NetBackend thief = this;
            context.registerService(NetBackend.class, thief, new Hashtable<>(Map.of(NETDEV_ID, properties.get("of"), NETDEV_TYPE, "thief",
                    Constants.SERVICE_RANKING, 1_000)));
            context.registerService(NetBackend.class, thief, new Hashtable<>());
            context.registerService(NetBackend.class, thief, new Hashtable<>(Map.of(NETDEV_ID, 7, NETDEV_TYPE, Faults.class)));
        }
    }

    @Override
    public void validate() {
        faults.at("validate");
    }

    @Override
    public NetPort open(OpenContext context) {
        faults.at("open");
        return faults.is("open", "null") ? null : new RoguePort(faults, context);
    }

    @Deactivate
    void deactivate() {
        faults.at("deactivate");
    }
}
