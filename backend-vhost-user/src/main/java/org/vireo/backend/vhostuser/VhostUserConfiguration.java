// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import org.osgi.service.metatype.annotations.AttributeDefinition;
import org.osgi.service.metatype.annotations.ObjectClassDefinition;

/** The options for tools that show them; what counts is {@link VhostUserOptions}. A dollar sign and underscores stand for a hyphen. */
@ObjectClassDefinition(name = "Netdev of type vhost-user", description = "An external vhost-user back-end process. The options are QEMU's.")
@interface VhostUserConfiguration {
    @AttributeDefinition(description = "Path of the back-end's UNIX socket")
    String path();

    @AttributeDefinition(description = "on: Vireo listens and the back-end connects; off: Vireo connects", required = false)
    String server() default "off";

    @SuppressWarnings("checkstyle:methodname")
    @AttributeDefinition(description = "Pause before Vireo connects again, in milliseconds, 0: never; only with server=off",
            required = false)
    int reconnect$_$ms() default 0;

    @AttributeDefinition(description = "Queue pairs, 1 to 256", required = false)
    int queues() default 1;

    @AttributeDefinition(description = "Taken for QEMU's sake, without effect", required = false)
    String vhostforce() default "off";
}
