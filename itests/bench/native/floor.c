// SPDX-License-Identifier: Apache-2.0
/* floor - what the kernel alone costs for the steps of a device hand-over.  cc -O2 -o floor floor.c -lpthread */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
static void pin(int cpu) { cpu_set_t s; CPU_ZERO(&s); CPU_SET(cpu, &s); sched_setaffinity(0, sizeof s, &s); }
static int cmp(const void *a, const void *b) { uint64_t x = *(uint64_t *)a, y = *(uint64_t *)b; return x < y ? -1 : x > y; }
static void show(const char *what, uint64_t *v, int n)
{
	qsort(v, n, sizeof *v, cmp);
	printf("%-58s n=%-6d min %9.2f  p50 %9.2f  p99 %9.2f  max %9.2f us\n", what, n, v[0] / 1e3, v[n / 2] / 1e3, v[n * 99 / 100] / 1e3, v[n - 1] / 1e3);
}

static void sendfds(int s, void *b, size_t len, int *fds, int n)
{
	char c[CMSG_SPACE(64 * sizeof(int))] = { 0 };
	struct iovec iov = { b, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (n) {
		h.msg_control = c; h.msg_controllen = CMSG_SPACE(n * sizeof(int));
		struct cmsghdr *m = CMSG_FIRSTHDR(&h);
		m->cmsg_level = SOL_SOCKET; m->cmsg_type = SCM_RIGHTS; m->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(m), fds, n * sizeof(int));
	}
	if (sendmsg(s, &h, 0) != (ssize_t)len) perror("sendmsg"), exit(1);
}
static int recvfds(int s, void *b, size_t len, int *fds)
{
	char c[CMSG_SPACE(64 * sizeof(int))];
	struct iovec iov = { b, len };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c };
	if (recvmsg(s, &h, MSG_CMSG_CLOEXEC) <= 0) exit(0);
	struct cmsghdr *m = CMSG_FIRSTHDR(&h);
	if (!m) return 0;
	int n = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(m), n * sizeof(int));
	return n;
}

/* new -> old: hello; old -> new: state + 8 fds; new -> old: done; old -> new: ack.  Two round trips. */
static void scm(int cpua, int cpub, int nfd, const char *what)
{
	enum { N = 20000 };
	static uint64_t v[N];
	int sv[2], fds[64], got[64];
	char b[512] = { 0 };
	socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
	for (int i = 0; i < nfd; i++) fds[i] = eventfd(0, 0);
	pid_t p = fork();
	if (!p) {
		close(sv[0]); pin(cpub);
		for (;;) { recvfds(sv[1], b, 64, got); sendfds(sv[1], b, 512, fds, nfd); recvfds(sv[1], b, 64, got); sendfds(sv[1], b, 64, NULL, 0); }
	}
	close(sv[1]); pin(cpua);
	for (int i = 0; i < N; i++) {
		uint64_t t = now();
		sendfds(sv[0], b, 64, NULL, 0);
		int n = recvfds(sv[0], b, 512, got);
		sendfds(sv[0], b, 64, NULL, 0);
		int d; recvfds(sv[0], b, 64, &d);
		v[i] = now() - t;
		for (int k = 0; k < n; k++) close(got[k]);
	}
	close(sv[0]); waitpid(p, NULL, 0);
	for (int i = 0; i < nfd; i++) close(fds[i]);
	show(what, v, N);
}

static void tap(const char *name, bool attach, int rounds)
{
	uint64_t o[200], si[200], off[200], up[200], all[200], cl[200], rd[200];
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	char l[100];
	for (int i = 0; i < rounds; i++) {
		struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
		int hs = 12;
		strcpy(r.ifr_name, name);
		uint64_t t0 = now();
		int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
		uint64_t t1 = now();
		if (ioctl(fd, TUNSETIFF, &r)) perror("TUNSETIFF"), exit(1);
		uint64_t t2 = now();
		ioctl(fd, TUNSETVNETHDRSZ, &hs); ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6);
		uint64_t t3 = now();
		ioctl(s, SIOCGIFFLAGS, &r); r.ifr_flags |= IFF_UP; ioctl(s, SIOCSIFFLAGS, &r);
		uint64_t t4 = now();
		uint64_t b[512];
		ssize_t n = read(fd, b, sizeof b); (void)n;
		uint64_t t5 = now();
		close(fd);
		uint64_t t6 = now();
		o[i] = t1 - t0; si[i] = t2 - t1; off[i] = t3 - t2; up[i] = t4 - t3; rd[i] = t5 - t4; all[i] = t4 - t0; cl[i] = t6 - t5;
	}
	const char *k = attach ? "attach to persistent TAP that is up" : "new TAP";
	snprintf(l, sizeof l, "%s: open", k); show(l, o, rounds);
	snprintf(l, sizeof l, "%s: TUNSETIFF", k); show(l, si, rounds);
	snprintf(l, sizeof l, "%s: VNETHDRSZ+OFFLOAD", k); show(l, off, rounds);
	snprintf(l, sizeof l, "%s: link up", k); show(l, up, rounds);
	snprintf(l, sizeof l, "%s: first read", k); show(l, rd, rounds);
	snprintf(l, sizeof l, "%s: total", k); show(l, all, rounds);
	snprintf(l, sizeof l, "%s: close", k); show(l, cl, rounds);
	close(s);
}

