// SPDX-License-Identifier: Apache-2.0
package org.vireo.posix.linux;

import java.lang.invoke.MethodHandle;
import org.vireo.net.api.Fd;
import org.vireo.posix.Errno;
import org.vireo.posix.internal.Native;

/** Open file descriptions: what descriptors of the same open(2) or socket(2) have in common. */
public final class OpenFiles {
    private static final long KCMP = System.getProperty("os.arch").equals("amd64") ? 312 : 272;
    private static final long KCMP_FILE = 0;
    private static final MethodHandle SYSCALL = Native.intFunction("syscall", 6, 1);

    private OpenFiles() {
    }

    /**
     * Whether the kernel compares (kcmp(2)): it was built with it, and nothing forbids it.
     *
     * @param any an open descriptor
     * @return whether
     */
    public static boolean canCompare(Fd any) {
        return kcmp(any, any) == 0;
    }

    /**
     * An order of open file descriptions, which lasts until the machine is started anew.
     *
     * @param a a descriptor of this process
     * @param b another one
     * @return 0: both are of the same one; else less or greater than 0
     */
    public static int compare(Fd a, Fd b) {
        int r = kcmp(a, b);
        return switch (r) {
            case 0 -> 0;
            case 1 -> -1;
            case 2 -> 1;
            default -> throw new IllegalStateException("kcmp of " + a + " and " + b + ": " + Errno.text(-r));
        };
    }

    private static int kcmp(Fd a, Fd b) {
        long self = ProcessHandle.current().pid();
        var s = Native.state();
        try {
            int n = (int) SYSCALL.invokeExact(s, KCMP, self, self, KCMP_FILE, (long) a.number(), (long) b.number());
            return n >= 0 ? n : -Native.errno(s);
        } catch (Throwable t) {
            throw Native.unexpected(t);
        }
    }
}
