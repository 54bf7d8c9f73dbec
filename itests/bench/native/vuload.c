// SPDX-License-Identifier: Apache-2.0
/*
 * vuload - a load generator that plays the guest side of a vhost-user-net device.
 *
 * It is the vhost-user front end (what QEMU normally is) together with a small split-virtqueue
 * virtio-net driver (what the guest kernel normally is), so a vhost-user device can be measured
 * and torture-tested without QEMU, DPDK or a kernel guest.  One queue pair; one thread.
 *
 *   vuload --socket /tmp/vu.sock --mode tx --size 64 --secs 5 --poll
 *
 * Modes
 *   idle   connect, post rx buffers, count what arrives
 *   tx     send frames as fast as the ring allows (or --rate), count what the device returned
 *   rx     count received frames (and check sequence numbers when present); with --feed IF the
 *          frames are sent here too, through an AF_PACKET socket on the device's TAP, keeping at
 *          most --window of them under way, so nothing is dropped and the device sets the pace
 *   txrx   both at once
 *   ping   ARP + ICMP echo requests to --dst-ip; round-trip times, losses, longest gap
 *   echo   answer ARP and ICMP echo requests, so that "ping" works from the TAP side
 *
 * Prints one line of JSON on stdout; diagnostics go to stderr.
 * Build: cc -O2 -Wall -o vuload vuload.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <linux/vhost_types.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* ------------------------------------------------------------------ vhost-user protocol ---- */

enum {
	VU_GET_FEATURES = 1, VU_SET_FEATURES = 2, VU_SET_OWNER = 3, VU_SET_MEM_TABLE = 5,
	VU_SET_VRING_NUM = 8, VU_SET_VRING_ADDR = 9, VU_SET_VRING_BASE = 10, VU_GET_VRING_BASE = 11,
	VU_SET_VRING_KICK = 12, VU_SET_VRING_CALL = 13, VU_GET_PROTOCOL_FEATURES = 15,
	VU_SET_PROTOCOL_FEATURES = 16, VU_SET_VRING_ENABLE = 18,
	VU_GET_INFLIGHT_FD = 31, VU_SET_INFLIGHT_FD = 32,
};
#define VU_VERSION            0x1
#define VU_FLAG_REPLY         0x4
#define VU_FLAG_NEED_REPLY    0x8
#define VU_F_PROTOCOL_FEATURES 30
#define VU_PROTO_REPLY_ACK    3
#define VU_PROTO_INFLIGHT     12

struct vu_msg {
	uint32_t request, flags, size;
	union {
		uint64_t u64;
		struct { uint32_t index, num; } state;
		struct { uint32_t index, flags; uint64_t desc, used, avail, log; } addr;
		struct {
			uint32_t nregions, padding;
			struct { uint64_t gpa, size, uaddr, mmap_offset; } region[8];
		} mem;
		struct { uint64_t mmap_size, mmap_offset; uint16_t num_queues, queue_size; } inflight;
	} p;
} __attribute__((packed));
#define VU_HDR 12

/* ------------------------------------------------------------------ options ---- */

enum mode { M_IDLE, M_TX, M_RX, M_TXRX, M_PING, M_ECHO };
enum wait_kind { W_IRQ, W_POLL, W_SLEEP };

static struct {
	const char *socket, *feed;
	bool listen, hugepages, inflight, quiet;
	enum mode mode;
	const char *mode_name;
	unsigned size, mss, burst, qsize, buf, chain, window;
	double secs, warmup, rate;
	enum wait_kind wait;
	unsigned sleep_us, interval_us, reconnect_ms, connect_ms;
	uint64_t disable;
	uint8_t src_mac[6], dst_mac[6];
	uint32_t src_ip, dst_ip;
} opt = {
	.mode_name = "tx", .mode = M_TX, .size = 64, .mss = 1448, .burst = 32, .qsize = 256, .window = 512,
	.secs = 5, .warmup = 0.5, .wait = W_IRQ, .connect_ms = 5000,
	.src_mac = { 0x52, 0x54, 0, 0, 0, 1 }, .dst_mac = { 0x02, 0, 0, 0, 0x0b, 0xad },
};

static const struct { const char *name; unsigned bit; } feature_names[] = {
	{ "csum", VIRTIO_NET_F_CSUM }, { "guest_csum", VIRTIO_NET_F_GUEST_CSUM },
	{ "guest_tso4", VIRTIO_NET_F_GUEST_TSO4 }, { "guest_tso6", VIRTIO_NET_F_GUEST_TSO6 },
	{ "host_tso4", VIRTIO_NET_F_HOST_TSO4 }, { "host_tso6", VIRTIO_NET_F_HOST_TSO6 },
	{ "mrg", VIRTIO_NET_F_MRG_RXBUF }, { "indirect", VIRTIO_RING_F_INDIRECT_DESC },
	{ "event_idx", VIRTIO_RING_F_EVENT_IDX }, { "version_1", 32 },
};
#define NFEATURES (sizeof feature_names / sizeof feature_names[0])

/* ------------------------------------------------------------------ small helpers ---- */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fprintf(stderr, "vuload: ");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

static uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	for (; len > 1; len -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	return len ? sum + (p[0] << 8) : sum;
}

static uint16_t csum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put16(uint8_t *p, unsigned v) { p[0] = v >> 8; p[1] = v; }
static unsigned get16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* Log-linear histogram: 64 sub-buckets per power of two, under 1.6 % error. */
#define HIST_SUB 64
static struct hist { uint64_t n, max, sum, slot[64 * HIST_SUB]; } rtt;

