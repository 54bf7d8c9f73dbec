// SPDX-License-Identifier: Apache-2.0
/*
 * Does something to a process at one exact point of a handover, from outside: a debugger (ptrace(2)) that follows the system calls of
 * all its threads, knows the handover's records by their first bytes, and needs nothing of the process itself.
 *
 *     faultpoint PID SOCKET TAP POINT ACTION
 *
 * SOCKET is the path of the handover's socket, TAP the name of an interface.
 * POINT is WHEN:EVENT[@AFTER]: WHEN is before or after (the system call), EVENT one of
 *     send.TYPE, recv.TYPE   a record on the handover's channel, such as send.OFFER; recv only after, when its first bytes have come
 *     recv                   whatever recvmsg on the channel
 *     tap-add, tap-del       epoll_ctl(2) with the TAP's descriptor
 *     tap-close              close(2) of it
 *     start                  at once, when attached
 * and AFTER an event that must have been before (its system call begun, or ended for recv.TYPE).
 * ACTION is
 *     kill          SIGKILL; before a call: it is not made
 *     stop:MS       SIGSTOP, SIGCONT after so many milliseconds; before a call: it is made after SIGCONT
 *     delay:MS      only the thread that is there waits
 *     wait          only the thread that is there waits, until a line comes on the standard input
 *     error:ERRNO   the call is not made and fails
 *     nofile:N      leaves the process N descriptors that it may still open
 *     list          nothing; prints all events
 * Prints "attached", "hit" and "done". Ends then, with the process going on; or when the standard input ends.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <linux/ptrace.h>

#ifndef __x86_64__
#error "the registers of this architecture are not known here"
#endif

#define TIDS 65536
#define FDS 4096
/* org.vireo.handover.wire.RecordLayout: then a 16-bit type */
#define MAGIC "VRHO"
#define MAGIC_BYTES 4

/* org.vireo.handover.wire.RecordType, by number */
static const char *const types[] = {NULL, "HELLO", "PREPARE", "PREPARED", "REFUSED", "CHANGE", "OFFER", "FAILED", "RUNNING",
    "DROPPED", "OWNING", "END", "DESCRIPTORS", "PING", "PONG", "GONE", "SYNCED"};

struct task { pid_t tid; int known; int64_t nr; uint64_t args[6]; int fail; };

static struct task tasks[TIDS];
static unsigned long connected[16];
static int connects;
static pid_t pid, held;
static const char *path, *tap;
static int after, armed, list, attached_all;
static char event[64], arm[64];
static const char *action;

static void die(const char *what) { fprintf(stderr, "faultpoint: %s: %s\n", what, strerror(errno)); exit(1); }

static void say(const char *what) { puts(what); fflush(stdout); }

static int peek(uint64_t at, void *to, size_t n) {
    struct iovec l = {to, n}, r = {(void *) at, n};
    return process_vm_readv(pid, &l, 1, &r, 1, 0) == (ssize_t) n;
}

static int link_of(int fd, char *to, size_t n) {
    char p[64];
    snprintf(p, sizeof p, "/proc/%d/fd/%d", pid, fd);
    ssize_t k = readlink(p, to, n - 1);
    if (k < 0) return 0;
    to[k] = 0;
    return 1;
}

static int is_tap(int fd) {
    char l[256], p[64];
    if (!link_of(fd, l, sizeof l) || strcmp(l, "/dev/net/tun")) return 0;
    snprintf(p, sizeof p, "/proc/%d/fdinfo/%d", pid, fd);
    FILE *f = fopen(p, "r");
    int found = 0;
    while (f && fgets(l, sizeof l, f)) {
        char name[64];
        if (sscanf(l, "iff: %63s", name) == 1) found = !strcmp(name, tap);
    }
    if (f) fclose(f);
    return found;
}

static unsigned long inode_of(int fd) {
    char l[256];
    return link_of(fd, l, sizeof l) && !strncmp(l, "socket:[", 8) ? strtoul(l + 8, NULL, 10) : 0;
}

/* An accepted socket has its listener's path. */
static int is_channel(int fd) {
    char l[512], p[64];
    unsigned long inode = inode_of(fd);
    if (!inode) return 0;
    for (int i = 0; i < 16; i++) {
        if (connected[i] == inode) return 1;
    }
    snprintf(p, sizeof p, "/proc/%d/net/unix", pid);
    FILE *f = fopen(p, "r");
    int found = 0;
    while (f && fgets(l, sizeof l, f)) {
        unsigned long i;
        char name[256];
        if (sscanf(l, "%*s %*s %*s %*s %*s %*s %lu %255s", &i, name) == 2 && i == inode) found = !strcmp(name, path);
    }
    if (f) fclose(f);
    return found;
}

