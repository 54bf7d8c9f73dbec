// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.testsupport.TestProcess;

/** A virtual machine of a test's: QEMU, unmodified, with one NIC over vhost-user. */
final class Qemu {
    /** Guest memory that only QEMU and its NICs have. */
    static final String PRIVATE = "memory-backend-memfd,id=m0,size=256M,share=on";

    /** All processors in one thread: with one each QEMU 7.2 now and then loses a timer, and Linux stands still while it boots. */
    private static final String ACCELERATOR = "tcg,thread=single";

    private Qemu() {
    }

    /**
     * Starts one.
     *
     * @param folder where it runs
     * @param image of {@link GuestImage}
     * @param socket the NIC's
     * @param memory its memory backend
     * @param more options
     */
    static TestProcess start(Path folder, Path image, Path socket, String memory, String... more) {
        return start(folder, image, socket, memory, 1, more);
    }

    /** As above, with queue pairs, and as many processors, since Linux uses no more pairs than those. */
    static TestProcess start(Path folder, Path image, Path socket, String memory, int pairs, String... more) {
        List<String> c = new ArrayList<>(List.of("qemu-system-x86_64", "-M", "pc", "-accel", ACCELERATOR, "-cpu", "qemu64", "-m", "256",
                "-nic", "none", "-nographic", "-no-reboot", "-kernel", GuestImage.kernel().toString(), "-initrd", image.toString(),
                "-append", "console=ttyS0 panic=-1 quiet", "-object", memory, "-numa", "node,memdev=m0",
                "-chardev", "socket,id=c0,reconnect=1,path=" + socket, "-netdev", "vhost-user,id=n0,chardev=c0,queues=" + pairs, "-device",
                "virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01,vectors=0" + (pairs > 1 ? ",mq=on" : ""), "-smp", String.valueOf(pairs)));
        c.addAll(List.of(more));
        return TestProcess.start(c, Map.of(), folder);
    }
}
