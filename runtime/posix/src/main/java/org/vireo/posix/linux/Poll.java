// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import org.vireo.posix.internal.Native;

/** Waits for a few descriptors without registering them (poll(2)). */
public final class Poll {
    /** Readable. */
    public static final int IN = 1;
    /** Writable. */
    public static final int OUT = 4;

    private static final MethodHandle POLL = Native.intFunction("poll", 3, -1);

    private Poll() {
    }

    /**
     * Waits until one is readable, has an error or is hung up.
     *
     * @param timeoutMillis at most; 0: look only; -1: without end
     * @param descriptors numbers; negative ones are skipped
     * @return bit i is set for descriptor i; 0 if none
     */
    public static int readable(int timeoutMillis, int... descriptors) {
        return wait(timeoutMillis, IN, descriptors);
    }

    /**
     * Waits until one is writable, has an error or is hung up.
     *
     * @param timeoutMillis at most; 0: look only; -1: without end
     * @param descriptors numbers; negative ones are skipped
     * @return bit i is set for descriptor i; 0 if none
     */
    public static int writable(int timeoutMillis, int... descriptors) {
        return wait(timeoutMillis, OUT, descriptors);
    }

    private static int wait(int timeoutMillis, int events, int... descriptors) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment m = a.allocate(8L * Math.max(1, descriptors.length), 8);
            for (int i = 0; i < descriptors.length; i++) {
                m.set(ValueLayout.JAVA_INT, 8L * i, descriptors[i]);
                m.set(ValueLayout.JAVA_SHORT, 8L * i + 4, (short) events);
            }
            int n = (int) POLL.invokeExact(Native.state(), m.address(), (long) descriptors.length, (long) timeoutMillis);
            int bits = 0;
            for (int i = 0; n > 0 && i < descriptors.length; i++) {
                bits |= m.get(ValueLayout.JAVA_SHORT, 8L * i + 6) != 0 ? 1 << i : 0;
            }
            return bits;
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
