## SPDX-License-Identifier: Apache-2.0
package ${package};

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.vireo.net.api.Fd;
import org.vireo.posix.Descriptors;
import org.vireo.posix.Errno;
import org.vireo.posix.Posix;
import org.vireo.posix.linux.Poll;
import org.vireo.tck.BackendFixture.CongestedNetwork;

/**
 * The test's end of the wire. A UNIX socket holds ten datagrams or so, and the kit sends hundreds before anybody reads: two threads, one
 * for each direction, hold the rest.
 */
final class OtherEnd implements CongestedNetwork {
    private static final int MOST = 2048;
    private static final int LOOK_MILLIS = 20;
    private static final byte[] NOTHING = new byte[0];

    private final Path folder;
    private final Path ours;
    private final Path theirs;
    private final Fd fd;
    private final MemorySegment peer;
    private final BlockingQueue<byte[]> toSend = new LinkedBlockingQueue<>();
    private final BlockingQueue<byte[]> taken = new LinkedBlockingQueue<>();
    private final Thread sender;
    private final Thread reader;
    private volatile boolean blocked;
    private volatile boolean closed;
    private volatile AssertionError failure;

    OtherEnd(Path folder) throws IOException {
        this.folder = folder;
        ours = folder.resolve("test");
        theirs = folder.resolve("netdev");
        peer = UnixSocket.address(Arena.ofAuto(), theirs.toString());
        fd = new Descriptors().adopt(Posix.check(Posix.socket(Posix.AF_UNIX, Posix.SOCK_DGRAM | Posix.SOCK_NONBLOCK, 0), "socket"),
                "the test's end");
        Posix.check(Posix.bind(fd.number(), UnixSocket.address(Arena.ofAuto(), ours.toString())), "bind " + ours);
        sender = Thread.ofPlatform().daemon().name("to the netdev").start(() -> run(this::sendOne));
        reader = Thread.ofPlatform().daemon().name("from the netdev").start(() -> run(this::readOne));
    }

    /** One step of a thread. */
    private interface Step {
        void with(MemorySegment buffer) throws InterruptedException;
    }

    private void run(Step step) {
        try (Arena a = Arena.ofConfined()) {
            MemorySegment buffer = a.allocate(MOST);
            while (!closed) {
                step.with(buffer);
            }
        } catch (InterruptedException e) {
            // the end
        } catch (AssertionError e) {
            failure = e;
        }
    }

    private void sendOne(MemorySegment buffer) throws InterruptedException {
        byte[] frame = toSend.take();
        MemorySegment.copy(frame, 0, buffer, ValueLayout.JAVA_BYTE, 0, frame.length);
        while (!closed) {
            long n = Posix.write(fd.number(), buffer.address(), frame.length);
            if (n == frame.length) {
                return;
            } else if (n == -Errno.EAGAIN) {
                Poll.writable(LOOK_MILLIS, fd.number());
            } else if (n == -Errno.ENOTCONN || n == -Errno.ECONNREFUSED) {
                if (Posix.connect(fd.number(), peer) < 0) {
                    TimeUnit.MILLISECONDS.sleep(1);
                }
            } else {
                throw new AssertionError("send to the netdev: " + Errno.text((int) -n));
            }
        }
    }

    private void readOne(MemorySegment buffer) throws InterruptedException {
        if (blocked) {
            TimeUnit.MILLISECONDS.sleep(1);
            return;
        }
        long n = Posix.read(fd.number(), buffer.address(), MOST);
        if (n >= 0) {
            taken.add(n == 0 ? NOTHING : buffer.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE));
        } else if (n == -Errno.EAGAIN) {
            Poll.readable(LOOK_MILLIS, fd.number());
        } else if (n != -Errno.ECONNRESET) {
            throw new AssertionError("read from the netdev: " + Errno.text((int) -n));
        }
    }

    @Override
    public Map<String, ?> options() {
        return Map.of("path", theirs.toString(), "peer", ours.toString());
    }

    @Override
    public void send(byte[] frame) {
        toSend.add(Arrays.copyOf(frame, frame.length));
    }

    @Override
    public byte[] take(Duration limit) {
        try {
            byte[] frame = taken.poll(limit.toMillis(), TimeUnit.MILLISECONDS);
            if (failure != null) {
                throw failure;
            }
            return frame;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        }
    }

    @Override
    public String observe() {
        // what a netdev could change outside is its socket's file
        try {
            return Files.exists(theirs) ? Files.readAttributes(theirs, "unix:ino,mode").toString() : "no socket";
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void block() {
        blocked = true;
    }

    @Override
    public void unblock() {
        blocked = false;
    }

    @Override
    public void close() {
        closed = true;
        try {
            for (Thread t : new Thread[] {sender, reader}) {
                t.interrupt();
                t.join();
            }
            fd.close();
            for (Path p : new Path[] {ours, theirs, folder}) {
                Files.deleteIfExists(p);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
