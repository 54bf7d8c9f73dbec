// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.peers;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.vireo.bench.guest.GuestImage;
import org.vireo.bench.guest.Vm;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Stage;

/** A server that guests boot from: DHCP, and HTTP for the firmware (iPXE), both of busybox. */
final class NetBoot {
    private static final String ADDRESS = "192.0.2.1";

    private NetBoot() {
    }

    /**
     * Starts it.
     *
     * @param stage what it belongs to
     * @param in the namespace of the interface
     * @param itf where guests ask; it has the address
     * @param image what they get
     */
    static void serve(Stage stage, Namespace in, String itf, GuestImage image) throws BenchException {
        Path folder = stage.folder().resolve("boot");
        Path dhcp = stage.folder().resolve("udhcpd.conf");
        String url = "http://" + ADDRESS + "/";
        try {
            Files.createDirectory(folder);
            Files.copy(image.kernel(), folder.resolve("kernel"));
            Files.copy(image.initramfs(), folder.resolve("initramfs"));
            Files.writeString(folder.resolve("script"), "#!ipxe\nkernel " + url + "kernel initrd=initramfs " + Vm.KERNEL_OPTIONS
                    + "\ninitrd --name initramfs " + url + "initramfs\nboot\n");
            Files.writeString(dhcp, """
                    start %1$s
                    end %1$s
                    interface %2$s
                    lease_file %3$s/leases
                    pidfile %3$s/udhcpd.pid
                    option subnet 255.255.255.0
                    boot_file %4$sscript
                    """.formatted(Vm.GUEST, itf, stage.folder(), url));
            Files.createFile(stage.folder().resolve("leases"));
        } catch (IOException e) {
            throw new BenchException("files of the boot server: " + e.getMessage(), e);
        }
        in.start("DHCP", List.of("busybox", "udhcpd", "-f", dhcp.toString()));
        in.start("HTTP", List.of("busybox", "httpd", "-f", "-p", ADDRESS + ":80", "-h", folder.toString()));
    }
}
