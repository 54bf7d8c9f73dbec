// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;
import org.vireo.bench.traffic.ChecksummedTcp;

/**
 * What a Linux guest boots: the distribution's kernel, and an initramfs of busybox, the modules that virtio-net needs and a script. TCP
 * port 7001 of it takes bytes and answers with their SHA-256, port 7002 says the SHA-256 of what it sends then ({@link ChecksummedTcp}).
 *
 * @param kernel the kernel
 * @param initramfs the file system
 */
public record GuestImage(Path kernel, Path initramfs) {
    /** In the order in which they are loaded. */
    static final List<String> MODULES = List.of("failover", "net_failover", "virtio_ring", "virtio", "virtio_pci_legacy_dev",
            "virtio_pci_modern_dev", "virtio_pci", "virtio_net");
    private static final Pattern LIBRARY = Pattern.compile("(/\\S+) \\(");

    /**
     * Makes one.
     *
     * @param stage in its folder
     * @param init the script that is run first; modules are {@code /modules/NAME.ko}, the TCP programs {@code /bin/sink} and
     *        {@code /bin/source}
     * @param scripts more of them, by path
     * @param programs of this machine that it needs, with their libraries; they come to {@code /bin}
     * @throws BenchException a package is missing
     */
    static GuestImage build(Stage stage, String init, Map<String, String> scripts, Path... programs) throws BenchException {
        Path kernel = newestKernel().orElse(null);
        if (kernel == null) {
            throw new BenchException("missing: a kernel /boot/vmlinuz-* with its modules (package linux-image-cloud-amd64)");
        }
        Tools.require("qemu-system-x86_64", "qemu-system-x86", "busybox", "busybox-static", "cpio", "cpio");
        Path initramfs = stage.folder().resolve("initramfs");
        Path root = stage.folder().resolve("root");
        try {
            Files.createDirectories(root.resolve("bin"));
            for (String d : List.of("proc", "sys", "dev", "modules")) {
                Files.createDirectory(root.resolve(d));
            }
            Files.copy(Tools.find("busybox"), root.resolve("bin/busybox"));
            script(root.resolve("init"), init);
            script(root.resolve("bin/sink"), "#!/bin/busybox sh\nexec /bin/busybox sha256sum\n");
            script(root.resolve("bin/source"), "#!/bin/busybox sh\n/bin/busybox sha256sum </data\nexec /bin/busybox cat /data\n");
            for (Map.Entry<String, String> s : scripts.entrySet()) {
                script(root.resolve(s.getKey().substring(1)), s.getValue());
            }
            for (Path p : programs) {
                Files.copy(p, root.resolve("bin").resolve(p.getFileName()));
                libraries(stage, p, root);
            }
            modules(kernel, root.resolve("modules"));
        } catch (IOException e) {
            throw new BenchException("the guest's initramfs: " + e.getMessage(), e);
        }
        stage.run(List.of("sh", "-c", "cd '" + root + "' && find . | cpio --quiet -o -H newc >'" + initramfs + "'"));
        return new GuestImage(kernel, initramfs);
    }

    /** The newest one that has modules. */
    private static Optional<Path> newestKernel() {
        File[] found = new File("/boot").listFiles((d, n) -> n.startsWith("vmlinuz-")
                && Files.isDirectory(Path.of("/lib/modules", n.substring("vmlinuz-".length()))));
        return found == null ? Optional.empty() : Arrays.stream(found).sorted(Comparator.reverseOrder()).map(File::toPath).findFirst();
    }

    private static void modules(Path kernel, Path to) throws IOException {
        Path from = Path.of("/lib/modules", kernel.getFileName().toString().substring("vmlinuz-".length()), "kernel");
        try (var all = Files.walk(from)) {
            for (Path m : (Iterable<Path>) all::iterator) {
                String n = m.getFileName().toString();
                if (n.endsWith(".ko") && MODULES.contains(n.substring(0, n.length() - 3))) {
                    Files.copy(m, to.resolve(n));
                }
            }
        }
    }

    /** As ldd(1) lists them, at the same paths. */
    private static void libraries(Stage stage, Path program, Path root) throws BenchException, IOException {
        for (String line : stage.run(List.of("ldd", program.toString()))) {
            Matcher m = LIBRARY.matcher(line);
            if (m.find()) {
                Path to = root.resolve(m.group(1).substring(1));
                Files.createDirectories(to.getParent());
                if (!Files.exists(to)) {
                    Files.copy(Path.of(m.group(1)), to);
                }
            }
        }
    }

    /** Writes an executable file. */
    public static void script(Path file, String text) throws IOException {
        Files.writeString(file, text);
        if (!file.toFile().setExecutable(true)) {
            throw new IOException("cannot make " + file + " executable");
        }
    }
}