static void hist_add(struct hist *h, uint64_t v)
{
	unsigned e = v < HIST_SUB ? 0 : 63 - __builtin_clzll(v) - 5;
	h->slot[e * HIST_SUB + (v >> e)]++;
	h->n++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

static double hist_quantile_us(const struct hist *h, double q)
{
	uint64_t want = q * h->n, seen = 0;
	for (unsigned i = 0; i < 64 * HIST_SUB; i++) {
		seen += h->slot[i];
		if (seen > want)
			return ((uint64_t)(i % HIST_SUB) << (i / HIST_SUB)) / 1e3;
	}
	return h->max / 1e3;
}

/* ------------------------------------------------------------------ guest memory and rings ---- */

#define NHDR sizeof(struct virtio_net_hdr_mrg_rxbuf)   /* 12: VERSION_1 or MRG_RXBUF */
#define MAX_CHAIN 20

struct vq {
	unsigned index, num;                      /* ring size, a power of two */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_desc *indirect;              /* num tables of MAX_CHAIN, or NULL */
	int kick, call;
	uint16_t avail_idx, kicked_idx, used_idx; /* driver's private copies */
	unsigned nslots, chain;                   /* a slot is one chain of `chain` descriptors */
	uint8_t *buf;                             /* nslots buffers of `stride` bytes */
	size_t stride;
	uint16_t *free;
	unsigned nfree;
	uint64_t kicks, calls;
};

static uint8_t *mem;              /* guest RAM; guest physical address 0 is mem[0] */
static size_t mem_size, mem_used;
static int mem_fd = -1;
static struct vq rxq, txq;
static uint64_t features, offered, proto_features;
static int sock = -1, listen_sock = -1, inflight_fd = -1;
static struct vu_msg inflight_msg;
static unsigned sessions;
static volatile sig_atomic_t stop;

static bool has(unsigned bit) { return features >> bit & 1; }
static uint64_t gpa(const void *p) { return (const uint8_t *)p - mem; }
static unsigned hdr_len(void) { return has(32) || has(VIRTIO_NET_F_MRG_RXBUF) ? NHDR : 10; }

static void mem_create(size_t size)
{
	size_t align = opt.hugepages ? 2 << 20 : 4096;
	mem_size = (size + align - 1) & ~(align - 1);
	mem_fd = memfd_create("vuload", MFD_CLOEXEC | (opt.hugepages ? MFD_HUGETLB : 0));
	if (mem_fd < 0 || ftruncate(mem_fd, mem_size))
		die("guest memory: %m");
	mem = mmap(NULL, mem_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, mem_fd, 0);
	if (mem == MAP_FAILED)
		die("mmap of %zu bytes of guest memory: %m", mem_size);
}

static void *mem_alloc(size_t size, size_t align)
{
	mem_used = (mem_used + align - 1) & ~(align - 1);
	void *p = mem + mem_used;
	mem_used += size;
	if (mem_used > mem_size)
		die("guest memory too small");
	return p;
}

static size_t vq_bytes(size_t stride)
{
	return opt.qsize * (stride + 16 + 16 * MAX_CHAIN) + 65536;
}

static void vq_create(struct vq *q, unsigned index, unsigned chain, size_t stride)
{
	*q = (struct vq){ .index = index, .num = opt.qsize, .stride = stride, .chain = chain };
	q->desc = mem_alloc(16 * q->num, 4096);
	q->avail = mem_alloc(6 + 2 * q->num, 64);
	q->used = mem_alloc(6 + 8 * q->num, 4096);
	if (has(VIRTIO_RING_F_INDIRECT_DESC) && chain > 1)
		q->indirect = mem_alloc(16 * MAX_CHAIN * q->num, 64);
	q->nslots = q->indirect ? q->num : q->num / chain;
	q->buf = mem_alloc(q->nslots * stride, 4096);
	q->free = calloc(q->nslots, sizeof *q->free);
	q->nfree = q->nslots;
	for (unsigned i = 0; i < q->nslots; i++)
		q->free[i] = q->nslots - 1 - i;
	q->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	q->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!q->free || q->kick < 0 || q->call < 0)
		die("queue setup: %m");
}

static uint8_t *slot_buf(struct vq *q, unsigned slot) { return q->buf + slot * q->stride; }

/* Lays `len` bytes of the slot's buffer out over its descriptors; returns the head. */
static uint16_t slot_layout(struct vq *q, unsigned slot, unsigned len, uint16_t flags)
{
	unsigned n = q->chain, head = q->indirect ? slot : slot * n;
	struct vring_desc *d = q->indirect ? q->indirect + slot * MAX_CHAIN : q->desc + head;
	unsigned base = q->indirect ? 0 : head, off = 0;

	for (unsigned i = 0; i < n; i++) {
		/* First the headers (as Linux does), then equal pieces, the last taking the rest. */
		unsigned left = len - off;
		unsigned part = i == n - 1 ? left : i == 0 ? 128 : (len - 128 + n - 2) / (n - 1);
		if (part > left)
			part = left;
		d[i].addr = gpa(slot_buf(q, slot)) + off;
		d[i].len = part;
		d[i].flags = flags | (i < n - 1 ? VRING_DESC_F_NEXT : 0);
		d[i].next = base + i + 1;
		off += part;
		if (off == len) {
			d[i].flags = flags;
			n = i + 1;
		}
	}
	if (q->indirect)
		q->desc[head] = (struct vring_desc){ gpa(d), 16 * n, VRING_DESC_F_INDIRECT, 0 };
	return head;
}

static void vq_push(struct vq *q, uint16_t head)
{
	q->avail->ring[q->avail_idx++ & (q->num - 1)] = head;
}

/* Makes pushed buffers visible and notifies the device unless it asked not to be. */
static void vq_publish(struct vq *q)
{
	uint16_t old = q->kicked_idx, new = q->avail_idx;
	bool need;

	if (old == new)
		return;
	__atomic_store_n(&q->avail->idx, new, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (has(VIRTIO_RING_F_EVENT_IDX)) {
		uint16_t ev = __atomic_load_n((uint16_t *)&q->used->ring[q->num], __ATOMIC_RELAXED);
		need = (uint16_t)(new - ev - 1) < (uint16_t)(new - old);
	} else {
		need = !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
	}
	q->kicked_idx = new;
	if (need) {
		eventfd_write(q->kick, 1);
		q->kicks++;
	}
}

static unsigned vq_pending(struct vq *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->used_idx);
}

static struct vring_used_elem vq_pop(struct vq *q)
{
	struct vring_used_elem e = q->used->ring[q->used_idx++ & (q->num - 1)];
	if (e.id >= q->num)
		die("queue %u: device returned descriptor %u of %u", q->index, e.id, q->num);
	return e;
}

