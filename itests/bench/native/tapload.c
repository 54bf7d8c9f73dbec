// SPDX-License-Identifier: Apache-2.0
/*
 * tapload - the host side of a TAP under test: sends frames into it, or checks those coming out.
 *
 *   tapload send --if tap0 --size 64 --secs 5            as fast as AF_PACKET goes
 *   tapload send --if tap0 --size 65000 --secs 5         TSO frames (PACKET_VNET_HDR)
 *   tapload recv --if tap0 --secs 5                      counts vuload's stamped frames
 *
 * Frames carry the same stamp (magic, sequence number, CLOCK_MONOTONIC) as vuload's.
 * Prints one line of JSON.  Build: cc -O2 -Wall -o tapload tapload.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x7675ac1du
struct stamp { uint32_t magic, seq; uint64_t ns; } __attribute__((packed));
#define BATCH 64

static volatile sig_atomic_t stop;

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "tapload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put16(uint8_t *p, unsigned v) { p[0] = v >> 8; p[1] = v; }

static uint16_t csum(uint32_t sum, const uint8_t *p, unsigned len)
{
	for (; len; len -= 2, p += 2)
		sum += p[0] << 8 | p[1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static double cpu_s(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static int packet_socket(const char *ifname, int protocol)
{
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	struct sockaddr_ll a = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol),
	                         .sll_ifindex = if_nametoindex(ifname) };
	if (fd < 0 || !a.sll_ifindex)
		die(ifname);
	if (bind(fd, (struct sockaddr *)&a, sizeof a))
		die("bind");
	return fd;
}

static unsigned build(uint8_t *f, unsigned size, const uint8_t *mac)
{
	bool large = size > 1514;

	memset(f, 0, size);
	memcpy(f, mac, 6);
	memcpy(f + 6, "\x02\x00\x00\x00\x0b\xad", 6);
	put16(f + 12, 0x0800);
	f[14] = 0x45;
	put16(f + 16, size - 14);
	f[22] = 64;
	f[23] = large ? 6 : 17;
	memcpy(f + 26, "\xc0\x00\x02\x01\xc0\x00\x02\x02", 8);
	put16(f + 24, ~csum(0, f + 14, 20));
	put16(f + 34, 40000);
	put16(f + 36, 9);
	if (!large) {
		put16(f + 38, size - 34);
		return 42;
	}
	f[46] = 0x50;
	f[47] = 0x10;
	put16(f + 48, 0xffff);
	put16(f + 50, csum(6 + size - 34, f + 26, 8));
	return 54;
}

static void send_frames(const char *ifname, unsigned size, double secs, double rate, unsigned mss, const uint8_t *mac)
{
	static uint8_t frames[BATCH][65536];
	bool large = size > 1514;
	int one = 1, fd = packet_socket(ifname, 0), batch = large ? 4 : BATCH;
	struct virtio_net_hdr vh = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
	                             .hdr_len = 54, .gso_size = mss, .csum_start = 34, .csum_offset = 16 };
	struct iovec iov[BATCH][2];
	struct mmsghdr m[BATCH];
	uint64_t sent = 0, refused = 0, start, end;
	uint32_t seq = 0;
	unsigned off = 0;

	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
	if (large && setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one))
		die("PACKET_VNET_HDR");
	int sndbuf = 16 << 20;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &sndbuf, sizeof sndbuf);
	memset(m, 0, sizeof m);
	for (int i = 0; i < BATCH; i++) {
		off = build(frames[i], size, mac);
		iov[i][0] = (struct iovec){ &vh, sizeof vh };
		iov[i][1] = (struct iovec){ frames[i], size };
		m[i].msg_hdr.msg_iov = iov[i] + !large;
		m[i].msg_hdr.msg_iovlen = 1 + large;
	}
	double c0 = cpu_s();
	start = now_ns();
	end = start + secs * 1e9;
	for (uint64_t t = start; !stop && t < end; t = now_ns()) {
		int n = batch;
		if (rate) {
			double due = (t - start) / 1e9 * rate - (sent + refused);
			if (due < 1) {
				uint64_t d = (1 - due) / rate * 1e9;
				struct timespec ts = { 0, d > 1000000 ? 1000000 : d };
				if (d > 60000)
					nanosleep(&ts, NULL);
				continue;
			}
			n = due < n ? due : n;
		}
		for (int i = 0; i < n; i++) {
			struct stamp s = { MAGIC, seq + i, t };
			memcpy(frames[i] + off, &s, sizeof s);
		}
		int r = sendmmsg(fd, m, n, 0);
		if (r < 0) {
			if (errno != ENOBUFS && errno != EAGAIN && errno != ENETDOWN)
				die("sendmmsg");
			refused++;
			r = 0;
			if (errno == ENETDOWN)
				usleep(1000);
			else
				seq++;
		}
		sent += r;
		seq += r;
	}
	double s = (now_ns() - start) / 1e9;
	printf("{\"sent\":%llu,\"pps\":%.0f,\"gbps\":%.3f,\"refused\":%llu,\"own_cpu\":%.3f}\n", (unsigned long long)sent,
	       sent / s, sent * 8.0 * size / s / 1e9, (unsigned long long)refused, (cpu_s() - c0) / s);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void recv_frames(const char *ifname, double secs)
{
	enum { SAMPLES = 1 << 20 };
	static uint8_t buf[BATCH][256];
	static uint32_t lat[SAMPLES];
	int fd = packet_socket(ifname, ETH_P_ALL), rcvbuf = 64 << 20;
	struct iovec iov[BATCH];
	struct mmsghdr m[BATCH];
	uint64_t n = 0, other = 0, lost = 0, reordered = 0, end = now_ns() + secs * 1e9;
	uint32_t next = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &rcvbuf, sizeof rcvbuf);
	memset(m, 0, sizeof m);
	for (int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){ buf[i], sizeof buf[i] };
		m[i].msg_hdr.msg_iov = iov + i;
		m[i].msg_hdr.msg_iovlen = 1;
	}
	while (!stop && now_ns() < end) {
		struct pollfd p = { fd, POLLIN, 0 };
		if (poll(&p, 1, 50) <= 0)
			continue;
		int r = recvmmsg(fd, m, BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);
		uint64_t t = now_ns();
		for (int i = 0; i < r; i++) {
			struct stamp s = { 0 };
			if (m[i].msg_len >= 60)
				memcpy(&s, buf[i] + (buf[i][23] == 6 ? 54 : 42), sizeof s);
			if (s.magic != MAGIC) {
				other++;
				continue;
			}
			if (n && (int32_t)(s.seq - next) < 0)
				reordered++;
			else {
				lost += n ? s.seq - next : 0;
				next = s.seq + 1;
			}
			lat[n++ % SAMPLES] = s.ns ? t - s.ns : 0;
		}
	}
	struct tpacket_stats k;
	socklen_t len = sizeof k;
	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &k, &len);
	unsigned c = n < SAMPLES ? n : SAMPLES;
	qsort(lat, c, sizeof *lat, by_value);
	printf("{\"stamped\":%llu,\"other\":%llu,\"seq_lost\":%llu,\"reordered\":%llu,\"socket_drops\":%u", (unsigned long long)n,
	       (unsigned long long)other, (unsigned long long)lost, (unsigned long long)reordered, k.tp_drops);
	if (c)
		printf(",\"oneway_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f}", lat[c / 2] / 1e3,
		       lat[(uint64_t)c * 90 / 100] / 1e3, lat[(uint64_t)c * 99 / 100] / 1e3, lat[c - 1] / 1e3);
	printf("}\n");
}

static void on_signal(int s) { (void)s; stop = 1; }

int main(int argc, char **argv)
{
	static const struct option longopts[] = { { "if", 1, 0, 'i' }, { "size", 1, 0, 'n' }, { "secs", 1, 0, 't' },
	                                          { "rate", 1, 0, 'r' }, { "mss", 1, 0, 'M' }, { "dst-mac", 1, 0, 'd' }, { 0 } };
	const char *ifname = NULL;
	unsigned size = 64, mss = 1448;
	double secs = 5, rate = 0;
	uint8_t mac[6] = { 0x52, 0x54, 0, 0, 0, 1 };

	for (int o; (o = getopt_long(argc, argv, "", longopts, NULL)) != -1;) {
		switch (o) {
		case 'i': ifname = optarg; break;
		case 'n': size = atoi(optarg); break;
		case 't': secs = atof(optarg); break;
		case 'r': rate = atof(optarg); break;
		case 'M': mss = atoi(optarg); break;
		case 'd':
			if (sscanf(optarg, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) == 6)
				break;
			/* fall through */
		default: return 2;
		}
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	if (optind == argc - 1 && ifname && size >= 60 && size <= 65535 && !strcmp(argv[optind], "send"))
		send_frames(ifname, size, secs, rate, mss, mac);
	else if (optind == argc - 1 && ifname && !strcmp(argv[optind], "recv"))
		recv_frames(ifname, secs);
	else {
		fprintf(stderr, "usage: tapload send|recv --if NAME [--size N] [--secs S] [--rate PPS] [--mss N] [--dst-mac M]\n");
		return 2;
	}
	return 0;
}
