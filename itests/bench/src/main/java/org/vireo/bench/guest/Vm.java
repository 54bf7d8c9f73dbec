// SPDX-License-Identifier: Apache-2.0
package org.vireo.bench.guest;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.vireo.bench.host.BenchException;
import org.vireo.bench.host.Daemon;
import org.vireo.bench.host.Namespace;
import org.vireo.bench.host.Program;
import org.vireo.bench.host.Qmp;
import org.vireo.bench.host.Stage;
import org.vireo.bench.host.Tools;

/**
 * A virtual machine under QEMU that is told what to do, from both sides: the guest does shell commands that it reads from its console, and
 * QEMU itself is asked on its QMP socket. Without KVM; memory {@code m0} is shared with back-ends. One thread.
 */
public final class Vm {
    /** The guest's address. */
    public static final String GUEST = "192.0.2.2";
    /** What the guest says each time when it has booted. */
    static final String UP = "guest is up";
    private static final Duration BOOT_LIMIT = Duration.ofSeconds(120);
    private static final Duration LIMIT = Duration.ofSeconds(60);
    private static final int MEGABYTES = 256;
    /** The guest's memory when it starts. */
    public static final long BYTES = (long) MEGABYTES << 20;
    private static final String OWN_MEMORY = "memory-backend-memfd,id=m0,size=" + MEGABYTES + "M,share=on";
    /** Memory that is plugged in is used at once, and for what can be moved away again. */
    public static final String KERNEL_OPTIONS = "console=ttyS0 panic=-1 quiet memhp_default_state=online_movable";
    private static final String INIT = """
            #!/bin/busybox sh
            /bin/busybox --install -s /bin
            export PATH=/bin
            mount -t proc proc /proc
            mount -t sysfs sysfs /sys
            mount -t devtmpfs dev /dev
            stty -echo
            for m in %s; do insmod /modules/$m.ko || echo "no $m"; done
            ip link set lo up
            dd if=/dev/urandom of=/data bs=1M count=%d 2>/dev/null
            nc -ll -p 7001 -e /bin/sink &
            nc -ll -p 7002 -e /bin/source &
            network
            echo %s
            while read -r line; do eval "$line"; done
            """;
    /** A device that was plugged in is there a moment later; one that has gone is no matter. */
    private static final String NETWORK = """
            #!/bin/busybox sh
            export PATH=/bin
            for i in $(seq 50); do [ -e /sys/class/net/eth0 ] && break; usleep 50000; done
            ip addr add %s/24 dev eth0 && ip link set eth0 up
            """;

    private final Program program;
    private final Qmp qmp;
    private int asked;

    /**
     * Starts one; it has no NIC but those of the options.
     *
     * @param stage what it belongs to
     * @param name of its sockets
     * @param boot options of QEMU's that say what it boots, {@link #kernel} for instance
     * @param cpus processors of the guest
     * @param options more options of QEMU's
     * @throws BenchException QEMU does not start
     */
    public Vm(Stage stage, String name, List<String> boot, int cpus, List<String> options) throws BenchException {
        this(stage, Namespace.own(stage), name, boot, cpus, OWN_MEMORY, options);
    }

    private Vm(Stage stage, Namespace in, String name, List<String> boot, int cpus, String memory, List<String> options)
            throws BenchException {
        Path socket = stage.folder().resolve(name + ".qmp");
        // several processors with a thread each now and then lose a timer in QEMU 7.2, and Linux stands still while it boots
        List<String> c = new ArrayList<>(List.of("qemu-system-x86_64", "-M", "pc", "-accel",
                cpus > 1 ? "tcg,thread=single" : "tcg", "-cpu", "qemu64", "-smp", String.valueOf(cpus),
                "-nic", "none", "-display", "none", "-monitor", "none", "-serial", "stdio", "-qmp",
                "unix:" + socket + ",server=on,wait=off", "-object", memory,
                "-numa", "node,memdev=m0"));
        c.addAll(boot);
        if (!options.contains("-m")) {
            c.addAll(List.of("-m", MEGABYTES + "M"));
        }
        c.addAll(options);
        program = in.start("QEMU", c);
        qmp = connect(socket);
    }