/* Asks for an interrupt once `ahead` more buffers are used; true if they already are. */
static bool vq_irq_on(struct vq *q, unsigned ahead)
{
	if (has(VIRTIO_RING_F_EVENT_IDX))
		__atomic_store_n(&q->avail->ring[q->num], (uint16_t)(q->used_idx + ahead - 1), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return vq_pending(q) >= ahead;
}

static void vq_irq_off(struct vq *q)
{
	if (has(VIRTIO_RING_F_EVENT_IDX))   /* as far away as an index can be */
		__atomic_store_n(&q->avail->ring[q->num], (uint16_t)(q->used_idx + 0x8000), __ATOMIC_RELAXED);
	else
		__atomic_store_n(&q->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ vhost-user session ---- */

static bool vu_send(struct vu_msg *m, uint32_t request, uint32_t size, bool ack, const int *fds, unsigned nfds)
{
	char ctl[CMSG_SPACE(8 * sizeof(int))] = { 0 };
	struct iovec iov = { m, VU_HDR + size };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

	ack = ack && proto_features >> VU_PROTO_REPLY_ACK & 1;
	m->request = request;
	m->flags = VU_VERSION | (ack ? VU_FLAG_NEED_REPLY : 0);
	m->size = size;
	if (nfds) {
		h.msg_control = ctl;
		h.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	if (sendmsg(sock, &h, MSG_NOSIGNAL) != (ssize_t)(VU_HDR + size))
		return false;
	if (!ack)
		return true;
	struct vu_msg r;
	if (recv(sock, &r, VU_HDR, MSG_WAITALL) != VU_HDR || r.request != request || r.size != 8 ||
	    recv(sock, &r.p, 8, MSG_WAITALL) != 8)
		return false;
	if (r.p.u64)
		die("device refused request %u: %llu", request, (unsigned long long)r.p.u64);
	return true;
}

static bool vu_recv(struct vu_msg *m, uint32_t request, int *fd)
{
	char ctl[CMSG_SPACE(8 * sizeof(int))];
	struct iovec iov = { m, VU_HDR };
	struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl };

	if (recvmsg(sock, &h, MSG_WAITALL | MSG_CMSG_CLOEXEC) != VU_HDR)
		return false;
	struct cmsghdr *c = CMSG_FIRSTHDR(&h);
	if (fd)
		*fd = -1;
	if (c && c->cmsg_type == SCM_RIGHTS && fd)
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	if (m->request != request || !(m->flags & VU_FLAG_REPLY) || m->size > sizeof m->p)
		die("unexpected reply %u (flags %#x, size %u) to request %u", m->request, m->flags, m->size, request);
	return !m->size || recv(sock, &m->p, m->size, MSG_WAITALL) == m->size;
}

static bool vu_get_u64(uint32_t request, uint64_t *v)
{
	struct vu_msg m;
	if (!vu_send(&m, request, 0, false, NULL, 0) || !vu_recv(&m, request, NULL))
		return false;
	*v = m.p.u64;
	return true;
}

static bool vu_set_u64(uint32_t request, uint64_t v, bool ack, int fd)
{
	struct vu_msg m = { .p.u64 = v };
	return vu_send(&m, request, 8, ack, &fd, fd >= 0);
}

static bool vu_set_state(uint32_t request, unsigned index, unsigned num, bool ack)
{
	struct vu_msg m = { .p.state = { index, num } };
	return vu_send(&m, request, 8, ack, NULL, 0);
}

static uint64_t uaddr(const void *p) { return (uintptr_t)p; }

static bool vu_start_queue(struct vq *q)
{
	struct vu_msg m = { .p.addr = { q->index, 0, uaddr(q->desc), uaddr(q->used), uaddr(q->avail), 0 } };

	/* Like QEMU after a crash of the device: whatever was not yet used is offered again. */
	return vu_set_state(VU_SET_VRING_NUM, q->index, q->num, false) &&
	       vu_set_state(VU_SET_VRING_BASE, q->index, q->used->idx, false) &&
	       vu_send(&m, VU_SET_VRING_ADDR, sizeof m.p.addr, false, NULL, 0) &&
	       vu_set_u64(VU_SET_VRING_CALL, q->index, false, q->call) &&
	       vu_set_u64(VU_SET_VRING_KICK, q->index, false, q->kick);
}

static bool vu_inflight(void)
{
	if (!opt.inflight || !(proto_features >> VU_PROTO_INFLIGHT & 1))
		return true;
	if (inflight_fd < 0) {
		struct vu_msg m = { .p.inflight = { 0, 0, 2, opt.qsize } };
		if (!vu_send(&m, VU_GET_INFLIGHT_FD, sizeof m.p.inflight, false, NULL, 0) ||
		    !vu_recv(&inflight_msg, VU_GET_INFLIGHT_FD, &inflight_fd))
			return false;
	}
	struct vu_msg m = inflight_msg;
	return inflight_fd < 0 || vu_send(&m, VU_SET_INFLIGHT_FD, sizeof m.p.inflight, true, &inflight_fd, 1);
}

static bool vu_features(void)
{
	uint64_t proto = 0, f;

	if (!vu_get_u64(VU_GET_FEATURES, &f))
		return false;
	if (f >> VU_F_PROTOCOL_FEATURES & 1) {
		if (!vu_get_u64(VU_GET_PROTOCOL_FEATURES, &proto))
			return false;
		proto &= 1ull << VU_PROTO_REPLY_ACK | (opt.inflight ? 1ull << VU_PROTO_INFLIGHT : 0);
		proto_features = 0;
		if (!vu_set_u64(VU_SET_PROTOCOL_FEATURES, proto, false, -1))
			return false;
		proto_features = proto;
	}
	if (!vu_set_u64(VU_SET_OWNER, 0, false, -1))
		return false;
	offered = f;
	uint64_t want = 1ull << VU_F_PROTOCOL_FEATURES;
	for (unsigned i = 0; i < NFEATURES; i++)
		want |= 1ull << feature_names[i].bit;
	f &= want & ~opt.disable;
	if (sessions && f != features)
		die("device offers other features after reconnect: %#llx, was %#llx",
		    (unsigned long long)f, (unsigned long long)features);
	features = f;
	return true;
}

static void buffers_create(void);

/* The whole handshake on a connected socket; false when the device went away meanwhile. */
static bool vu_handshake(void)
{
	struct timeval limit = { 5, 0 };
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (!vu_features())
		return false;
	if (!sessions)
		buffers_create();
	if (!vu_set_u64(VU_SET_FEATURES, features, true, -1))
		return false;
	struct vu_msg m = { .p.mem = { 1, 0, { { 0, mem_size, uaddr(mem), 0 } } } };
	if (!vu_inflight() || !vu_send(&m, VU_SET_MEM_TABLE, 8 + 32, true, &mem_fd, 1) ||
	    !vu_start_queue(&rxq) || !vu_start_queue(&txq))
		return false;
	if (has(VU_F_PROTOCOL_FEATURES) && (!vu_set_state(VU_SET_VRING_ENABLE, 0, 1, true) ||
	                                    !vu_set_state(VU_SET_VRING_ENABLE, 1, 1, true)))
		return false;
	eventfd_write(rxq.kick, 1);
	eventfd_write(txq.kick, 1);
	sessions++;
	return true;
}

static bool vu_try_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	strncpy(a.sun_path, opt.socket, sizeof a.sun_path - 1);

	if (sock >= 0)
		close(sock);
	sock = -1;
	if (opt.listen) {
		if (listen_sock < 0) {
			unlink(opt.socket);
			listen_sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
			if (bind(listen_sock, (struct sockaddr *)&a, sizeof a) || listen(listen_sock, 1))
				die("listen on %s: %m", opt.socket);
		}
		struct pollfd p = { listen_sock, POLLIN, 0 };
		if (poll(&p, 1, 0) > 0)
			sock = accept4(listen_sock, NULL, NULL, SOCK_CLOEXEC);
		return sock >= 0;
	}
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock >= 0 && connect(sock, (struct sockaddr *)&a, sizeof a) == 0)
		return true;
	close(sock);
	sock = -1;
	return false;
}

static bool vu_lost(void)
{
	char c;
	return recv(sock, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EINTR && errno);
}

/* ------------------------------------------------------------------ frames ---- */

static uint32_t magic = 0x7675ac1d;   /* differs per process with --feed */
struct stamp { uint32_t magic, seq; uint64_t ns; } __attribute__((packed));

static struct {
	uint64_t tx, rx, rx_bytes, rx_gso, lost, reordered, stamped, fed;
	uint64_t pings, pongs, tx_full, max_gap_ns, last_pong_ns;
	uint32_t next_seq, tx_seq;
} st;
static uint8_t frame_template[NHDR + 65536];
static unsigned frame_len, stamp_off;
static bool large;                  /* frames above 1514 bytes go as TSO */

static void eth_ip(uint8_t *f, unsigned len, uint8_t proto)
{
	memcpy(f, opt.dst_mac, 6);
	memcpy(f + 6, opt.src_mac, 6);
	put16(f + 12, 0x0800);
	uint8_t *ip = f + 14;
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, len - 14);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, &opt.src_ip, 4);
	memcpy(ip + 16, &opt.dst_ip, 4);
	put16(ip + 10, ~csum_fold(csum_add(0, ip, 20)));
}

