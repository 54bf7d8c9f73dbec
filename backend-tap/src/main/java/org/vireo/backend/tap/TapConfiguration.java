// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.tap;

import org.osgi.service.metatype.annotations.AttributeDefinition;
import org.osgi.service.metatype.annotations.ObjectClassDefinition;

/** The options for tools that show them; what counts is {@link TapOptions}. Two underscores stand for one. */
@ObjectClassDefinition(name = "Netdev of type tap", description = "A TAP interface of the Linux kernel. The options are QEMU's.")
@interface TapConfiguration {
    @AttributeDefinition(description = "Name of the interface; missing: tap%d, the kernel chooses the number", required = false)
    String ifname();

    @AttributeDefinition(description = "Number of an open descriptor of a TAP; it stays open for whoever passed it", required = false)
    int fd();

    @AttributeDefinition(description = "Numbers of open descriptors, one a queue pair, joined by colons", required = false)
    String fds();

    @AttributeDefinition(description = "Queue pairs, 1 to 256; more than one need a multi-queue interface", required = false)
    int queues() default 1;

    @AttributeDefinition(description = "Path of a program that is run with the interface's name once it is open, or no", required = false)
    String script() default "no";

    @AttributeDefinition(description = "Path of a program that is run with the interface's name before it is released, or no",
            required = false)
    String downscript() default "no";

    @AttributeDefinition(description = "Most bytes on their way from the guest, 0: no limit", required = false)
    long sndbuf() default 0;

    @SuppressWarnings("checkstyle:methodname")
    @AttributeDefinition(description = "on: with virtio-net header and offloads; off: plain frames", required = false)
    String vnet__hdr() default "on";

    @AttributeDefinition(description = "Bridge that the interface is put into", required = false)
    String br();

    @AttributeDefinition(description = "MTU that the interface is given; missing: it keeps its own", required = false)
    int mtu();
}
