// SPDX-License-Identifier: Apache-2.0
/*
 * vuref - a minimal reference vhost-user-net device on a TAP, for calibrating the harness.
 *
 * One thread, ppoll() (or --spin), one readv/writev on the TAP per packet straight from and to
 * guest memory, virtio-net header passed through (IFF_VNET_HDR, 12 bytes).  This is what a plain
 * C implementation without polling threads or batching tricks costs; it is not robust code.
 *
 *   vuref --socket /tmp/vu.sock --tap tap0 [--spin]
 *
 * Build: cc -O2 -Wall -o vuref vuref.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost_types.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define BIT(n) (1ull << (n))
#define FEATURES (BIT(32) | BIT(30) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) | \
	BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | \
	BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6))
#define MAXIOV 64
#define BUDGET 64

struct msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct { uint32_t index, num; } state;
		struct { uint32_t index, flags; uint64_t desc, used, avail, log; } addr;
		struct { uint32_t n, pad; struct { uint64_t gpa, size, uaddr, off; } r[8]; } mem;
		uint8_t raw[512];
	} p;
} __attribute__((packed));

struct vq {
	unsigned num;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	int kick, call;
	uint16_t last_avail, used_idx, signalled;
	bool on;
};

static struct vq vq[2] = { { .kick = -1, .call = -1 }, { .kick = -1, .call = -1 } };
static struct { uint64_t gpa, size, uaddr; uint8_t *base; size_t len; } reg[8];
static unsigned nreg;
static uint64_t feat;
static int tap, conn = -1;
static bool spin;

static bool has(unsigned b) { return feat >> b & 1; }

static void *from_gpa(uint64_t a, uint64_t len)
{
	for (unsigned i = 0; i < nreg; i++)
		if (a >= reg[i].gpa && a + len <= reg[i].gpa + reg[i].size)
			return reg[i].base + (a - reg[i].gpa);
	fprintf(stderr, "vuref: bad guest address\n");
	exit(1);
}

static void *from_uaddr(uint64_t a)
{
	for (unsigned i = 0; i < nreg; i++)
		if (a >= reg[i].uaddr && a < reg[i].uaddr + reg[i].size)
			return reg[i].base + (a - reg[i].uaddr);
	return NULL;
}

static bool ready(const struct vq *q) { return q->on && q->kick >= 0 && q->avail; }

static unsigned pending(struct vq *q)
{
	return (uint16_t)(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE) - q->last_avail);
}

/* Asks for a kick when buffers beyond the `seen` ones arrive; true if they already did. */
static bool kicks_on(struct vq *q, unsigned seen)
{
	if (has(VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n((uint16_t *)&q->used->ring[q->num], (uint16_t)(q->last_avail + seen), __ATOMIC_RELAXED);
	else
		q->used->flags = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return pending(q) > seen;
}

static void kicks_off(struct vq *q)
{
	if (!has(VIRTIO_RING_F_EVENT_IDX))
		q->used->flags = VRING_USED_F_NO_NOTIFY;
}

static void flush(struct vq *q)
{
	uint16_t old = q->signalled, new = q->used_idx;
	if (old == new)
		return;
	__atomic_store_n(&q->used->idx, new, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	bool need = has(VIRTIO_RING_F_EVENT_IDX)
		? (uint16_t)(new - __atomic_load_n(&q->avail->ring[q->num], __ATOMIC_RELAXED) - 1) < (uint16_t)(new - old)
		: !(q->avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
	q->signalled = new;
	if (need && q->call >= 0)
		eventfd_write(q->call, 1);
}

/* Appends the buffers of the chain at `head` to iov; returns the new count. */
static int gather(struct vq *q, uint16_t head, struct iovec *iov, int n, size_t *len)
{
	struct vring_desc *t = q->desc, d = t[head];
	unsigned max = q->num;
	if (d.flags & VRING_DESC_F_INDIRECT) {
		t = from_gpa(d.addr, d.len);
		max = d.len / 16;
		d = t[0];
	}
	for (;; d = t[d.next]) {
		iov[n++] = (struct iovec){ from_gpa(d.addr, d.len), d.len };
		*len += d.len;
		if (!(d.flags & VRING_DESC_F_NEXT) || d.next >= max || n == MAXIOV)
			return n;
	}
}

static void put_used(struct vq *q, uint32_t id, uint32_t len)
{
	q->used->ring[q->used_idx++ & (q->num - 1)] = (struct vring_used_elem){ id, len };
}

static unsigned tx(void)
{
	struct vq *q = &vq[1];
	struct iovec iov[MAXIOV];
	unsigned n = pending(q), done;

	if (n > BUDGET)
		n = BUDGET;
	for (done = 0; done < n; done++) {
		uint16_t head = q->avail->ring[q->last_avail++ & (q->num - 1)];
		size_t len = 0;
		int k = gather(q, head, iov, 0, &len);
		if (writev(tap, iov, k) < 0 && errno != EIO && errno != EINVAL && errno != ENOBUFS)
			perror("vuref: tap write");
		put_used(q, head, 0);
	}
	flush(q);
	return done;
}

/* Reads packets into guest buffers; *starved is the number of too few buffers, else -1. */
static unsigned rx(int *starved)
{
	struct vq *q = &vq[0];
	struct iovec iov[MAXIOV];
	struct { uint16_t head; uint16_t niov; uint32_t len; } win[MAXIOV];
	int nwin = 0, niov = 0;
	size_t room = 0, need = has(VIRTIO_NET_F_GUEST_TSO4) ? 65562 : 1530;
	unsigned done;
	bool mrg = has(VIRTIO_NET_F_MRG_RXBUF);
	uint16_t next = q->last_avail;

	*starved = -1;
	for (done = 0; done < BUDGET; done++) {
		unsigned avail = (uint16_t)(__atomic_load_n(&q->avail->idx, __ATOMIC_ACQUIRE) - next);
		while (avail && (nwin == 0 || mrg) && room < need && niov < MAXIOV - 4) {
			size_t len = 0;
			win[nwin].head = q->avail->ring[next++ & (q->num - 1)];
			int k = gather(q, win[nwin].head, iov, niov, &len);
			win[nwin].niov = k - niov;
			win[nwin++].len = len;
			niov = k;
			room += len;
			avail--;
		}
		if (room < need) {
			*starved = (uint16_t)(next + avail - q->last_avail);
			break;
		}
		ssize_t n = readv(tap, iov, niov);
		if (n < 0)
			break;
		uint16_t nb = 0;
		int used_iov = 0;
		((struct virtio_net_hdr_mrg_rxbuf *)iov[0].iov_base)->num_buffers = 1;
		for (size_t left = n; left; nb++) {
			uint32_t part = left < win[nb].len ? left : win[nb].len;
			put_used(q, win[nb].head, part);
			left -= part;
			room -= win[nb].len;
			used_iov += win[nb].niov;
		}
		if (nb > 1)
			((struct virtio_net_hdr_mrg_rxbuf *)iov[0].iov_base)->num_buffers = nb;
		q->last_avail += nb;
		nwin -= nb;
		niov -= used_iov;
		memmove(win, win + nb, nwin * sizeof *win);
		memmove(iov, iov + used_iov, niov * sizeof *iov);
	}
	flush(q);
	return done;
}

static void tap_open(const char *name)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int hs = 12;
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (tap < 0 || ioctl(tap, TUNSETIFF, &r) || ioctl(tap, TUNSETVNETHDRSZ, &hs))
		perror("vuref: tap"), exit(1);
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	ioctl(s, SIOCGIFFLAGS, &r);
	r.ifr_flags |= IFF_UP;
	ioctl(s, SIOCSIFFLAGS, &r);
	close(s);
}

static void reply(struct msg *m, uint64_t v)
{
	m->flags = 0x5;
	m->size = 8;
	m->p.u64 = v;
	send(conn, m, 20, MSG_NOSIGNAL);
}

static void session_end(void)
{
	close(conn);
	conn = -1;
	for (int i = 0; i < 2; i++) {
		close(vq[i].kick);
		close(vq[i].call);
		vq[i] = (struct vq){ .kick = -1, .call = -1 };
	}
	for (unsigned i = 0; i < nreg; i++)
		munmap(reg[i].base, reg[i].size);
	nreg = 0;
}

static void handle(void)
{
	struct msg m;
	char ctl[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { &m, 12 };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };
	int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };

	if (recvmsg(conn, &h, MSG_CMSG_CLOEXEC | MSG_WAITALL) != 12 || m.size > sizeof m.p ||
	    (m.size && recv(conn, &m.p, m.size, MSG_WAITALL) != (ssize_t)m.size)) {
		session_end();
		return;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	bool ack = m.flags & 8;
	struct vq *q = &vq[m.p.state.index & 1];
	switch (m.request) {
	case 1: reply(&m, FEATURES); return;
	case 15: reply(&m, BIT(3)); return;
	case 17: reply(&m, 1); return;
	case 2: {
		feat = m.p.u64;
		unsigned off = (has(VIRTIO_NET_F_GUEST_CSUM) ? TUN_F_CSUM : 0) | (has(VIRTIO_NET_F_GUEST_TSO4) ? TUN_F_TSO4 : 0) |
		               (has(VIRTIO_NET_F_GUEST_TSO6) ? TUN_F_TSO6 : 0);
		ioctl(tap, TUNSETOFFLOAD, off);
		break;
	}
	case 5:
		for (unsigned i = 0; i < nreg; i++)
			munmap(reg[i].base, reg[i].size);
		nreg = m.p.mem.n;
		for (unsigned i = 0; i < nreg; i++) {
			reg[i].gpa = m.p.mem.r[i].gpa;
			reg[i].uaddr = m.p.mem.r[i].uaddr;
			reg[i].size = m.p.mem.r[i].size;
			reg[i].base = mmap(NULL, reg[i].size, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], m.p.mem.r[i].off);
			close(fds[i]);
		}
		break;
	case 8: q->num = m.p.state.num; break;
	case 9:
		q->desc = from_uaddr(m.p.addr.desc);
		q->avail = from_uaddr(m.p.addr.avail);
		q->used = from_uaddr(m.p.addr.used);
		q->used_idx = q->signalled = q->used->idx;
		break;
	case 10: q->last_avail = m.p.state.num; break;
	case 11:
		close(q->kick);
		q->kick = -1;
		m.flags = 5;
		m.p.state.num = q->last_avail;
		send(conn, &m, 20, MSG_NOSIGNAL);
		return;
	case 12:
		close(q->kick);
		q->kick = fds[0];
		fcntl(q->kick, F_SETFL, O_NONBLOCK);
		if (!has(30))
			q->on = true;   /* otherwise SET_VRING_ENABLE decides, which QEMU sends before the kick */
		break;
	case 13: close(q->call); q->call = fds[0]; break;
	case 18: q->on = m.p.state.num; break;
	}
	if (ack)
		reply(&m, 0);
}

int main(int argc, char **argv)
{
	const char *path = NULL, *name = NULL;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--socket") && i + 1 < argc) path = argv[++i];
		else if (!strcmp(argv[i], "--tap") && i + 1 < argc) name = argv[++i];
		else if (!strcmp(argv[i], "--spin")) spin = true;
	}
	if (!path || !name)
		return 2;
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
	tap_open(name);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path, path, sizeof a.sun_path - 1);
	unlink(path);
	int srv = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(srv, (struct sockaddr *)&a, sizeof a) || listen(srv, 1))
		return perror("vuref: listen"), 1;

	for (unsigned round = 0;; round++) {
		bool busy = false;
		int starved = -1;
		if (ready(&vq[0]) && ready(&vq[1])) {
			kicks_off(&vq[0]);
			kicks_off(&vq[1]);
			busy |= tx() > 0;
			busy |= rx(&starved) > 0;
		}
		if ((busy || (spin && ready(&vq[1]))) && round % 64)
			continue;
		bool again = busy || spin;
		if (!again && ready(&vq[0]) && ready(&vq[1]))
			again = kicks_on(&vq[1], 0) || (starved >= 0 && kicks_on(&vq[0], starved));
		struct pollfd p[4] = { { conn < 0 ? srv : conn, POLLIN, 0 },
		                       { ready(&vq[1]) ? vq[1].kick : -1, POLLIN, 0 },
		                       { ready(&vq[0]) && starved >= 0 ? vq[0].kick : -1, POLLIN, 0 },
		                       { ready(&vq[0]) && starved < 0 ? tap : -1, POLLIN, 0 } };
		if (again)
			poll(p, 1, conn < 0 ? -1 : 0);
		else
			poll(p, 4, -1);
		eventfd_t v;
		if (p[1].revents)
			eventfd_read(vq[1].kick, &v);
		if (p[2].revents)
			eventfd_read(vq[0].kick, &v);
		if (p[0].revents) {
			if (conn < 0)
				conn = accept4(srv, NULL, NULL, SOCK_CLOEXEC);
			else
				handle();
		}
	}
}