/* Builds a UDP frame, or a TCP one with a TSO header, at `f`; returns where its stamp goes. */
static unsigned frame_build(uint8_t *f, struct virtio_net_hdr *vh, unsigned len)
{
	large = len > 1514;
	eth_ip(f, len, large ? 6 : 17);
	put16(f + 34, 40000);
	put16(f + 36, 9);
	if (!large) {
		put16(f + 38, len - 34);
		return 42;
	}
	f[46] = 0x50;
	f[47] = 0x10;
	put16(f + 48, 0xffff);
	put16(f + 50, csum_fold(csum_add(6 + len - 34, f + 26, 8)));
	*vh = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16,
	                               .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = opt.mss, .hdr_len = 54 };
	return 54;
}

static void buffers_create(void)
{
	bool mrg = has(VIRTIO_NET_F_MRG_RXBUF), tso = has(VIRTIO_NET_F_GUEST_TSO4);
	size_t rxbuf = opt.buf ? opt.buf : mrg ? (tso ? 4096 : 2048) : tso ? 65536 + NHDR : 2048;
	unsigned chain = opt.chain ? opt.chain : opt.size > 4096 ? 1 + (opt.size + 32767) / 32768 : 1;
	size_t txbuf = NHDR + (opt.size > 2034 ? opt.size : 2034);

	rxbuf = (rxbuf + 63) & ~63ul;
	txbuf = (txbuf + 63) & ~63ul;
	if (chain > MAX_CHAIN)
		die("at most %u descriptors a chain", MAX_CHAIN);
	mem_create(vq_bytes(rxbuf) + vq_bytes(txbuf) + (1 << 20));
	vq_create(&rxq, 0, 1, rxbuf);
	vq_create(&txq, 1, chain, txbuf);
	while (rxq.nfree)
		vq_push(&rxq, slot_layout(&rxq, rxq.free[--rxq.nfree], rxbuf, VRING_DESC_F_WRITE));
	vq_publish(&rxq);
	if (opt.mode == M_TX || opt.mode == M_TXRX) {
		frame_len = opt.size;
		if (frame_len > 1514 && !has(VIRTIO_NET_F_HOST_TSO4))
			die("frames of %u bytes need host_tso4, which the device does not offer", opt.size);
		stamp_off = frame_build(frame_template + hdr_len(), (void *)frame_template, frame_len);
		for (unsigned i = 0; i < txq.nslots; i++)
			memcpy(slot_buf(&txq, i), frame_template, hdr_len() + frame_len);
	}
}

static void tx_reclaim(void)
{
	for (unsigned n = vq_pending(&txq); n; n--) {
		struct vring_used_elem e = vq_pop(&txq);
		if (txq.nfree == txq.nslots)
			die("device returned more tx buffers than it was given");
		txq.free[txq.nfree++] = txq.indirect ? e.id : e.id / txq.chain;
		st.tx++;
	}
}

