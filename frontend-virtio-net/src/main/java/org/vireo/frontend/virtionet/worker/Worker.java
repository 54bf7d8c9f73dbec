// SPDX-License-Identifier: Apache-2.0
package org.vireo.frontend.virtionet.worker;

import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.vireo.net.api.Fd;
import org.vireo.net.api.Fds;
import org.vireo.posix.linux.Epoll;
import org.vireo.posix.linux.EventFd;
import org.vireo.posix.linux.Processes;
import org.vireo.posix.linux.Threads;

/**
 * One thread, one epoll, the queue pairs that it serves. Control never touches a ring: it posts commands ({@link #execute}), which run
 * between two tasks.
 *
 * <p>The thread is replaced when a backend does not return ({@link #replaceThread}): a new one goes on with everything but the guilty
 * NIC. The old one finds that its tick has moved on without it and ends without touching anything.
 */
public final class Worker implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Worker.class);
    private static final int EVENTS = 64;
    /** Rounds over all busy tasks between two looks at epoll: at 64 frames a task, a quarter of a millisecond. */
    private static final int ROUNDS = 4;
    private static final long WAKE = -1;
    /** Faults of memory that a task is forgiven while nobody's memory is found truncated: a backend may throw InternalError itself. */
    private static final int MOST_FAULTS = 3;
    private static final long CLOSE_SECONDS = 5;
    private static final VarHandle CURRENT;
    private static final VarHandle TICK;

    static {
        try {
            CURRENT = MethodHandles.lookup().findVarHandle(Worker.class, "current", Task.class);
            TICK = MethodHandles.lookup().findVarHandle(Worker.class, "tick", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final String name;
    private final Epoll epoll;
    private final Fd wake;
    private final Watchdog watchdog;
    private final Urgency urgency;
    private final ConcurrentLinkedQueue<Runnable> commands = new ConcurrentLinkedQueue<>();
    private Task[] tasks = new Task[16];
    private int[] generations = new int[16];
    private final List<List<Fd>> watched = new ArrayList<>();
    private Task[] queue = new Task[16];
    private int head;
    private int queueSize;
    private volatile Loop thread;
    private volatile boolean closed;
    private volatile boolean awake = true;
    private Task current;
    /** Odd while the thread is inside {@link #current}. Who moves it on from an odd value owns the tasks: the thread, or the watchdog. */
    private long tick;

    /** How a worker's thread stands against others. */
    public enum Urgency {
        /** Before all that is not urgent, where the process may say so: a TAP that nobody reads for 20 ms drops frames. */
        FRAMES,
        /** As who made it. */
        INHERITED
    }

    /**
     * Starts a worker.
     *
     * @param name its thread's name
     * @param fds makes its descriptors
     * @param watchdog watches it
     * @param urgency of its thread
     * @throws IOException no descriptor left
     */
    public Worker(String name, Fds fds, Watchdog watchdog, Urgency urgency) throws IOException {
        this.name = name;
        this.watchdog = watchdog;
        this.urgency = urgency;
        epoll = new Epoll(fds, EVENTS);
        wake = EventFd.create(fds, name + " wake");
        epoll.add(wake, Epoll.IN | Epoll.EDGE, WAKE);
        for (int i = 0; i < tasks.length; i++) {
            watched.add(new ArrayList<>());
        }
        start();
        watchdog.watch(this);
    }

    private void start() {
        awake = true;
        Loop loop = new Loop();
        thread = loop;
        Thread t = new Thread(loop, name);
        t.setDaemon(true);
        t.start();
    }

    /**
     * Posts a command.
     *
     * @param <T> its result
     * @param command runs on the worker's thread, must not block
     * @return its result, or what it threw
     */
    public <T> Command<T> execute(Callable<T> command) {
        Command<T> result = new Command<>(command);
        if (closed) {
            result.completeExceptionally(new IllegalStateException(name + " has ended"));
            return result;
        }
        commands.add(result::run);
        EventFd.signal(wake.number());
        // one that has begun answers by itself: that which ends the worker is seen here to have done so
        if (closed && result.withdraw()) {
            result.completeExceptionally(new IllegalStateException(name + " has ended"));
        }
        return result;
    }

    /**
     * A posted command.
     *
     * @param <T> its result
     */
    public static final class Command<T> extends CompletableFuture<T> {
        private final Callable<T> body;
        private final AtomicBoolean begun = new AtomicBoolean();

        private Command(Callable<T> body) {
            this.body = body;
        }

        private void run() {
            if (!begun.compareAndSet(false, true)) {
                return;
            }
            try {
                complete(body.call());
            } catch (Throwable t) {
                completeExceptionally(t);
            }
        }

        /**
         * Takes the command back: it will not run later, when nobody waits for it any more.
         *
         * @return false: it has begun or is done
         */
        public boolean withdraw() {
            return begun.compareAndSet(false, true);
        }
    }

    /**
     * Adds a task. On the worker's thread.
     *
     * @param task not added anywhere
     */
    public void add(Task task) {
        int i = 0;
        while (i < tasks.length && tasks[i] != null) {
            i++;
        }
        if (i == tasks.length) {
            tasks = Arrays.copyOf(tasks, 2 * i);
            generations = Arrays.copyOf(generations, 2 * i);
            while (watched.size() < tasks.length) {
                watched.add(new ArrayList<>());
            }
        }
        tasks[i] = task;
        task.attach(this, i);
    }

    /**
     * Takes a task out; its descriptors are no longer polled when this returns. On the worker's thread, or on the watchdog's after the
     * thread was given up.
     *
     * @param task a task; nothing happens if it was taken out before
     */
    public void remove(Task task) {
        int i = task.index();
        if (i < 0 || tasks[i] != task) {
            return;
        }
        for (Fd fd : List.copyOf(watched.get(i))) {
            unwatch(task, fd);
        }
        tasks[i] = null;
        generations[i]++;
        task.attach(this, -1);
        if (task.queued) {
            dequeue(task);
        }
    }

    private void dequeue(Task task) {
        int n = queueSize;
        for (int k = 0; k < n; k++) {
            Task t = poll();
            if (t != task) {
                push(t);
            }
        }
        task.queued = false;
    }

    void enqueue(Task task) {
        if (!task.queued && task.index() >= 0) {
            task.queued = true;
            push(task);
        }
    }

    private void push(Task task) {
        if (queueSize == queue.length) {
            Task[] larger = new Task[2 * queueSize];
            for (int k = 0; k < queueSize; k++) {
                larger[k] = queue[head + k & queue.length - 1];
            }
            queue = larger;
            head = 0;
        }
        queue[head + queueSize++ & queue.length - 1] = task;
    }

    private Task poll() {
        Task t = queue[head];
        queue[head] = null;
        head = head + 1 & queue.length - 1;
        queueSize--;
        return t;
    }

    void watch(Task task, Fd fd, int source, int events) throws IOException {
        epoll.add(fd, events, data(task, source));
        watched.get(task.index()).add(fd);
    }

    void rewatch(Task task, Fd fd, int source, int events) throws IOException {
        epoll.modify(fd, events, data(task, source));
    }

    /** Nothing happens if the task was taken out before: so was all that it watched. */
    void unwatch(Task task, Fd fd) {
        if (task.index() >= 0 && watched.get(task.index()).remove(fd)) {
            try {
                epoll.remove(fd);
            } catch (IOException e) {
                LOG.warn("{}: {}", name, e.getMessage());
            }
        }
    }

    private long data(Task task, int source) {
        return (long) generations[task.index()] << 32 | (long) task.index() << 2 | source;
    }

    /** The thread's body; the object is its identity. */
    private final class Loop implements Runnable {
        private final Scratch scratch = new Scratch();
        private volatile int threadId;

        @Override
        public void run() {
            threadId = Processes.threadId();
            if (urgency == Urgency.FRAMES && Threads.steady() < 0) {
                LOG.debug("{} runs at ordinary priority: no CAP_SYS_NICE", name);
            }
            while (thread == this && !closed) {
                int n = await();
                for (int i = 0; i < n; i++) {
                    event(epoll.data(i), epoll.events(i));
                }
                for (int round = 0; round < ROUNDS && queueSize > 0; round++) {
                    if (!round()) {
                        return;
                    }
                }
            }
        }

        private int await() {
            if (queueSize > 0) {
                return epoll.await(0);
            }
            awake = false;
            int n = epoll.await(-1);
            // in this order: the watchdog says that it sleeps, then looks who is awake
            awake = true;
            watchdog.awake();
            return n;
        }

        private void event(long data, int events) {
            if (data == WAKE) {
                for (Runnable c = commands.poll(); c != null; c = commands.poll()) {
                    c.run();
                }
                return;
            }
            int index = (int) data >>> 2;
            Task task = tasks[index];
            if (task != null && generations[index] == (int) (data >>> 32)) {
                task.ready((int) data & 3, events);
            }
        }

        /** Runs each task that is queued now once. */
        private boolean round() {
            // a broken task can take others of its NIC out of the queue
            for (int k = queueSize; k > 0 && queueSize > 0; k--) {
                Task task = poll();
                task.queued = false;
                long inside = tick + 1;
                CURRENT.setRelease(Worker.this, task);
                TICK.setRelease(Worker.this, inside);
                boolean more = false;
                Throwable broken = null;
                try {
                    more = task.run(scratch);
                } catch (Throwable t) {
                    broken = t;
                }
                if (!TICK.compareAndSet(Worker.this, inside, inside + 1)) {
                    task.returned();
                    return false;
                }
                CURRENT.setRelease(Worker.this, null);
                if (Thread.interrupted()) {
                    // by the backend: the next one, another NIC's, would have its channels closed for it
                    LOG.debug("{}: {} left it interrupted", name, task);
                }
                if (broken != null) {
                    broken(task, broken);
                } else if (more) {
                    enqueue(task);
                }
            }
            return true;
        }
    }

    private void broken(Task task, Throwable why) {
        if (why instanceof InternalError && !task.memoryTruncated() && task.faults++ < MOST_FAULTS) {
            // a fault of memory can be reported late, in another task than the one that caused it
            for (Task t : tasks.clone()) {
                if (t != null && t.memoryTruncated()) {
                    giveUp(t, why);
                }
            }
            try {
                task.rewind();
                enqueue(task);
            } catch (InternalError e) {
                // it writes into that memory too
                giveUp(task, e);
            }
            return;
        }
        giveUp(task, why);
    }

    private void giveUp(Task task, Throwable why) {
        remove(task);
        task.broken(why);
    }

    /** What the watchdog looks at: odd inside a task. */
    long tick() {
        return (long) TICK.getAcquire(this);
    }

    Task current() {
        return (Task) CURRENT.getAcquire(this);
    }

    /** Whether it does not wait for events. */
    boolean isAwake() {
        return awake;
    }

    int threadId() {
        return thread.threadId;
    }

    /**
     * Gives the thread up that is stuck in a task, with all tasks of the same NIC, and goes on with a new one.
     *
     * @param inside the tick at which it is stuck; nothing happens if it has moved on
     * @param why for the NIC
     * @return whether
     */
    boolean replaceThread(long inside, String why) {
        Task stuck = current();
        if (!TICK.compareAndSet(this, inside, inside + 1)) {
            return false;
        }
        List<Task> guilty = new ArrayList<>();
        for (Task t : tasks) {
            if (t != null && t.group() == stuck.group()) {
                t.revoked = true;
                guilty.add(t);
            }
        }
        guilty.forEach(this::remove);
        CURRENT.setRelease(this, null);
        // it may be busy for ever, and was before others so far
        if (thread.threadId > 0) {
            Threads.nicest(thread.threadId);
        }
        start();
        EventFd.signal(wake.number());
        guilty.forEach(t -> t.broken(new StuckException(why, t == stuck)));
        return true;
    }

    @Override
    public String toString() {
        return name;
    }

    @Override
    public void close() {
        try {
            execute(() -> closed = true).get(CLOSE_SECONDS, TimeUnit.SECONDS);
        } catch (ExecutionException | TimeoutException e) {
            LOG.error("{} does not end: {}", name, e.toString());
            return;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return;
        } finally {
            watchdog.forget(this);
        }
        try {
            epoll.remove(wake);
        } catch (IOException e) {
            LOG.warn("{}: {}", name, e.getMessage());
        }
        wake.close();
        epoll.close();
    }
}