static void gib(bool huge)
{
	size_t size = 1ul << 30, step = huge ? 2 << 20 : 4096;
	int fd = memfd_create("m", huge ? MFD_HUGETLB : 0);
	uint64_t v[3], t;
	char l[100];
	const char *k = huge ? "1 GiB memfd, 2M pages" : "1 GiB memfd, 4K pages";
	if (fd < 0 || ftruncate(fd, size)) { perror("memfd"); return; }
	t = now();
	volatile char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) { perror("mmap"); return; }
	v[0] = now() - t;
	snprintf(l, sizeof l, "%s: mmap alone", k); show(l, v, 1);
	t = now(); for (size_t i = 0; i < size; i += step) p[i] = 1; v[0] = now() - t;
	snprintf(l, sizeof l, "%s: first touch (allocates, zeroes)", k); show(l, v, 1);
	munmap((void *)p, size);
	for (int i = 0; i < 3; i++) {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		t = now(); for (size_t j = 0; j < size; j += step) p[j] = 1; v[i] = now() - t;
		munmap((void *)p, size);
	}
	snprintf(l, sizeof l, "%s: touch pages that exist (second mapper)", k); show(l, v, 3);
	for (int i = 0; i < 3; i++) {
		t = now(); p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0); v[i] = now() - t;
		t = now(); munmap((void *)p, size); if (i == 2) { uint64_t u[1] = { now() - t }; char m[100]; snprintf(m, sizeof m, "%s: munmap when populated", k); show(m, u, 1); }
	}
	snprintf(l, sizeof l, "%s: MAP_POPULATE, pages exist", k); show(l, v, 3);
	close(fd);
}

static int efd, backfd;
static volatile uint64_t sent;
enum { EN = 20000 };
static uint64_t lat[EN];
static int waiter_cpu; static bool spin;
static void *waiter(void *x)
{
	(void)x; pin(waiter_cpu);
	for (int i = 0; i < EN; i++) {
		uint64_t v;
		struct pollfd p = { efd, POLLIN, 0 };
		if (spin) while (eventfd_read(efd, &v) != 0) ;
		else { poll(&p, 1, -1); lat[i] = now() - sent; eventfd_read(efd, &v); }
		if (spin) lat[i] = now() - sent;
		eventfd_write(backfd, 1);
	}
	return NULL;
}
static void wake(int a, int b, unsigned gap_us, const char *what)
{
	static uint64_t w[EN], rt[EN];
	pthread_t t; eventfd_t v;
	char l[100];
	efd = eventfd(0, EFD_NONBLOCK); backfd = eventfd(0, 0); waiter_cpu = b; pin(a);
	pthread_create(&t, NULL, waiter, NULL);
	int n = EN;
	for (int i = 0; i < EN; i++) {
		uint64_t e = now() + (i < 2000 || gap_us < 100 ? gap_us : 20) * 1000ull;
		if (gap_us >= 100) { struct timespec ts = { 0, (i < 2000 ? gap_us : 20) * 1000 }; nanosleep(&ts, NULL); } else while (now() < e) ;
		uint64_t s = now(); sent = s;
		eventfd_write(efd, 1);
		w[i] = now() - s;
		eventfd_read(backfd, &v);
		rt[i] = now() - s;
	}
	pthread_join(t, NULL); close(efd); close(backfd);
	if (gap_us >= 100) n = 2000;
	snprintf(l, sizeof l, "eventfd wake, %s: until poll() returned", what); show(l, lat, n);
	snprintf(l, sizeof l, "eventfd wake, %s: write() itself", what); show(l, w, n);
	snprintf(l, sizeof l, "eventfd wake, %s: round trip", what); show(l, rt, n);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IONBF, 0);
	scm(0, 1, 8, "2 round trips + 8 fds, other CPU");
	scm(0, 0, 8, "2 round trips + 8 fds, same CPU");
	scm(0, 1, 0, "2 round trips, no fds, other CPU");
	scm(0, 1, 32, "2 round trips + 32 fds, other CPU");
	if (argc > 1) {
		system("ip link del ftap0 2>/dev/null");
		tap("ftap1", false, 50);
		system("ip tuntap add dev ftap0 mode tap vnet_hdr; ip link set ftap0 up");
		tap("ftap0", true, 200);
		system("ip link del ftap0");
	}
	wake(0, 1, 20, "other CPU, 20us gap"); wake(0, 1, 1000, "other CPU, 1ms gap"); wake(0, 0, 20, "same CPU");
	gib(false); gib(true);
	{ static uint64_t v[20000]; int e = eventfd(0, EFD_NONBLOCK); for (int i = 0; i < 20000; i++) { uint64_t t = now(); eventfd_write(e, 1); v[i] = now() - t; eventfd_t x; eventfd_read(e, &x); } show("eventfd write, nobody waiting", v, 20000); }
	{ static uint64_t v[20000]; for (int i = 0; i < 20000; i++) { uint64_t t = now(); v[i] = now() - t; } show("clock_gettime pair (measurement overhead)", v, 20000); }
	return 0;
}