/* A free tx buffer, zeroed header in front, or NULL when the ring is full. */
static uint8_t *tx_begin(unsigned *slot)
{
	if (!txq.nfree)
		tx_reclaim();
	if (!txq.nfree) {
		st.tx_full++;
		return NULL;
	}
	*slot = txq.free[--txq.nfree];
	uint8_t *b = slot_buf(&txq, *slot);
	memset(b, 0, hdr_len());
	return b + hdr_len();
}

static void tx_end(unsigned slot, unsigned len)
{
	vq_push(&txq, slot_layout(&txq, slot, hdr_len() + len, 0));
	vq_publish(&txq);
}

static void tx_burst(unsigned n)
{
	if (txq.nfree < n)
		tx_reclaim();
	if (n > txq.nfree)
		n = txq.nfree;
	uint64_t t = n && !large ? now_ns() : 0;
	while (n--) {
		unsigned slot = txq.free[--txq.nfree];
		uint8_t *b = slot_buf(&txq, slot);
		memcpy(b, frame_template, hdr_len());
		struct stamp s = { magic, st.tx_seq++, t };
		memcpy(b + hdr_len() + stamp_off, &s, sizeof s);
		vq_push(&txq, slot_layout(&txq, slot, hdr_len() + frame_len, 0));
	}
	vq_publish(&txq);
}

/* ------------------------------------------------------------------ feeding the TAP ---- */

/*
 * One call hands the kernel many frames: small ones as a single UDP GSO packet, which the stack
 * cuts up in front of the TAP; TSO-sized ones as they are.
 */
static struct {
	int fd;
	struct virtio_net_hdr vh;
	uint8_t frame[65536];
	unsigned stamp_off, per_send, under_way;
	uint32_t seq;
	uint64_t progress_ns;
} feed;

static void feed_open(void)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(opt.feed) };
	int one = 1, sndbuf = 64 << 20;
	bool tso = opt.size > 1514;

	feed.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (feed.fd < 0 || bind(feed.fd, (struct sockaddr *)&a, sizeof a) ||
	    (tso && setsockopt(feed.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one)) ||
	    setsockopt(feed.fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one))
		die("cannot send on %s: %m", opt.feed);
	setsockopt(feed.fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof sndbuf);
	magic ^= getpid();
	feed.stamp_off = frame_build(feed.frame, &feed.vh, opt.size);
	memcpy(feed.frame, opt.src_mac, 6);
	memcpy(feed.frame + 6, opt.dst_mac, 6);
	feed.per_send = 1;
	if (!tso) {
		feed.per_send = opt.burst * (opt.size - 42) > 60000 ? 60000 / (opt.size - 42) : opt.burst;
		feed.vh = (struct virtio_net_hdr){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6,
		                                   .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = opt.size - 42, .hdr_len = 42 };
	}
}

/* Sends as much as the window allows; frames not back within 100 ms count as lost. */
static void feed_send(uint64_t t, unsigned n)
{
	if (t - feed.progress_ns > 100000000) {
		feed.under_way = 0;
		feed.progress_ns = t;
	}
	if (n > feed.per_send)
		n = feed.per_send;
	if (!n || feed.under_way + n > opt.window)
		return;
	unsigned step = opt.size - 42, len = n == 1 ? opt.size : 42 + n * step;
	for (unsigned i = 0; i < n; i++) {
		struct stamp s = { magic, feed.seq + i, t };
		memcpy(feed.frame + feed.stamp_off + i * step, &s, sizeof s);
	}
	struct virtio_net_hdr vh = feed.vh;
	if (opt.size <= 1514) {
		uint8_t *f = feed.frame;
		put16(f + 16, len - 14);
		put16(f + 24, 0);
		put16(f + 24, ~csum_fold(csum_add(0, f + 14, 20)));
		put16(f + 38, len - 34);
		put16(f + 40, csum_fold(csum_add(17 + len - 34, f + 26, 8)));
		if (n == 1)
			vh.gso_type = vh.gso_size = 0;
	}
	struct iovec iov[2] = { { &vh, sizeof vh }, { feed.frame, len } };
	if (writev(feed.fd, iov, 2) > 0) {
		feed.seq += n;
		feed.under_way += n;
		st.fed += n;
	}
}

/* ------------------------------------------------------------------ ARP and ICMP ---- */

static bool peer_known;

static void arp_send(unsigned op, const uint8_t *tha, uint32_t tpa)
{
	unsigned slot;
	uint8_t *f = tx_begin(&slot);
	if (!f)
		return;
	memset(f, 0, 60);
	memcpy(f, op == 1 ? (const uint8_t *)"\xff\xff\xff\xff\xff\xff" : tha, 6);
	memcpy(f + 6, opt.src_mac, 6);
	memcpy(f + 12, "\x08\x06\x00\x01\x08\x00\x06\x04", 8);
	put16(f + 20, op);
	memcpy(f + 22, opt.src_mac, 6);
	memcpy(f + 28, &opt.src_ip, 4);
	if (op == 2)
		memcpy(f + 32, tha, 6);
	memcpy(f + 38, &tpa, 4);
	tx_end(slot, 60);
}

static void ping_send(void)
{
	unsigned slot;
	unsigned len = opt.size < 64 ? 64 : opt.size;
	uint8_t *f = tx_begin(&slot);
	st.pings++;
	if (!f) {
		st.tx_seq++;
		return;
	}
	eth_ip(f, len, 1);
	uint8_t *icmp = f + 34;
	memset(icmp, 0, len - 34);
	icmp[0] = 8;
	put16(icmp + 4, 0x7675);
	put16(icmp + 6, st.tx_seq);
	struct stamp s = { magic, st.tx_seq++, now_ns() };
	memcpy(icmp + 8, &s, sizeof s);
	put16(icmp + 2, ~csum_fold(csum_add(0, icmp, len - 34)));
	tx_end(slot, len);
}

static void pong(const uint8_t *icmp, uint64_t t)
{
	struct stamp s;
	memcpy(&s, icmp + 8, sizeof s);
	if (s.magic != magic)
		return;
	hist_add(&rtt, t - s.ns);
	if (st.last_pong_ns && t - st.last_pong_ns > st.max_gap_ns)
		st.max_gap_ns = t - st.last_pong_ns;
	st.last_pong_ns = t;
	st.pongs++;
	if (s.seq != st.next_seq)
		st.reordered++;
	st.next_seq = s.seq + 1;
}

