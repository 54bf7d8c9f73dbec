// SPDX-License-Identifier: Apache-2.0
package org.vireo.testsupport;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/**
 * What a test needs of the machine. If it is missing the test is skipped with a message that names it; with the environment variable
 * {@code VIREO_REQUIRE_ALL=1} it fails, so that a machine that should have all cannot be green for want of something.
 */
public final class Requirements {
    private static final int CAP_NET_ADMIN = 12;

    private Requirements() {
    }

    /** Needs the rights of root. */
    public static void root() {
        require(effectiveUser() == 0, "root (run the tests as root, or in: unshare --user --map-root-user --net)");
    }

    /** Needs TAP devices: {@code /dev/net/tun}, CAP_NET_ADMIN and ip(8). */
    public static void tap() {
        command("ip");
        Path tun = Path.of("/dev/net/tun");
        require(Files.isReadable(tun) && Files.isWritable(tun), "/dev/net/tun, to read and write (modprobe tun)");
        require((capabilities() & 1L << CAP_NET_ADMIN) != 0, "CAP_NET_ADMIN, to make TAP devices (run as root)");
    }

    /** Needs network name spaces that ip(8) makes. */
    public static void namespaces() {
        tap();
        root();
        require(Files.isWritable(Path.of("/run")), "/run to be writable, for ip netns");
    }

    /** Needs QEMU, a kernel for its guest, and what its initramfs is made of. */
    public static void qemu() {
        command("qemu-system-x86_64");
        command("busybox");
        command("cpio");
        require(guestKernel().isPresent(), "a kernel /boot/vmlinuz-* with its modules (package linux-image-cloud-amd64)");
    }

    /** Needs DPDK's testpmd. */
    public static void dpdk() {
        command("dpdk-testpmd");
        root();
    }

    /**
     * Needs a command.
     *
     * @param name looked for in PATH and the sbin folders
     * @return its path
     */
    public static Path command(String name) {
        Optional<Path> p = find(name);
        require(p.isPresent(), "command " + name);
        return p.get();
    }

    /**
     * The newest kernel that has its modules.
     *
     * @return its file
     */
    public static Optional<Path> guestKernel() {
        File[] kernels = new File("/boot").listFiles((d, n) -> n.startsWith("vmlinuz-")
                && Files.isDirectory(Path.of("/lib/modules", n.substring("vmlinuz-".length()))));
        return kernels == null ? Optional.empty()
                : java.util.Arrays.stream(kernels).sorted(java.util.Comparator.reverseOrder()).map(File::toPath).findFirst();
    }

    /**
     * Needs something else.
     *
     * @param fulfilled whether it is there
     * @param what names it
     */
    public static void require(boolean fulfilled, String what) {
        if (fulfilled) {
            return;
        }
        if ("1".equals(System.getenv("VIREO_REQUIRE_ALL"))) {
            Assertions.fail("VIREO_REQUIRE_ALL=1, but missing: " + what);
        }
        Assumptions.abort("missing: " + what);
    }

    private static Optional<Path> find(String name) {
        String path = Optional.ofNullable(System.getenv("PATH")).orElse("") + ":/usr/sbin:/sbin:/usr/local/sbin:/usr/bin:/bin";
        for (String dir : path.split(":")) {
            Path p = Path.of(dir, name);
            if (!dir.isEmpty() && Files.isExecutable(p) && Files.isRegularFile(p)) {
                return Optional.of(p);
            }
        }
        return Optional.empty();
    }

    private static long effectiveUser() {
        String[] ids = status("Uid:").split("\\s+");
        return ids.length > 1 ? Long.parseLong(ids[1]) : -1;
    }

    private static long capabilities() {
        String set = status("CapEff:");
        return set.isEmpty() ? 0 : Long.parseUnsignedLong(set, 16);
    }

    private static String status(String field) {
        try {
            return Files.readAllLines(Path.of("/proc/self/status")).stream().filter(l -> l.startsWith(field)).findFirst()
                    .map(l -> l.substring(field.length()).strip()).orElse("");
        } catch (IOException e) {
            throw new java.io.UncheckedIOException("no /proc/self/status: is this Linux?", e);
        }
    }
}
