// SPDX-License-Identifier: Apache-2.0
package org.vireo.backend.vhostuser;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.vireo.net.api.Fd;
import org.vireo.net.api.PortUnavailableException;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.UnixSockets;
import org.vireo.testsupport.Await;
import org.vireo.testsupport.TestProcess;
import org.vireo.vhostuser.Request;

/** What can be known of others at a back-end's socket is said, and no more. */
final class OccupancyTest extends PortCase {
    private static final String ONE_ONLY = ", and may serve one front-end only: 'ss -xp' names the other; end that, or give this netdev a"
            + " back-end of its own";

    private static final String WHO = "process 7";

    private String refusal(String... options) {
        return assertThrows(PortUnavailableException.class, () -> netdev(options).open(news.context(Duration.ofMillis(400), 1, false)))
                .getMessage();
    }

    private Fd connected() throws IOException {
        return keep(UnixSockets.connect(ScriptedBackEnd.FDS, path(), "another front-end"));
    }

    private Fd accepted(Fd listener) throws IOException {
        return keep(UnixSockets.accept(listener, ScriptedBackEnd.FDS, false, "accepted"));
    }

    /** A listener in this process would be told of as such: what the kernel says is looked at by itself. */
    @Test
    void theKernelTellsWhatWasAcceptedAndWhatWaits() throws Exception {
        Fd listener = keep(UnixSockets.listen(ScriptedBackEnd.FDS, path(), 0600, "a back-end"));
        String path = path().toString();
        assertEquals(new Occupancy(0, 0), Occupancy.of(path));
        Fd first = connected();
        assertEquals(new Occupancy(0, 1), Occupancy.of(path));
        accepted(listener);
        assertEquals(new Occupancy(1, 0), Occupancy.of(path));
        Fd second = connected();
        assertEquals(new Occupancy(1, 1), Occupancy.of(path));
        first.close();
        assertEquals(new Occupancy(0, 1), Occupancy.of(path), "its front-end has gone, though the back-end has not read that yet");
        Fd third = accepted(listener);
        connected();
        accepted(listener);
        assertEquals(new Occupancy(2, 0), Occupancy.of(path));
        third.close();
        second.close();
        assertEquals(new Occupancy(1, 0), Occupancy.of(path));
        assertEquals(new Occupancy(0, 0), Occupancy.of(path + "2"));
    }

    @Test
    void aTableIsReadWhateverElseStandsInIt() {
        List<String> table = List.of("Num       RefCount Protocol Flags    Type St Inode Path",
                "0000000000000000: 00000002 00000000 00010000 0001 01 23243540 /run/a b",
                "0000000000000000: 00000003 00000000 00000000 0001 03 23243542 /run/a b",
                "0000000000000000: 00000002 00000000 00000000 0001 03 23243544 /run/a b",
                "0000000000000000: 00000003 00000000 00000000 0001 02     0 /run/a b",
                "0000000000000000: 00000003 00000000 00000000 0001 03 23243546 @/run/a b",
                "0000000000000000: 00000003 00000000 00000000 0001 03 23243548 /run/a",
                "0000000000000000: 00000003 00000000 00000000 0001 03 23243550", "");
        assertEquals(new Occupancy(1, 1), Occupancy.of("/run/a b", table));
        assertEquals(new Occupancy(1, 0), Occupancy.of("/run/a", table));
    }

    @Test
    void whatIsKnownIsSaid() {
        assertEquals("; process 7 has not accepted it, but another connection before" + ONE_ONLY, new Occupancy(1, 3).ofSilence(WHO));
        assertEquals("; process 7 accepts no connection: it is stuck, stopped or not ready yet", new Occupancy(0, 1).ofSilence(WHO));
        assertEquals("; process 7 has accepted it and 2 other connections before" + ONE_ONLY, new Occupancy(3, 0).ofSilence(WHO));
        assertEquals("", new Occupancy(1, 0).ofSilence(WHO));
        assertEquals("; process 7 has another connection" + ONE_ONLY, new Occupancy(1, 0).ofEnd(WHO));
        assertEquals("", new Occupancy(0, 0).ofEnd(WHO));
    }