static void echo_reply(const uint8_t *f, unsigned len)
{
	unsigned slot;
	uint8_t *r = tx_begin(&slot);
	if (!r || len > txq.stride - NHDR)
		return;
	memcpy(r, f, len);
	memcpy(r, f + 6, 6);
	memcpy(r + 6, opt.src_mac, 6);
	memcpy(r + 26, f + 30, 4);
	memcpy(r + 30, f + 26, 4);
	r[34] = 0;
	put16(r + 36, csum_fold(get16(r + 36) + 0x0800));   /* type 8 became 0 */
	tx_end(slot, len);
	st.pongs++;
}

static void rx_frame(const uint8_t *f, unsigned len, bool gso)
{
	st.rx++;
	st.rx_bytes += len;
	st.rx_gso += gso;
	if (len < 42)
		return;
	unsigned type = get16(f + 12);
	if (type == 0x0806) {
		uint32_t spa, tpa;
		memcpy(&spa, f + 28, 4);
		memcpy(&tpa, f + 38, 4);
		if (spa == opt.dst_ip && opt.mode == M_PING && !peer_known) {
			memcpy(opt.dst_mac, f + 22, 6);
			peer_known = true;
		}
		if (get16(f + 20) == 1 && tpa == opt.src_ip)
			arp_send(2, f + 22, spa);
	} else if (type == 0x0800 && f[23] == 1 && len >= 42 + sizeof(struct stamp)) {
		if (f[34] == 0 && opt.mode == M_PING)
			pong(f + 34, now_ns());
		else if (f[34] == 8 && !memcmp(f + 30, &opt.src_ip, 4))
			echo_reply(f, len);
	} else if (type == 0x0800 && (f[23] == 17 || f[23] == 6)) {
		struct stamp s;
		memcpy(&s, f + (f[23] == 17 ? 42 : 54), sizeof s);
		if (s.magic != magic)
			return;
		st.stamped++;
		feed.under_way -= feed.under_way > 0;
		if (s.seq == st.next_seq)
			st.next_seq++;
		else if ((int32_t)(s.seq - st.next_seq) > 0) {
			st.lost += st.stamped > 1 ? s.seq - st.next_seq : 0;
			st.next_seq = s.seq + 1;
		} else
			st.reordered++;
		if (opt.mode == M_RX && s.ns)
			hist_add(&rtt, now_ns() - s.ns);
	}
}

/* Takes what the device has delivered, hands the buffers back; returns the number of frames. */
static unsigned rx_drain(void)
{
	unsigned frames = 0, n = vq_pending(&rxq);

	while (n) {
		struct vring_used_elem e = vq_pop(&rxq);
		uint8_t *b = slot_buf(&rxq, e.id);
		struct virtio_net_hdr_mrg_rxbuf *h = (void *)b;
		unsigned nbuf = has(VIRTIO_NET_F_MRG_RXBUF) ? h->num_buffers : 1, len = e.len - hdr_len();
		bool gso = h->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE;

		if (e.len < hdr_len() || e.len > rxq.stride || nbuf == 0 || nbuf > n)
			die("rx: bad buffer: len %u, num_buffers %u, %u pending", e.len, nbuf, n);
		uint16_t heads[nbuf];
		heads[0] = e.id;
		for (unsigned i = 1; i < nbuf; i++) {
			struct vring_used_elem more = vq_pop(&rxq);
			heads[i] = more.id;
			len += more.len;
		}
		rx_frame(b + hdr_len(), len, gso);
		for (unsigned i = 0; i < nbuf; i++)
			vq_push(&rxq, heads[i]);
		n -= nbuf;
		frames++;
	}
	vq_publish(&rxq);
	return frames;
}

/* ------------------------------------------------------------------ main loop ---- */

static void clear_event(struct vq *q)
{
	eventfd_t v;
	if (eventfd_read(q->call, &v) == 0)
		q->calls++;
}

/* Waits for rx, for tx space if wanted, or until `deadline`; true if the socket was closed. */
static bool wait_events(bool want_tx, uint64_t deadline)
{
	uint64_t t = now_ns();
	bool closed = false;

	if (t >= deadline)
		return false;
	if (opt.wait == W_POLL) {
		cpu_relax();
		return false;
	}
	if (opt.wait == W_SLEEP) {
		uint64_t d = deadline - t < opt.sleep_us * 1000ull ? deadline - t : opt.sleep_us * 1000ull;
		struct timespec ts = { d / 1000000000, d % 1000000000 };
		nanosleep(&ts, NULL);
		return false;
	}
	unsigned outstanding = txq.nslots - txq.nfree;
	unsigned ahead = outstanding > 4 ? outstanding * 3 / 4 : 1;
	if (!vq_irq_on(&rxq, 1) && !(want_tx && vq_irq_on(&txq, ahead))) {
		struct pollfd p[3] = { { sock, POLLRDHUP, 0 }, { rxq.call, POLLIN, 0 }, { txq.call, POLLIN, 0 } };
		uint64_t d = deadline - t < 100000000 ? deadline - t : 100000000;
		struct timespec ts = { 0, d };
		ppoll(p, 3, &ts, NULL);
		closed = p[0].revents;
		if (p[1].revents)
			clear_event(&rxq);
		if (p[2].revents)
			clear_event(&txq);
	}
	vq_irq_off(&rxq);
	vq_irq_off(&txq);
	return closed;
}

static void counters_reset(void)
{
	uint32_t tx_seq = st.tx_seq, next = st.next_seq;
	memset(&st, 0, sizeof st);
	memset(&rtt, 0, sizeof rtt);
	st.tx_seq = tx_seq;
	st.next_seq = next;
	rxq.kicks = rxq.calls = txq.kicks = txq.calls = 0;
}

