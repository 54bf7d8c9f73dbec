// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.vireo.testsupport.Requirements;
import org.vireo.testsupport.TestProcess;

/** An initial RAM disk for a Linux guest: busybox, the virtio modules and a script that answers pings and prints a line. */
final class GuestImage {
    static final String READY = "GUEST READY";

    private static final List<String> MODULES = List.of("failover", "net_failover", "virtio_ring", "virtio", "virtio_pci_legacy_dev",
            "virtio_pci_modern_dev", "virtio_pci", "virtio_net");

    private GuestImage() {
    }

    static Path kernel() {
        return Requirements.guestKernel().orElseThrow();
    }

    /** Builds it in a folder. */
    static Path build(Path folder, String address) throws IOException {
        Path root = Files.createDirectories(folder.resolve("root"));
        for (String d : List.of("bin", "dev", "proc", "sys", "mod")) {
            Files.createDirectories(root.resolve(d));
        }
        Files.copy(Requirements.command("busybox"), root.resolve("bin/busybox"));
        String version = kernel().getFileName().toString().substring("vmlinuz-".length());
        StringBuilder insmod = new StringBuilder();
        for (String m : MODULES) {
            Path module;
            try (var all = Files.walk(Path.of("/lib/modules", version))) {
                module = all.filter(p -> p.getFileName().toString().equals(m + ".ko")).findFirst().orElseThrow();
            }
            Files.copy(module, root.resolve("mod/" + m + ".ko"));
            insmod.append("/bin/busybox insmod /mod/").append(m).append(".ko\n");
        }
        Path init = root.resolve("init");
        Files.writeString(init, """
                #!/bin/busybox sh
                /bin/busybox mount -t proc proc /proc
                /bin/busybox mount -t sysfs sys /sys
                /bin/busybox mount -t devtmpfs dev /dev
                %s/bin/busybox ip addr add %s dev eth0
                /bin/busybox ip link set eth0 up
                echo %s
                while true; do /bin/busybox nc -l -p 5001 > /dev/null; done
                """.formatted(insmod, address, READY));
        init.toFile().setExecutable(true);
        Path image = folder.resolve("initrd");
        TestProcess.run("sh", "-c", "cd " + root + " && find . | cpio -o -H newc 2>/dev/null | gzip > " + image);
        return image;
    }
}