static void note_connect(const uint64_t *a) {
    struct sockaddr_un u;
    memset(&u, 0, sizeof u);
    size_t n = a[2] < sizeof u ? a[2] : sizeof u;
    if (peek(a[1], &u, n) && u.sun_family == AF_UNIX && !strncmp(u.sun_path, path, sizeof u.sun_path)) {
        connected[connects++ % 16] = inode_of((int) a[0]);
    }
}

/* The type of the record that a message begins with. */
static const char *record(uint64_t header) {
    struct msghdr m;
    struct iovec v;
    unsigned char b[6];
    if (!peek(header, &m, sizeof m) || m.msg_iovlen < 1 || !peek((uint64_t) m.msg_iov, &v, sizeof v) || v.iov_len < sizeof b
            || !peek((uint64_t) v.iov_base, b, sizeof b) || memcmp(b, MAGIC, MAGIC_BYTES)) return NULL;
    int type = b[4] | b[5] << 8;
    return type > 0 && type < (int) (sizeof types / sizeof *types) ? types[type] : "other";
}

static void event_of(const struct task *t, int exit, int64_t result, char *to, size_t n) {
    to[0] = 0;
    const uint64_t *a = t->args;
    const char *type;
    switch (t->nr) {
    case SYS_connect: if (!exit) note_connect(a); break;
    case SYS_sendmsg:
        if (is_channel((int) a[0]) && (type = record(a[1]))) snprintf(to, n, "send.%s", type);
        break;
    case SYS_recvmsg:
        if (!is_channel((int) a[0])) break;
        if (!exit) snprintf(to, n, "recv");
        else if (result > MAGIC_BYTES + 2 && (type = record(a[1]))) snprintf(to, n, "recv.%s", type);
        break;
    case SYS_epoll_ctl:
        if ((a[1] == EPOLL_CTL_ADD || a[1] == EPOLL_CTL_DEL) && is_tap((int) a[2]))
            snprintf(to, n, a[1] == EPOLL_CTL_ADD ? "tap-add" : "tap-del");
        break;
    case SYS_close:
        if (!exit && is_tap((int) a[0])) snprintf(to, n, "tap-close");
        break;
    }
}

static void go(pid_t tid, int sig) { ptrace(PTRACE_SYSCALL, tid, 0, (void *) (long) sig); }

static void seize(pid_t tid) {
    if (tasks[tid % TIDS].known && tasks[tid % TIDS].tid == tid) return;
    if (ptrace(PTRACE_SEIZE, tid, 0, (void *) (long) (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)) < 0) {
        if (errno == ESRCH || errno == EPERM) return;
        die("ptrace");
    }
    tasks[tid % TIDS] = (struct task) {.tid = tid, .known = 1, .nr = -1};
    ptrace(PTRACE_INTERRUPT, tid, 0, 0);
}

static int seize_all(void) {
    char p[64];
    int found = 0;
    snprintf(p, sizeof p, "/proc/%d/task", pid);
    DIR *d = opendir(p);
    if (!d) return -1;
    for (struct dirent *e; (e = readdir(d));) {
        pid_t t = atoi(e->d_name);
        if (t > 0 && !(tasks[t % TIDS].known && tasks[t % TIDS].tid == t)) {
            seize(t);
            found = 1;
        }
    }
    closedir(d);
    return found;
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void registers(pid_t tid, int64_t nr, int64_t result) {
    struct user_regs_struct r;
    struct iovec v = {&r, sizeof r};
    if (ptrace(PTRACE_GETREGSET, tid, (void *) 1L, &v) < 0) die("registers");
    r.orig_rax = nr;
    r.rax = result;
    if (ptrace(PTRACE_SETREGSET, tid, (void *) 1L, &v) < 0) die("registers");
}

static void leave_descriptors(int more) {
    char p[64];
    int top = 0;
    snprintf(p, sizeof p, "/proc/%d/fd", pid);
    DIR *d = opendir(p);
    /* the limit is one above the highest number that may be used: as many free numbers as asked for stay below it */
    static char used[FDS];
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] != '.' && atoi(e->d_name) < FDS) used[atoi(e->d_name)] = 1;
    }
    if (d) closedir(d);
    while (top < FDS && (used[top] || more-- > 0)) top++;
    struct rlimit old, l;
    prlimit(pid, RLIMIT_NOFILE, NULL, &old);
    l = old;
    l.rlim_cur = top;
    if (prlimit(pid, RLIMIT_NOFILE, &l, NULL) < 0) die("prlimit");
}

static void finish(void) {
    say("done");
    exit(0);
}

static int64_t until;
static int stopped;