static double cpu_s(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static struct result { uint64_t ns; double down_ms, cpu_s; } run(void)
{
	struct result res = { .cpu_s = cpu_s() };
	bool tx = opt.mode == M_TX || opt.mode == M_TXRX, warm = opt.warmup == 0;
	uint64_t start = now_ns(), end = start + (opt.warmup + opt.secs) * 1e9, begin = start;
	uint64_t warm_end = start + opt.warmup * 1e9, next = start, checked = start, last_ping = 0;
	double credit = 0, per_ns = opt.rate / 1e9;
	uint64_t credit_t = start, down_since = 0, retry = 0;

	vq_irq_off(&rxq);
	vq_irq_off(&txq);
	for (uint64_t t = start; !stop && t < end; t = now_ns()) {
		if (!warm && t >= warm_end) {
			tx_reclaim();
			counters_reset();
			begin = t;
			res.cpu_s = cpu_s();
			warm = true;
		}
		if (t - checked > 1000000 && sock >= 0) {
			checked = t;
			if (vu_lost()) {
				if (!opt.reconnect_ms)
					die("device closed the connection");
				close(sock);
				sock = -1;
				down_since = t;
				retry = t;
			}
		}
		if (sock < 0 && t >= retry) {   /* the guest goes on meanwhile */
			if (vu_try_connect() && vu_handshake())
				res.down_ms += (now_ns() - down_since) / 1e6;
			else
				retry = t + opt.reconnect_ms * 1000000ull;
		}
		unsigned got = rx_drain();
		uint64_t deadline = end;
		unsigned quota = opt.burst;
		if (opt.rate) {
			credit += (t - credit_t) * per_ns;
			credit_t = t;
			if (credit > opt.qsize)
				credit = opt.qsize;
			quota = credit < quota ? credit : quota;
			credit -= quota;
			deadline = t + 20000;
		}
		bool more = false;
		if (opt.feed) {
			if (got)
				feed.progress_ns = t;
			feed_send(t, quota);
			more = got || feed.under_way < opt.window / 2;
		}
		if (tx) {
			tx_burst(quota);
			more |= got || txq.nfree;
		} else {
			tx_reclaim();
		}
		if (more)
			continue;
		if (opt.mode == M_PING) {
			bool due = opt.interval_us ? t >= next : st.pongs >= st.pings || t - last_ping > 1000000000;
			if (!peer_known) {
				if (t - last_ping > 20000000) {
					arp_send(1, NULL, opt.dst_ip);
					last_ping = t;
				}
			} else if (due) {
				ping_send();
				last_ping = t;
				next = next + opt.interval_us * 1000ull > t ? next + opt.interval_us * 1000ull
				                                            : t + opt.interval_us * 1000ull;
			}
			deadline = opt.interval_us && peer_known ? next : t + 20000000;
		}
		if (sock < 0 && retry < deadline)
			deadline = retry;
		if ((!got || opt.wait == W_SLEEP) && wait_events(tx, deadline < end ? deadline : end))
			checked = 0;
	}
	tx_reclaim();
	res.ns = now_ns() - begin;
	res.cpu_s = cpu_s() - res.cpu_s;
	return res;
}

static void report(struct result r)
{
	double s = r.ns / 1e9;
	printf("{\"mode\":\"%s\",\"size\":%u,\"secs\":%.3f,\"features\":\"%#llx\",\"on\":\"", opt.mode_name, opt.size, s,
	       (unsigned long long)features);
	for (unsigned i = 0, n = 0; i < NFEATURES; i++)
		if (has(feature_names[i].bit))
			printf("%s%s", n++ ? "," : "", feature_names[i].name);
	printf("\",\"wait\":\"%s\",\"tx_pkts\":%llu,\"tx_pps\":%.0f,\"tx_gbps\":%.3f",
	       opt.wait == W_POLL ? "poll" : opt.wait == W_IRQ ? "irq" : "sleep",
	       (unsigned long long)st.tx, st.tx / s, frame_len * 8.0 * st.tx / s / 1e9);
	printf(",\"rx_pkts\":%llu,\"rx_pps\":%.0f,\"rx_gbps\":%.3f,\"rx_gso\":%llu,\"rx_stamped\":%llu,\"rx_seq_lost\":%llu,"
	       "\"rx_reordered\":%llu",
	       (unsigned long long)st.rx, st.rx / s, st.rx_bytes * 8.0 / s / 1e9, (unsigned long long)st.rx_gso,
	       (unsigned long long)st.stamped, (unsigned long long)st.lost, (unsigned long long)st.reordered);
	if (opt.feed)
		printf(",\"fed\":%llu", (unsigned long long)st.fed);
	printf(",\"tx_kicks\":%llu,\"tx_calls\":%llu,\"rx_kicks\":%llu,\"rx_calls\":%llu",
	       (unsigned long long)txq.kicks, (unsigned long long)txq.calls,
	       (unsigned long long)rxq.kicks, (unsigned long long)rxq.calls);
	if (opt.mode == M_PING)
		printf(",\"pings\":%llu,\"pongs\":%llu,\"max_gap_ms\":%.3f,\"tx_full\":%llu",
		       (unsigned long long)st.pings, (unsigned long long)st.pongs, st.max_gap_ns / 1e6,
		       (unsigned long long)st.tx_full);
	if (rtt.n)
		printf(",\"%s\":{\"n\":%llu,\"mean\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}",
		       opt.mode == M_PING ? "rtt_us" : "oneway_us", (unsigned long long)rtt.n, rtt.sum / 1e3 / rtt.n,
		       hist_quantile_us(&rtt, .5), hist_quantile_us(&rtt, .9), hist_quantile_us(&rtt, .99),
		       hist_quantile_us(&rtt, .999), rtt.max / 1e3);
	if (sessions > 1)
		printf(",\"sessions\":%u,\"disconnected_ms\":%.3f", sessions, r.down_ms);
	printf(",\"own_cpu\":%.3f}\n", r.cpu_s / s);
}

static void parse_mac(const char *s, uint8_t *mac)
{
	if (sscanf(s, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		die("bad MAC address: %s", s);
}

static void parse_disable(char *list)
{
	for (char *s = strtok(list, ","); s; s = strtok(NULL, ",")) {
		unsigned i = 0;
		while (i < NFEATURES && strcmp(feature_names[i].name, s))
			i++;
		if (i == NFEATURES)
			die("unknown feature: %s", s);
		opt.disable |= 1ull << feature_names[i].bit;
	}
}

static void __attribute__((noreturn)) usage(void)
{
	fprintf(stderr,
	        "usage: vuload --socket PATH [--listen] --mode idle|tx|rx|txrx|ping|echo [options]\n"
	        "  --size N        frame bytes without FCS (64); above 1514: TCP/IPv4 TSO frames\n"
	        "  --secs S --warmup S   measured time (5) and time before it (0.5)\n"
	        "  --rate PPS      tx and --feed: at most this many frames a second\n"
	        "  --burst N       tx: frames per doorbell (32)\n"
	        "  --poll          busy-poll the rings, interrupts off\n"
	        "  --sleep-us N    look at the rings every N us, interrupts off (default: interrupts)\n"
	        "  --feed IF       rx, txrx: send the frames to be received into this interface\n"
	        "  --window N      with --feed: frames under way at most (512)\n"
	        "  --interval-us N ping: fixed interval instead of one after the other\n"
	        "  --qsize N --buf N --chain N --mss N --hugepages\n"
	        "  --disable LIST  features not to negotiate: csum,guest_csum,guest_tso4,guest_tso6,\n"
	        "                  host_tso4,host_tso6,mrg,indirect,event_idx,version_1\n"
	        "  --reconnect-ms N  survive the device going away; retry every N ms\n"
	        "  --inflight      use GET/SET_INFLIGHT_FD when offered\n"
	        "  --connect-ms N  how long to retry the first connection (5000)\n"
	        "  --src-mac M --dst-mac M --src-ip A --dst-ip A\n");
	exit(2);
}

static void on_signal(int s) { (void)s; stop = 1; }

int main(int argc, char **argv)
{
	static const struct option longopts[] = {
		{ "socket", 1, 0, 's' }, { "listen", 0, 0, 'L' }, { "mode", 1, 0, 'm' }, { "size", 1, 0, 'n' },
		{ "secs", 1, 0, 't' }, { "warmup", 1, 0, 'w' }, { "rate", 1, 0, 'r' }, { "burst", 1, 0, 'b' },
		{ "poll", 0, 0, 'p' }, { "sleep-us", 1, 0, 'S' }, { "interval-us", 1, 0, 'i' }, { "qsize", 1, 0, 'q' },
		{ "buf", 1, 0, 'B' }, { "chain", 1, 0, 'c' }, { "mss", 1, 0, 'M' }, { "hugepages", 0, 0, 'H' },
		{ "disable", 1, 0, 'd' }, { "reconnect-ms", 1, 0, 'R' }, { "inflight", 0, 0, 'I' },
		{ "connect-ms", 1, 0, 'C' }, { "src-mac", 1, 0, 1 }, { "dst-mac", 1, 0, 2 },
		{ "feed", 1, 0, 'f' }, { "window", 1, 0, 'W' },
		{ "src-ip", 1, 0, 3 }, { "dst-ip", 1, 0, 4 }, { 0 },
	};
	static const char *modes[] = { "idle", "tx", "rx", "txrx", "ping", "echo" };

	opt.src_ip = inet_addr("192.0.2.2");
	opt.dst_ip = inet_addr("192.0.2.1");
	for (int o; (o = getopt_long(argc, argv, "", longopts, NULL)) != -1;) {
		switch (o) {
		case 's': opt.socket = optarg; break;
		case 'L': opt.listen = true; break;
		case 'm':
			opt.mode_name = optarg;
			for (opt.mode = 0; opt.mode <= M_ECHO && strcmp(modes[opt.mode], optarg); opt.mode++)
				;
			if (opt.mode > M_ECHO)
				usage();
			break;
		case 'n': opt.size = atoi(optarg); break;
		case 't': opt.secs = atof(optarg); break;
		case 'w': opt.warmup = atof(optarg); break;
		case 'r': opt.rate = atof(optarg); break;
		case 'b': opt.burst = atoi(optarg); break;
		case 'p': opt.wait = W_POLL; break;
		case 'S': opt.wait = W_SLEEP; opt.sleep_us = atoi(optarg); break;
		case 'i': opt.interval_us = atoi(optarg); break;
		case 'q': opt.qsize = atoi(optarg); break;
		case 'B': opt.buf = atoi(optarg); break;
		case 'c': opt.chain = atoi(optarg); break;
		case 'M': opt.mss = atoi(optarg); break;
		case 'H': opt.hugepages = true; break;
		case 'd': parse_disable(optarg); break;
		case 'R': opt.reconnect_ms = atoi(optarg); break;
		case 'I': opt.inflight = true; break;
		case 'C': opt.connect_ms = atoi(optarg); break;
		case 'f': opt.feed = optarg; break;
		case 'W': opt.window = atoi(optarg); break;
		case 1: parse_mac(optarg, opt.src_mac); break;
		case 2: parse_mac(optarg, opt.dst_mac); break;
		case 3: opt.src_ip = inet_addr(optarg); break;
		case 4: opt.dst_ip = inet_addr(optarg); break;
		default: usage();
		}
	}
	if (!opt.socket || optind != argc || opt.size < 60 || opt.size > 65535 || !opt.qsize || opt.qsize > 32768 ||
	    (opt.qsize & (opt.qsize - 1)))
		usage();
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);

	for (uint64_t end = now_ns() + opt.connect_ms * 1000000ull; !vu_try_connect(); usleep(2000))
		if (stop || now_ns() > end)
			die("cannot connect to %s: %m", opt.socket);
	if (!vu_handshake())
		die("handshake failed: %m");

	if (opt.feed)
		feed_open();
	report(run());

	/* Stop the queues in an orderly way, as QEMU does; a device that is gone does not matter. */
	struct vu_msg m = { .p.state = { 0, 0 } };
	for (unsigned i = 0; i < 2 && sock >= 0; i++) {
		m.p.state.index = i;
		if (!vu_send(&m, VU_GET_VRING_BASE, 8, false, NULL, 0) || !vu_recv(&m, VU_GET_VRING_BASE, NULL))
			break;
	}
	return 0;
}
