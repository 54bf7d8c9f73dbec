// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.vireo.posix.Errno;

/** Priorities as the kernel shows them, each of its thread alone; memory that goes back. */
@Timeout(60)
class ThreadsTest {
    private static final int NICE = 16;

    private static String[] stat() throws IOException {
        String s = Files.readString(Path.of("/proc/thread-self/stat"));
        return s.substring(s.lastIndexOf(')') + 2).split(" ");
    }

    private static int niceNow() throws IOException {
        return Integer.parseInt(stat()[NICE]);
    }

    private static <T> T on(Callable<T> what) throws Exception {
        FutureTask<T> t = new FutureTask<>(what);
        Thread.ofPlatform().start(t);
        return t.get();
    }

    @Test
    void eachIsItsThreadsAlone() throws Exception {
        int before = niceNow();
        assertEquals(19, on(() -> {
            assertEquals(0, Threads.nicest());
            return niceNow();
        }));
        assertEquals(10, on(() -> {
            assertEquals(0, Threads.patient());
            return niceNow();
        }));
        for (Callable<Integer> c : List.<Callable<Integer>>of(Threads::urgent, Threads::steady)) {
            on(() -> {
                int n = c.call();
                // who may not keeps what it had
                assertTrue(n == 0 ? niceNow() < 0 : n == -Errno.EACCES && niceNow() == before, n + " " + niceNow());
                return null;
            });
        }
        assertEquals(before, niceNow());
    }

    @Test
    void ordinaryUndoesUrgent() throws Exception {
        on(() -> {
            if (Threads.urgent() == 0) {
                Threads.ordinary();
                assertEquals(0, niceNow());
            }
            return null;
        });
    }

    @Test
    void freeMemoryGoesBack() throws Exception {
        List<Arena> holes = new ArrayList<>();
        // pieces too small to be mapped by themselves, and one kept in each row, so that the heap cannot just become shorter
        try (Arena kept = Arena.ofConfined()) {
            for (int row = 0; row < 16; row++) {
                Arena hole = Arena.ofConfined();
                for (int i = 0; i < 64; i++) {
                    hole.allocate(64 << 10).fill((byte) 1);
                }
                kept.allocate(64 << 10);
                holes.add(hole);
            }
            holes.forEach(Arena::close);
            long before = resident();
            NativeHeap.trim();
            long after = resident();
            assertTrue(after < before - (16 << 10), before + " kB before, " + after + " kB after");
        }
    }

    /** In kB. */
    private static long resident() throws IOException {
        try (var lines = Files.lines(Path.of("/proc/self/status"))) {
            return lines.filter(l -> l.startsWith("VmRSS:")).map(l -> l.replaceAll("[^0-9]", "")).mapToLong(Long::parseLong).sum();
        }
    }
}