/* At the point. Returns whether the thread is held. */
static int act(pid_t tid) {
    say("hit");
    if (!strcmp(action, "kill")) {
        kill(pid, SIGKILL);
        finish();
    } else if (!strncmp(action, "stop:", 5)) {
        until = now() + atoll(action + 5) * 1000000;
        stopped = 1;
        kill(pid, SIGSTOP);
    } else if (!strncmp(action, "delay:", 6)) {
        until = now() + atoll(action + 6) * 1000000;
    } else if (!strcmp(action, "wait")) {
        until = INT64_MAX;
    } else if (!strncmp(action, "error:", 6)) {
        registers(tid, -1, -ENOSYS);
        tasks[tid % TIDS].fail = atoi(action + 6);
        return 0;
    } else if (!strncmp(action, "nofile:", 7)) {
        leave_descriptors(atoi(action + 7));
        finish();
    } else {
        fprintf(stderr, "faultpoint: unknown action %s\n", action);
        exit(2);
    }
    held = tid;
    return 1;
}

static int hits(const char *e, int exit) {
    if (list) {
        printf("event %s %s\n", exit ? "after" : "before", e);
        fflush(stdout);
        return 0;
    }
    if (held) return 0;
    if (!armed) {
        if (!strcmp(e, arm)) armed = 1;
        return 0;
    }
    return exit == after && !strcmp(e, event);
}

static void syscall_stop(pid_t tid) {
    struct ptrace_syscall_info i;
    struct task *t = &tasks[tid % TIDS];
    char e[64];
    int exit = 0;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *) sizeof i, &i) > 0) {
        if (i.op == PTRACE_SYSCALL_INFO_ENTRY) {
            t->nr = (int64_t) i.entry.nr;
            for (int k = 0; k < 6; k++) t->args[k] = i.entry.args[k];
        } else if (i.op == PTRACE_SYSCALL_INFO_EXIT) {
            exit = 1;
            if (t->fail) {
                registers(tid, -1, -t->fail);
                t->fail = 0;
                ptrace(PTRACE_DETACH, tid, 0, 0);
                finish();
            }
        }
        event_of(t, exit, exit ? i.exit.rval : 0, e, sizeof e);
        if (e[0] && hits(e, exit) && act(tid)) return;
        if (exit) t->nr = -1;
    }
    go(tid, 0);
}

static void handle(pid_t tid, int st) {
    struct task *t = &tasks[tid % TIDS];
    if (WIFEXITED(st) || WIFSIGNALED(st)) {
        t->known = 0;
        if (tid == pid) {
            say("ended");
            exit(3);
        }
        return;
    }
    if (!t->known || t->tid != tid) *t = (struct task) {.tid = tid, .known = 1, .nr = -1};
    int sig = WSTOPSIG(st), what = st >> 16;
    if (sig == (SIGTRAP | 0x80)) {
        syscall_stop(tid);
    } else if (what == PTRACE_EVENT_STOP) {
        if (sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) ptrace(PTRACE_LISTEN, tid, 0, 0);
        else go(tid, 0);
    } else {
        go(tid, what ? 0 : sig);
    }
}

static int parse(char *point) {
    char *colon = strchr(point, ':');
    if (!colon) return 0;
    *colon++ = 0;
    after = !strcmp(point, "after");
    char *at = strchr(colon, '@');
    if (at) {
        *at++ = 0;
        snprintf(arm, sizeof arm, "%s", at);
    }
    armed = !at;
    snprintf(event, sizeof event, "%s", colon);
    return 1;
}

static void input(void) {
    struct pollfd p = {0, POLLIN, 0};
    char b[64];
    if (poll(&p, 1, 0) <= 0) return;
    if (read(0, b, sizeof b) <= 0 || !held) exit(4);
    if (until == INT64_MAX) until = 0;
}

int main(int argc, char **argv) {
    if (argc != 6 || !(pid = atoi(argv[1])) || !parse(argv[4])) {
        fprintf(stderr, "usage: faultpoint PID SOCKET TAP POINT ACTION\n");
        return 2;
    }
    path = argv[2];
    tap = argv[3];
    action = argv[5];
    list = !strcmp(action, "list");
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    while (seize_all() > 0) { }
    if (!strcmp(event, "start")) {
        say("attached");
        act(pid);
        held = 0;
        attached_all = 1;
    }
    for (int idle = 0; ; ) {
        int st;
        pid_t t = waitpid(-1, &st, __WALL | WNOHANG);
        if (t > 0) {
            handle(t, st);
            idle = 0;
            continue;
        }
        if (t < 0 && errno == ECHILD) {
            say("ended");
            return 3;
        }
        if (!attached_all) {
            attached_all = 1;
            say("attached");
        }
        input();
        if (until && until != INT64_MAX && now() >= until) until = 0;
        if ((held || stopped) && !until) {
            if (stopped) kill(pid, SIGCONT);
            finish();
        }
        struct timespec pause = {0, idle++ < 20 ? 100000 : 2000000};
        sigtimedwait(&child, NULL, &pause);
    }
}
