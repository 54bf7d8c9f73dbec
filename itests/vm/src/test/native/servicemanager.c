// SPDX-License-Identifier: Apache-2.0
//
// A stand-in for a service manager with one service: the notify socket and the descriptor store of sd_notify(3), and what
// sd_listen_fds(3) says of the next process. As systemd does it: of each open file description one is kept, whatever the later names
// are (kcmp(2)); one that is polled goes when its other end hangs up; more than the most are refused; the main process is who started,
// or whom MAINPID names; the store outlives the process and not the service.
//
// servicemanager SOCKET MOST COMMAND [ARGUMENT...]      commands are lines on the standard input:
//   start      starts the process, with what is stored
//   store      prints the names
//   main       prints the main process
//   kill N     sends it a signal
//   drop NAME  loses one descriptor
//   clear      the service is stopped: the store goes
// It prints "started PID", "ended PID STATUS", "told LINE", "refused NAME", "store NAME...", "main PID".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define STORE 4096
#define PASSED 253

static struct {
  char name[256];
  int fd;
  int polled;
} store[STORE];
static int stored;
static int most;
static pid_t main_pid;

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void drop(int i) {
  close(store[i].fd);
  store[i] = store[--stored];
}

static void drop_name(const char *name) {
  for (int i = stored - 1; i >= 0; i--) {
    if (!strcmp(store[i].name, name)) {
      drop(i);
    }
  }
}

static int known(int fd) {
  for (int i = 0; i < stored; i++) {
    if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, store[i].fd, fd) == 0) {
      return 1;
    }
  }
  return 0;
}

static void put(const char *name, int fd, int polled) {
  if (known(fd)) {
    close(fd);
  } else if (stored >= most || stored >= STORE) {
    printf("refused %s\n", name);
    close(fd);
  } else {
    snprintf(store[stored].name, sizeof store[stored].name, "%s", name);
    store[stored].fd = fd;
    store[stored++].polled = polled;
  }
}

static void notified(int socket) {
  char text[65536];
  char control[CMSG_SPACE(sizeof(int) * PASSED)];
  struct iovec iov = {text, sizeof text - 1};
  struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return;
    }
    die("recvmsg");
  }
  text[n] = 0;
  int fds[PASSED];
  int count = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
      count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      memcpy(fds, CMSG_DATA(c), count * sizeof(int));
    }
  }
  char name[256] = "stored";
  int keep = 0, forget = 0, polled = 1;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    if (!strncmp(line, "FDNAME=", 7)) {
      snprintf(name, sizeof name, "%s", line + 7);
    } else if (!strcmp(line, "FDSTORE=1")) {
      keep = 1;
    } else if (!strcmp(line, "FDSTOREREMOVE=1")) {
      forget = 1;
    } else if (!strcmp(line, "FDPOLL=0")) {
      polled = 0;
    } else {
      if (!strncmp(line, "MAINPID=", 8)) {
        main_pid = atoi(line + 8);
      }
      printf("told %s\n", line);
    }
  }
  if (forget) {
    drop_name(name);
  }
  for (int i = 0; i < count; i++) {
    if (keep) {
      put(name, fds[i], polled);
    } else {
      close(fds[i]);
    }
  }
}

static void start(char **command) {
  // all that is stored lies above what the process is given
  pid_t pid = fork();
  if (pid < 0) {
    die("fork");
  }
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char *names = calloc(stored + 1, 260);
    int *high = calloc(stored + 1, sizeof(int));
    for (int i = 0; i < stored; i++) {
      high[i] = fcntl(store[i].fd, F_DUPFD_CLOEXEC, 3 + stored);
    }
    for (int i = 0; i < stored; i++) {
      dup2(high[i], 3 + i);
      strcat(names, i ? ":" : "");
      strcat(names, store[i].name);
    }
    if (stored) {
      char number[16];
      snprintf(number, sizeof number, "%d", stored);
      setenv("LISTEN_FDS", number, 1);
      setenv("LISTEN_FDNAMES", names, 1);
      snprintf(number, sizeof number, "%d", getpid());
      setenv("LISTEN_PID", number, 1);
    }
    execvp(command[0], command);
    die(command[0]);
  }
  main_pid = pid;
  printf("started %d\n", pid);
}

static void commanded(char *line, char **command) {
  int number;
  char name[256];
  if (!strcmp(line, "start")) {
    start(command);
  } else if (!strcmp(line, "store")) {
    printf("store");
    for (int i = 0; i < stored; i++) {
      printf(" %s", store[i].name);
    }
    printf("\n");
  } else if (!strcmp(line, "main")) {
    printf("main %d\n", main_pid);
  } else if (!strcmp(line, "clear")) {
    while (stored) {
      drop(stored - 1);
    }
  } else if (sscanf(line, "kill %d", &number) == 1) {
    kill(main_pid, number);
  } else if (sscanf(line, "drop %255s", name) == 1) {
    drop_name(name);
  }
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "servicemanager SOCKET MOST COMMAND [ARGUMENT...]\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  most = atoi(argv[2]);
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  snprintf(a.sun_path, sizeof a.sun_path, "%s", argv[1]);
  int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || bind(socket_fd, (struct sockaddr *)&a, sizeof a) < 0) {
    die(argv[1]);
  }
  setenv("NOTIFY_SOCKET", argv[1], 1);
  // of a main process that another one has started, too
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  static char input[65536];
  size_t have = 0;
  while (1) {
    static struct pollfd p[3 + STORE];
    p[0] = (struct pollfd){socket_fd, POLLIN, 0};
    p[1] = (struct pollfd){0, POLLIN, 0};
    p[2] = (struct pollfd){signals, POLLIN, 0};
    int watched = stored;
    for (int i = 0; i < watched; i++) {
      p[3 + i] = (struct pollfd){store[i].polled ? store[i].fd : -1, 0, 0};
    }
    if (poll(p, 3 + watched, -1) < 0 && errno != EINTR) {
      die("poll");
    }
    for (int i = watched - 1; i >= 0; i--) {
      if (p[3 + i].revents & (POLLHUP | POLLERR)) {
        printf("hung up %s\n", store[i].name);
        drop(i);
      }
    }
    // what a process said comes before its end
    if (p[0].revents) {
      notified(socket_fd);
      continue;
    }
    if (p[2].revents) {
      struct signalfd_siginfo s;
      while (read(signals, &s, sizeof s) > 0) {
      }
      int status;
      for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        printf("ended %d %d\n", pid, WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status));
      }
    }
    if (p[1].revents) {
      ssize_t n = read(0, input + have, sizeof input - 1 - have);
      if (n <= 0) {
        if (main_pid > 0) {
          kill(main_pid, SIGKILL);
        }
        unlink(argv[1]);
        return 0;
      }
      have += n;
      for (char *end; (end = memchr(input, '\n', have));) {
        *end = 0;
        commanded(input, argv + 3);
        have -= end + 1 - input;
        memmove(input, end + 1, have);
      }
    }
  }
}
