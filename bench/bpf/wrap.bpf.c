/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver: makes one packet of a test run into a stream of many flows, and hands each to the program in slot 0.
 *
 * BPF_PROG_TEST_RUN repeats a program on the packet that the run before left behind. So before each packet the driver
 * takes off what a tunnel put on, writes the headers anew, and gives it the next client of a permutation. The packet
 * that it finds holds an address that the program read from the connection's destination; the next flow is made to
 * depend on it, so that the look-ups of two packets cannot overlap, as they would not on a wire.
 *
 * The cost of all this is measured with an idle program in slot 0, and subtracted.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "packet.h"

char LICENSE[] SEC("license") = "GPL";

#define HEADER_WORDS  10 /* 80 bytes: Ethernet, IPv6 and TCP fit */
#define GROWTH_MAX    128
#define PERMUTE_TRIES 16
#define LOST	      77 /* a verdict of no hook: the driver failed, or slot 0 is empty */

struct driver {
	__u64 counter;
	__u32 multiplier; /* another one is another permutation */
	__u32 mask;	  /* a power of two minus 1, not below flows - 1 */
	__u32 flows;
	__u32 network;	 /* clients' addresses start here; host order, the low half of an IPv6 address */
	__u32 client_at; /* where in the frame the client's address (its last 32 bits) and port lie */
	__u32 port_at;
	__u32 services; /* above 1: the VIP changes with the flow */
	__u32 vip;	/* the first one; host order */
	__u32 vip_at;
	__u32 depends_at; /* where in a frame that was forwarded lies what the program looked up */
	__u32 frame_length;
	__u32 pad;
	__u64 header[HEADER_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct driver);
} driver SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} xdp_target SEC(".maps"), tc_target SEC(".maps"); /* a map belongs to one type of program */

/* Every flow below `flows` once, in an order that `multiplier` decides; numbers of the mask beyond `flows` are skipped.
 */
static __always_inline __u32 flow_next(struct driver *d)
{
	__u32 f = 0;

	for (int i = 0; i < PERMUTE_TRIES; i++) {
		f = (__u32)d->counter++ * d->multiplier & d->mask;
		f ^= f >> 9;
		f = f * 0x9e3779b1u & d->mask;
		if (f < d->flows)
			break;
	}
	return f;
}

/* Four bytes of the frame; NULL when they lie outside. */
static __always_inline void *frame_at(void *data, void *end, __u32 offset)
{
	void *place = data + (offset & 63);

	return place + 4 > end ? NULL : place;
}

/* Chain the next flow to what the last packet's look-up loaded. */
static __always_inline int driver_wait(struct driver *d, void *data, void *end)
{
	__u32 *word = frame_at(data, end, d->depends_at);

	if (!word)
		return -1;
	__u64 depends = *word;

	asm volatile("%0 &= 0" : "+r"(depends)); /* always 0, which the processor learns only when it was loaded */
	d->counter += depends;
	return 0;
}

static __always_inline int packet_write(struct driver *d, void *data, void *end)
{
	__be32 *client = frame_at(data, end, d->client_at), *vip = frame_at(data, end, d->vip_at);
	__be16 *port = frame_at(data, end, d->port_at);
	__u64 *word = data;

	if (!client || !vip || !port || (void *)(word + HEADER_WORDS) > end)
		return -1;
#pragma unroll
	for (int i = 0; i < HEADER_WORDS; i++)
		word[i] = d->header[i];
	__u32 flow = flow_next(d);

	*client = bpf_htonl(d->network + (flow >> 14));
	*port = bpf_htons(1024 + (flow & 0x3fff));
	if (d->services > 1)
		*vip = bpf_htonl(d->vip + flow % d->services);
	asm volatile("" ::: "memory");
	return 0;
}

static __always_inline struct driver *driver_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&driver, &zero);
}

SEC("xdp")
int drive_xdp(struct xdp_md *ctx)
{
	void *data = packet_data(ctx, HOOK_XDP), *end = packet_end(ctx, HOOK_XDP);
	struct driver *d = driver_get();

	if (!d || driver_wait(d, data, end))
		return LOST;
	__u32 growth = (__u32)(end - data) - d->frame_length;
	if (growth) {
		if (growth > GROWTH_MAX || bpf_xdp_adjust_head(ctx, growth))
			return LOST;
		data = packet_data(ctx, HOOK_XDP);
		end = packet_end(ctx, HOOK_XDP);
	}
	if (packet_write(d, data, end))
		return LOST;
	bpf_tail_call_static(ctx, &xdp_target, 0);
	return LOST;
}

SEC("tc")
int drive_tc(struct __sk_buff *skb)
{
	void *data = packet_data(skb, HOOK_TC), *end = packet_end(skb, HOOK_TC);
	struct driver *d = driver_get();

	if (!d || driver_wait(d, data, end) || packet_write(d, data, end))
		return LOST;
	bpf_tail_call_static(skb, &tc_target, 0);
	return LOST;
}

/* ---- what stands in slot 0 to be subtracted ---- */

SEC("xdp")
int idle_xdp(struct xdp_md *ctx)
{
	return XDP_REDIRECT;
}

SEC("tc")
int idle_tc(struct __sk_buff *skb)
{
	return TC_ACT_REDIRECT;
}

/* Grows as the tunnel does: with it the driver's undoing is measured. */
SEC("xdp")
int grow_xdp(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -20) ? LOST : XDP_REDIRECT;
}

/* The floor of any balancer: read the packet as ours does, and let it go. */
SEC("xdp")
int parse_xdp(struct xdp_md *ctx)
{
	void *data = packet_data(ctx, HOOK_XDP), *end = packet_end(ctx, HOOK_XDP);
	struct packet p;

	if (packet_parse(&p, data, end, end - data) != PARSED)
		return LOST;
	/* As if somebody used it all. */
	asm volatile("" : : "r"(&p) : "memory");
	return XDP_REDIRECT;
}