    /** A back-end in another process, as a real one is: it accepts so many connections, and says nothing. */
    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 1) {
            stuck(Path.of(arguments[0]));
            return;
        }
        try (ServerSocketChannel s = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            s.bind(UnixDomainSocketAddress.of(arguments[0]), 1);
            List<SocketChannel> accepted = new ArrayList<>();
            for (int i = 0; i < Integer.parseInt(arguments[1]); i++) {
                accepted.add(s.accept());
            }
            new CountDownLatch(1).await(LIMIT.toSeconds() * 3, TimeUnit.SECONDS);
            accepted.clear();
        }
    }

    /** It hangs up when it has the memory, and when it gets that again it does nothing any more. */
    private static void stuck(Path path) throws Exception {
        try (ScriptedBackEnd b = new ScriptedBackEnd(path, true, OFFERED, PLAIN, 2)) {
            b.awaitHeard("SET_MEM_TABLE");
            b.twist(Request.SET_MEM_TABLE, ScriptedBackEnd.Twist.FREEZE);
            b.hangUp();
            new CountDownLatch(1).await(LIMIT.toSeconds() * 3, TimeUnit.SECONDS);
        }
    }

    private Process process(String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of("-cp", System.getProperty("java.class.path"), OccupancyTest.class.getName()));
        all.addAll(List.of(arguments));
        // without pipes, which would count
        Process p = new ProcessBuilder(TestProcess.java(all.toArray(String[]::new))).redirectInput(new File("/dev/null"))
                .redirectOutput(Redirect.DISCARD).redirectError(Redirect.INHERIT).start();
        keep((AutoCloseable) () -> p.destroyForcibly().waitFor());
        return p;
    }

    private Process other(int accepts) throws Exception {
        Process p = process(path().toString(), String.valueOf(accepts));
        Await.until(LIMIT, "it listens", () -> Files.exists(path()) && tries());
        return p;
    }

    /** One connection is another front-end's, and stays. */
    private boolean tries() {
        try {
            connected();
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    /** When it is given up it has this side's connection still, which is no other front-end's. */
    @Test
    void oneThatIsStuckWhenItIsBroughtUpHasNoOther() throws Exception {
        process(path().toString());
        Await.until(LIMIT, "it listens", () -> Files.exists(path()));
        TestGuest g = guest();
        VhostUserPort p = open("reconnect-ms=10");
        p.features(SPLIT);
        p.memory(g.memory());
        news.awaitEverDown(".*: no answer to SET_MEM_TABLE within [0-9]+ ms");
    }

    /** Somebody removed its socket, or it serves one and then listens no more: whom it serves does not matter to who finds nobody there. */
    @Test
    void whereNobodyListensAnotherOneIsToBeStarted() throws Exception {
        Fd listener = keep(UnixSockets.listen(ScriptedBackEnd.FDS, path(), 0600, "a back-end"));
        connected();
        accepted(listener);
        connected();
        Files.delete(path());
        assertEquals(new Occupancy(1, 1), Occupancy.of(path().toString()));
        String m = refusal();
        assertTrue(m.endsWith("); start one that listens on " + path()) && !m.contains("accept"), m);
    }

    @Test
    void oneThatServesSomebodyElseIsToldOf() throws Exception {
        Process p = other(1);
        Await.until(LIMIT, "the other connection is accepted", () -> Occupancy.of(path().toString()).equals(new Occupancy(1, 0)));
        String m = refusal();
        assertTrue(m.contains(" ms; process " + p.pid() + " has not accepted it, but another connection before" + ONE_ONLY), m);
        connected();
        // now the queue is full, of those that gave up
        m = refusal();
        assertTrue(m.contains("does not accept; who listens there has not accepted it, but another connection before" + ONE_ONLY)
                || m.contains(" ms; process " + p.pid() + " has not accepted it, but "), m);
    }

    @Test
    void oneThatStandsStillIsToldOf() throws Exception {
        Process p = other(0);
        new ProcessBuilder("kill", "-STOP", String.valueOf(p.pid())).start().waitFor();
        Await.until(LIMIT, "it stands still", () -> Processes.isStopped(p.pid()));
        String m = refusal();
        assertTrue(m.contains("; process " + p.pid() + " (stopped: 'kill -CONT " + p.pid() + "' lets it go on) accepts no connection"), m);
    }
}
