// SPDX-License-Identifier: Apache-2.0
package org.vireo.itests.osgi;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.module.ModuleFinder;
import java.nio.file.Path;
import java.util.BitSet;
import java.util.Collections;
import java.util.Map;
import java.util.Set;
import org.vireo.net.api.DropReason;
import org.vireo.net.api.Fds;
import org.vireo.net.api.FrameBatch;
import org.vireo.net.api.FramePort;
import org.vireo.net.api.NetBackend;
import org.vireo.net.api.NetPort;
import org.vireo.net.api.NetdevException;
import org.vireo.net.api.OpenContext;
import org.vireo.net.api.PortListener;
import org.vireo.net.api.PortProfile;
import org.vireo.net.api.PortSettings;
import org.vireo.posix.Descriptors;

/** The example of docs/contract.md, which has the lines between the two marks. Arguments: a backend's jar, its class, one option. */
// methods of one line: in the document they would be three times as long
@SuppressWarnings("checkstyle:leftcurly")
public final class WithoutOsgi {
    private WithoutOsgi() {
    }

    /**
     * Runs it.
     *
     * @param args see above
     * @throws Exception it does not work
     */
    public static void main(String[] args) throws Exception {
        int equals = args[2].indexOf('=');
        NetBackend b = load(Path.of(args[0]), args[1], Map.of(args[2].substring(0, equals), args[2].substring(equals + 1)));
        System.out.println("module " + b.getClass().getModule().getName() + " in the boot layer: "
                + (b.getClass().getModule().getLayer() == ModuleLayer.boot()));
        b.validate();
        try {
            sendOne(b, MemorySegment.ofArray(new byte[60]).fill((byte) 2));
            System.out.println("sent");
        } catch (NetdevException e) {
            System.out.println("refused: " + e.getMessage());
        }
    }

    // [the example
    /** A backend in a module layer of its own, so that another version of it can stand beside it, and be collected. */
    static NetBackend load(Path jar, String type, Map<String, ?> options) throws ReflectiveOperationException {
        ModuleFinder module = ModuleFinder.of(jar);
        String name = module.findAll().iterator().next().descriptor().name();
        ModuleLayer boot = ModuleLayer.boot(); // has org.vireo.net.api and org.vireo.posix
        ModuleLayer own = boot.defineModulesWithOneLoader(boot.configuration().resolve(module, ModuleFinder.of(), Set.of(name)),
                ClassLoader.getSystemClassLoader());
        return (NetBackend) own.findLoader(name).loadClass(type).getConstructor(String.class, Map.class).newInstance("net0", options);
    }

    static void sendOne(NetBackend backend, MemorySegment frame) throws NetdevException {
        FramePort port = (FramePort) backend.open(new Lent(new Descriptors(), System.nanoTime() + 5_000_000_000L, 1, false));
        try (Arena arena = Arena.ofConfined()) {
            int header = Collections.max(port.profile().headerLengths());
            port.apply(PortSettings.of(header, 0, BitSet.valueOf(new long[] {1})));
            MemorySegment bytes = arena.allocate(header + frame.byteSize());
            MemorySegment.copy(frame, 0, bytes, header, frame.byteSize());
            MemorySegment iovec = arena.allocateFrom(ValueLayout.JAVA_LONG, bytes.address(), bytes.byteSize());
            port.queue(0).transmit(new One(bytes, iovec));
        } finally {
            port.close(NetPort.Disposal.RELEASE);
        }
    }

    record Lent(Fds fds, long deadlineNanos, int pairs, boolean rehearsal) implements OpenContext, PortListener {
        public PortListener listener() { return this; }
        public void link(boolean up) { System.out.println("link " + up); }
        public void profile(PortProfile now) { System.out.println("can do now: " + now); }
        public void stateChanged() { }
        public void failed(Exception why) { System.out.println("failed: " + why); }
    }

    record One(MemorySegment frame, MemorySegment iovec) implements FrameBatch {
        public int size() { return 1; }
        public int bytes(int i) { return (int) frame.byteSize(); }
        public long iovecs(int i) { return iovec.address(); }
        public int iovecCount(int i) { return 1; }
        public void copyTo(int i, long from, MemorySegment to, long at, int n) { MemorySegment.copy(frame, from, to, at, n); }
        public void taken(int i) { System.out.println("taken"); }
        public void drop(int i, DropReason why) { System.out.println("dropped: " + why); }
    }
    // the example]
}
