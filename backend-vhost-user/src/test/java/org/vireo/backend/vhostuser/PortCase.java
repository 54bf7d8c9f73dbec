// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.vireo.net.api.NetPort.Disposal;
import org.vireo.net.api.NetdevException;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.OpenFiles;
import org.vireo.vhostuser.ProtocolFeatures;
import org.vireo.vhostuser.VirtioNet;

/** What tests of a port share: a back-end of the test, a guest, and that nothing is left over. */
abstract class PortCase {
    static final long SPLIT = VirtioNet.VERSION_1 | VirtioNet.MRG_RXBUF | VirtioNet.INDIRECT_DESC | VirtioNet.EVENT_IDX;
    static final long OFFERED = SPLIT | VirtioNet.CSUM | VirtioNet.MTU | VirtioNet.MQ | VirtioNet.RING_PACKED | VirtioNet.LOG_ALL
            | VirtioNet.PROTOCOL_FEATURES;
    /** What a plain back-end has; tests add what they are about. */
    static final long PLAIN = ProtocolFeatures.MQ | ProtocolFeatures.REPLY_ACK | ProtocolFeatures.LOG_SHMFD | ProtocolFeatures.RARP
            | ProtocolFeatures.CONFIG | ProtocolFeatures.STATUS;
    static final Duration LIMIT = Duration.ofSeconds(10);
    /** For a call that meets a back-end which does not answer. */
    static final long CALL_LIMIT_NANOS = 8_000_000_000L;
    private static final String WATCHER = "vireo-vhost-user-";

    @TempDir
    Path folder;
    final News news = new News();
    /** Tests lose connections one after the other, and are in a hurry. */
    Pace pace = new Pace(System::nanoTime, 10);
    private final Deque<AutoCloseable> closing = new ArrayDeque<>();
    private int descriptorsBefore;

    @BeforeEach
    final void count() throws IOException {
        // what is opened once in a process is open already
        keep(new TestGuest(SPLIT, 1, 16)).close();
        closing.clear();
        descriptorsBefore = OpenFiles.count();
    }

    /** As its owner does, who tries again: it waits for no longer than a frozen guest may. */
    static void quiesce(VhostUserPort p) {
        Await.until(LIMIT, "the port stands still", () -> {
            try {
                p.quiesce();
                return true;
            } catch (NetdevException e) {
                return false;
            }
        });
    }

    @AfterEach
    final void nothingIsLeft() throws Exception {
        Exception first = null;
        while (!closing.isEmpty()) {
            try {
                closing.pop().close();
            } catch (Exception e) {
                first = first == null ? e : first;
            }
        }
        if (first != null) {
            throw first;
        }
        Await.until(LIMIT, "no more descriptors than before, " + descriptorsBefore, () -> OpenFiles.count() <= descriptorsBefore);
        assertEquals(List.of(), Thread.getAllStackTraces().keySet().stream().map(Thread::getName).filter(n -> n.startsWith(WATCHER))
                .toList());
    }

    /** Closes it after the test, the last one first. */
    final <T extends AutoCloseable> T keep(T what) {
        closing.push(what);
        return what;
    }

    final Path path() {
        return folder.resolve("vu");
    }

    final ScriptedBackEnd backEnd(long protocol) throws IOException {
        return backEnd(OFFERED, protocol);
    }

    final ScriptedBackEnd backEnd(long features, long protocol) throws IOException {
        return keep(new ScriptedBackEnd(path(), true, features, protocol, 2));
    }

    final TestGuest guest() throws IOException {
        return keep(new TestGuest(SPLIT, 1, 16));
    }

    final VhostUserBackend netdev(String... options) {
        Map<String, String> all = new HashMap<>(Map.of("path", path().toString()));
        for (String o : options) {
            all.put(o.substring(0, o.indexOf('=')), o.substring(o.indexOf('=') + 1));
        }
        return new VhostUserBackend("net0", all, pace);
    }

    final VhostUserPort open(String... options) throws NetdevException {
        return kept((VhostUserPort) netdev(options).open(news.context()));
    }

    final VhostUserPort kept(VhostUserPort port) {
        keep((AutoCloseable) () -> port.close(Disposal.RELEASE));
        return port;
    }

    /** Tells a port all, and starts both rings of the first pair. */
    final void run(VhostUserPort port, TestGuest guest, long features) throws NetdevException {
        port.features(features);
        port.memory(guest.memory());
        for (int ring = 0; ring < 2; ring++) {
            port.enable(ring, true);
            port.start(ring, guest.spec(ring, 0));
        }
    }

    static void assertOrder(List<String> heard, String... expected) {
        int at = 0;
        for (String h : heard) {
            if (at < expected.length && h.startsWith(expected[at])) {
                at++;
            }
        }
        assertTrue(at == expected.length, () -> "expected in this order " + List.of(expected) + ", but it heard " + heard);
    }
}
