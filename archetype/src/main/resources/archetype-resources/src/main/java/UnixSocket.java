## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.net.api.NetdevException;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;

/** UNIX datagram sockets (unix(7)). Packages with native code of your own are not needed: org.vireo.posix has the calls. */
final class UnixSocket {
    /** Of sun_path, with the zero at its end. */
    static final int MOST_PATH = 108;
    private static final int PATH = 2;

    private UnixSocket() {
    }

    /** Makes our socket, and connects it if the other one is there. What fails leaves nothing behind. */
    static Fd open(DatagramOptions options, Fds fds) throws NetdevException {
        Fd fd = null;
        boolean done = false;
        try (Arena a = Arena.ofConfined()) {
            fd = fds.adopt(Posix.check(Posix.socket(Posix.AF_UNIX, Posix.SOCK_DGRAM | Posix.SOCK_NONBLOCK, 0), "socket"),
                    "netdev " + options.id());
            MemorySegment own = address(a, options.path());
            removeOrphan(options, fd, own);
            Posix.check(Posix.bind(fd.number(), own), "bind");
            // if it is not there yet the queue tries again
            Posix.connect(fd.number(), address(a, options.peer()));
            done = true;
            return fd;
        } catch (IOException e) {
            throw new NetdevException("netdev " + options.id() + ": cannot make path=" + options.path() + ": " + e.getMessage()
                    + ": the folder has to exist, and this user has to be allowed to write there", e);
        } finally {
            if (!done && fd != null) {
                fd.close();
            }
        }
    }

    /** Removes the socket file of a process that was killed. */
    private static void removeOrphan(DatagramOptions options, Fd fd, MemorySegment own) throws NetdevException, IOException {
        Path path = Path.of(options.path());
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        boolean socket = Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS).isOther();
        if (!socket || Posix.connect(fd.number(), own) != -Errno.ECONNREFUSED) {
            throw new NetdevException("netdev " + options.id() + ": path=" + options.path() + " exists, and "
                    + (socket ? "somebody uses it" : "is no socket") + ": choose another path, or remove it");
        }
        Files.delete(path);
    }

    /** struct sockaddr_un. */
    static MemorySegment address(Arena a, String path) {
        MemorySegment m = a.allocate(PATH + MOST_PATH, 2);
        m.set(ValueLayout.JAVA_SHORT, 0, (short) Posix.AF_UNIX);
        m.setString(PATH, path);
        return m;
    }
}