    /**
     * Starts one in a namespace; otherwise as the constructor does.
     *
     * @param in the namespace that it runs in
     * @param memory a file that has the guest's memory, which another QEMU can have too; null: memory of its own
     */
    public static Vm in(Namespace in, Stage stage, String name, List<String> boot, int cpus, Path memory, List<String> options)
            throws BenchException {
        return new Vm(stage, in, name, boot, cpus, memory == null ? OWN_MEMORY
                : "memory-backend-file,id=m0,size=" + MEGABYTES + "M,share=on,mem-path=" + memory, options);
    }

    private Qmp connect(Path socket) throws BenchException {
        long end = System.nanoTime() + LIMIT.toNanos();
        while (true) {
            try {
                return new Qmp(socket);
            } catch (IOException e) {
                if (!program.isAlive() || System.nanoTime() - end > 0) {
                    throw new BenchException("QEMU: " + e.getMessage() + ": " + program.said(), e);
                }
                Daemon.pause(20);
            }
        }
    }

    /** What such a machine boots. */
    public static GuestImage image(Stage stage) throws BenchException {
        Tools.require("ethtool", "ethtool");
        return GuestImage.build(stage, INIT.formatted(String.join(" ", GuestImage.MODULES), GuestTraffic.MEGABYTES, UP),
                Map.of("/bin/network", NETWORK.formatted(GUEST)), Tools.find("ethtool"));
    }

    /** The options of QEMU's for an image. */
    public static List<String> kernel(GuestImage image) {
        return List.of("-kernel", image.kernel().toString(), "-initrd", image.initramfs().toString(), "-append", KERNEL_OPTIONS);
    }

    /** QEMU. */
    public Program program() {
        return program;
    }

    /**
     * Waits until it has booted.
     *
     * @param mark {@link Program#mark} from before
     */
    public void awaitBoot(int mark) throws BenchException {
        program.await(UP, mark, BOOT_LIMIT);
    }

    /** Has the guest do a shell command, which must succeed; returns what it printed. */
    public List<String> run(String command) throws BenchException {
        int mark = program.mark();
        String end = "command " + ++asked + " ended with ";
        program.say("( " + command + " ); echo \"command \"" + asked + "\" ended with \"$?");
        String last = program.await(end, mark, LIMIT).strip();
        List<String> said = program.lines();
        // the kernel's own lines are there too
        List<String> lines = said.subList(mark, said.size()).stream().map(String::strip).takeWhile(l -> !l.startsWith(end)).toList();
        if (!last.endsWith(" 0")) {
            throw new BenchException("the guest's " + command + " failed: " + String.join("; ", lines));
        }
        return lines;
    }

    /** Starts the guest anew from inside, and waits until it has booted. */
    public void reboot() throws BenchException {
        int mark = program.mark();
        program.say("reboot -f");
        awaitBoot(mark);
    }

    /** Starts the guest anew as a reset button does, and waits until it has booted. */
    public void reset() throws BenchException {
        int mark = program.mark();
        execute("system_reset", Map.of());
        awaitBoot(mark);
    }

    /** Does a QMP command. */
    public Object execute(String command, Map<String, Object> arguments) throws BenchException {
        try {
            return qmp.execute(command, arguments);
        } catch (IOException e) {
            throw new BenchException("QEMU: " + e.getMessage() + ": " + program.said(), e);
        }
    }

    /** Takes a device out, which the guest has to agree to, and waits until it is gone. */
    public void unplug(String id) throws BenchException {
        execute("device_del", Map.of("id", id));
        long end = System.nanoTime() + LIMIT.toNanos();
        while (has(id)) {
            if (System.nanoTime() - end > 0) {
                throw new BenchException("the guest does not give device " + id + " back: " + program.said());
            }
            Daemon.pause(20);
        }
    }

    private boolean has(String id) throws BenchException {
        List<?> all = (List<?>) execute("qom-list", Map.of("path", "/machine/peripheral"));
        return all.stream().anyMatch(d -> id.equals(((Map<?, ?>) d).get("name")));
    }
}
