/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tunnels to real servers: an outer IP header of either family, and behind it nothing (ipip), a GRE header, or UDP and
 * GUE headers. Tier: established.
 *
 * Hop limit, traffic class and DF of the outer header are IPVS's (Linux net/netfilter/ipvs/ip_vs_xmit.c).
 */
#ifndef PIRANHA_TUNNEL_H
#define PIRANHA_TUNNEL_H

#include "conn.h"
#include "csum.h"
#include "packet.h"
#include "workbench.h"

#define GRE_CSUM  0x8000
#define GUE_PORTS 0xc000 /* source ports from here on say which flow it is, for whoever spreads packets over links */
#define ECN_MASK  3
#define ECN_CE	  3

static __always_inline int is_outer_v6(const struct dest *d)
{
	return !addr_is_v4(&d->addr);
}

/* Words between the headers. */
static __always_inline __u32 tunnel_shim_words(const struct dest *d)
{
	if (d->tunnel_type == TUNNEL_GUE)
		return 3;
	if (d->tunnel_type == TUNNEL_GRE)
		return d->tunnel_flags & (TUNNEL_CSUM | TUNNEL_REMCSUM) ? 2 : 1;
	return 0;
}

static __always_inline __u32 tunnel_overhead(const struct dest *d)
{
	return (is_outer_v6(d) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + tunnel_shim_words(d) * 4;
}

static __always_inline int tunnel_has_csum(const struct dest *d)
{
	return d->tunnel_type != TUNNEL_IPIP && d->tunnel_flags & (TUNNEL_CSUM | TUNNEL_REMCSUM);
}

/*
 * The sum of a whole packet's words, from its headers alone: what a right transport checksum covers sums to nothing
 * together with its pseudo header, and an IPv4 header sums to nothing. So it is also what the packet will sum to when
 * its checksum is yet to be finished by a device. Negative when the checksum does not cover all of it.
 */
static __always_inline int packet_sum(void *ctx, const int hook, const struct packet *p)
{
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);
	__u32 l4 = p->l4 & L4_OFFSET_MASK;
	__u32 payload = p->length - (l4 - L3_OFFSET);
	__u16 proto = bpf_htons(p->proto);

	if (p->flags & PACKET_FRAGMENT)
		return -1;
	if (p->proto == IPPROTO_UDP) {
		struct udphdr *udp = data + l4;

		if ((void *)(udp + 1) > end || !udp->check || bpf_ntohs(udp->len) != payload)
			return -1;
	} else if (p->proto != IPPROTO_TCP) {
		return -1;
	}
	if (!p->v6) {
		__u64 pseudo = (__u64)p->saddr.w[3] + p->daddr.w[3] + proto + bpf_htons(payload);

		return (__u16)~csum_fold(pseudo);
	}
	if (l4 != L3_OFFSET + sizeof(struct ipv6hdr))
		return -1;
	/* Addresses and length stand in header and pseudo header. */
	__u16 *word = data + L3_OFFSET;

	if ((void *)(word + 4) > end)
		return -1;
	return csum_fold((__u64)word[0] + word[1] + word[3] + (__u16)~proto);
}

#define WALK_MAX (MAX_LENGTH / WORKBENCH_CHUNK + 1)

struct sum_walk {
	struct __sk_buff *skb;
	__u32 from;
	__u32 left;
	__u32 sum;
	int result;
};

static long sum_visit(__u32 i, struct sum_walk *walk)
{
	struct workbench *w = workbench_get();
	__u32 size = walk->left < WORKBENCH_CHUNK ? walk->left : WORKBENCH_CHUNK;

	if (!w || !size)
		return 1;
	if (size < WORKBENCH_CHUNK)
		__builtin_memset(w->chunk, 0, WORKBENCH_CHUNK);
	if (bpf_skb_load_bytes(walk->skb, walk->from + i * WORKBENCH_CHUNK, w->chunk, size)) {
		walk->result = -1;
		return 1;
	}
	walk->sum = bpf_csum_diff(0, 0, w->chunk, WORKBENCH_CHUNK, walk->sum);
	walk->left -= size;
	return 0;
}

/* Tier: slow. The same by reading `length` bytes: of fragments, datagrams without checksum, ICMP. */
__noinline int packet_sum_walk(struct __sk_buff *skb, __u32 from, __u32 length)
{
	struct sum_walk walk = {.skb = skb, .from = from, .left = length};

	bpf_loop(WALK_MAX, sum_visit, &walk, 0);
	return walk.result || walk.left ? -1 : csum_fold(walk.sum);
}

/* In a frame of its own, as all that follows for GUE and GRE: the stack of the programs is full. */
static __noinline int packet_sum_xdp(void *ctx, const struct packet *p)
{
	return packet_sum(ctx, HOOK_XDP, p);
}

/* May the tunnel's checksum be found at this hook? XDP hands on what has to be read whole. */
static __always_inline int tunnel_possible(void *ctx, const int hook, const struct packet *p, const struct dest *d)
{
	return hook == HOOK_TC || !tunnel_has_csum(d) || packet_sum_xdp(ctx, p) >= 0;
}

/* Fragments and messages without ports all go one way, so that they keep their order. */
static __always_inline __be16 tunnel_source_port(const struct settings *s, const struct packet *p)
{
	int ports = !(p->flags & PACKET_FRAGMENT) && p->proto != IPPROTO_ICMP && p->proto != IPPROTO_ICMPV6;
	__u64 hash = flow_hash(s, &p->saddr, ports ? p->sport : 0, &p->daddr, ports ? p->dport : 0, p->proto);

	return bpf_htons(GUE_PORTS | (hash >> 48 & ~GUE_PORTS));
}

/* What comes between the headers, for GUE and GRE, to the workbench. `inner` is what the packet inside sums to. */
static __always_inline void shim_write(const struct settings *s, struct workbench *w, const struct packet *p,
				       const struct dest *d, const union addr *source, int csum, int inner)
{
	__be32 *shim = w->shim;
	__u16 length = bpf_htons(p->length + SHIM_WORDS * 4); /* of the UDP datagram */

	if (d->tunnel_type == TUNNEL_GRE) {
		__u32 type = p->v6 ? ETH_P_IPV6 : ETH_P_IP;

		shim[0] = bpf_htonl((csum ? GRE_CSUM : 0) << 16 | type);
		shim[1] = 0;
		if (csum) {
			__u64 sum = (__u64)shim[0] + inner;

			*(__u16 *)&shim[1] = ~csum_fold(sum);
		}
		return;
	}
	__be16 *udp = (__be16 *)shim;

	udp[0] = tunnel_source_port(s, p);
	udp[1] = d->tunnel_port;
	udp[2] = length;
	udp[3] = 0;
	shim[2] = bpf_htonl((p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP) << 16); /* version 0, no options, no flags */
	if (csum) {
		__u64 sum = (__u64)shim[0] + shim[1] + shim[2] + inner + length + bpf_htons(IPPROTO_UDP);

#pragma unroll
		for (int i = 0; i < 4; i++) {
			/* The constant part of an IPv4 address is no part of its pseudo header. */
			if (i < 3 && !is_outer_v6(d))
				continue;
			sum += (__u64)source->w[i] + d->addr.w[i];
		}
		udp[3] = ~csum_fold(sum);
		if (!udp[3])
			udp[3] = 0xffff;
	}
}

/*
 * What comes between the headers, for GUE and GRE. A super-packet's checksum would have to be made anew for each of its
 * pieces, and the kernel does not do that for us: then UDP over IPv4 goes without, which every receiver takes, and
 * what must have one is refused. 0 or a reason.
 */
static __always_inline int tunnel_shim(void *ctx, const int hook, const struct packet *p, const struct dest *d,
				       const union addr *source)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();

	if (!s || !w)
		return REASON_REWRITE_FAILED;
	int csum = tunnel_has_csum(d), inner = 0;

	if (csum && hook == HOOK_TC && ((struct __sk_buff *)ctx)->gso_size) {
		if (d->tunnel_type != TUNNEL_GUE || is_outer_v6(d))
			return REASON_UNSUPPORTED;
		csum = 0;
	}
	if (csum) {
		inner = packet_sum(ctx, hook, p);
		if (inner < 0 && hook == HOOK_TC)
			inner = packet_sum_walk(ctx, L3_OFFSET, p->length);
		if (inner < 0)
			return REASON_REWRITE_FAILED;
	}
	shim_write(s, w, p, d, source, csum, inner);
	return 0;
}

static __noinline int tunnel_shim_xdp(void *ctx, const struct packet *p, const struct dest *d, const union addr *source)
{
	return tunnel_shim(ctx, HOOK_XDP, p, d, source);
}

static __noinline int tunnel_shim_tc(void *ctx, const struct packet *p, const struct dest *d, const union addr *source)
{
	return tunnel_shim(ctx, HOOK_TC, p, d, source);
}

static __always_inline __u8 tunnel_protocol(const struct packet *p, const struct dest *d)
{
	if (d->tunnel_type == TUNNEL_GUE)
		return IPPROTO_UDP;
	if (d->tunnel_type == TUNNEL_GRE)
		return IPPROTO_GRE;
	return p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/* A mark of congestion is not carried over: whoever opens the tunnel must see one that was set within it (RFC 3168). */
static __always_inline __u8 tunnel_tos(const struct packet *p)
{
	return (p->tos & ECN_MASK) == ECN_CE ? p->tos & ~1 : p->tos;
}

static __always_inline void tunnel_header_v4(struct iphdr *o, const struct settings *s, const struct packet *p,
					     const struct dest *d, const union addr *source, __u32 shim_bytes)
{
	/* Summed from the values: what was just written in other sizes is slow to read back. */
	__be16 *word = (__be16 *)o;
	__be16 first = bpf_htons(0x4500 | tunnel_tos(p)), length = bpf_htons(p->length + sizeof(*o) + shim_bytes);
	__be16 last = bpf_htons((p->ttl - 1) << 8 | tunnel_protocol(p, d)), id = 0, frag = bpf_htons(IP_DF);

	/* Without DF it may be cut on its way, and then its pieces need a number. */
	if (p->v6 || !(p->flags & PACKET_DF) || !(s->rules & RULE_PMTU_DISC)) {
		id = bpf_get_prandom_u32();
		frag = 0;
	}
	word[0] = first;
	word[1] = length;
	word[2] = id;
	word[3] = frag;
	word[4] = last;
	o->saddr = source->w[3];
	o->daddr = d->addr.w[3];
	o->check = ~csum_fold((__u64)first + length + id + frag + last + source->w[3] + d->addr.w[3]);
}

static __always_inline void tunnel_header_v6(struct ipv6hdr *o, const struct packet *p, const struct dest *d,
					     const union addr *source, __u32 shim_bytes)
{
	__builtin_memset(o, 0, sizeof(*o));
	*(__be32 *)o = bpf_htonl(0x60000000u | (__u32)tunnel_tos(p) << 20);
	o->payload_len = bpf_htons(p->length + shim_bytes);
	o->nexthdr = tunnel_protocol(p, d);
	o->hop_limit = p->ttl - 1;
	__builtin_memcpy(&o->saddr, source, 16);
	__builtin_memcpy(&o->daddr, &d->addr, 16);
}

static __always_inline __u64 tunnel_room_flags(const struct packet *p, const struct dest *d, const int v6)
{
	if (p->flags & PACKET_CUT) /* to the kernel it is a packet as any other, which it will make shorter */
		return 0;
	__u64 flags = v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

	if (d->tunnel_type == TUNNEL_GUE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP;
	else if (d->tunnel_type == TUNNEL_GRE)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_GRE;
	if (p->proto == IPPROTO_UDP) /* the segments of a super-packet are datagrams: as long as they are */
		flags |= BPF_F_ADJ_ROOM_FIXED_GSO;
	return flags;
}

static __always_inline int tunnel_push_tc(struct __sk_buff *skb, const struct packet *p, const struct dest *d,
					  const void *outer, const __u32 size, const int v6)
{
	__u32 words = tunnel_shim_words(d);
	struct workbench *w = words ? workbench_get() : NULL;

	if (bpf_skb_adjust_room(skb, size + words * 4, BPF_ADJ_ROOM_MAC, tunnel_room_flags(p, d, v6)))
		return -1;
	if (w && bpf_skb_store_bytes(skb, L3_OFFSET + size, w->shim, words * 4, 0))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET, outer, size, 0);
}

/* Room for both headers, the workbench's shim in its place; NULL when there is none. */
static __always_inline void *tunnel_push_xdp(struct xdp_md *ctx, const struct dest *d, const __u32 size, const int v6)
{
	__u32 words = tunnel_shim_words(d);

	if (bpf_xdp_adjust_head(ctx, -(int)(size + words * 4)))
		return NULL;
	void *data = packet_data(ctx, HOOK_XDP), *end = packet_end(ctx, HOOK_XDP);
	struct ethhdr *eth = data;
	__be32 *between = data + L3_OFFSET + size;

	if ((void *)(between + SHIM_WORDS) > end) /* where the shim is shorter, the inner header is longer */
		return NULL;
	/* MAC addresses are written by whoever transmits. */
	eth->h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	struct workbench *w = words ? workbench_get() : NULL;
	if (w) {
#pragma unroll
		for (int i = 0; i < SHIM_WORDS; i++)
			if (i < words)
				between[i] = w->shim[i];
	}
	return data + L3_OFFSET;
}

/* Wrap the packet, whose hop limit was already decremented, for destination `d`. 0, or the reason why that cannot be.
 */
static __always_inline int tunnel_wrap(void *ctx, const int hook, const struct settings *s, const struct packet *p,
				       const struct dest *d, const union addr *source)
{
	__u32 shim_bytes = tunnel_shim_words(d) * 4;

	if (shim_bytes) {
		int failed = hook == HOOK_XDP ? tunnel_shim_xdp(ctx, p, d, source) : tunnel_shim_tc(ctx, p, d, source);

		if (failed)
			return failed;
	}
	if (hook == HOOK_XDP) {
		int v6 = is_outer_v6(d);
		void *outer = v6 ? tunnel_push_xdp(ctx, d, sizeof(struct ipv6hdr), 1)
				 : tunnel_push_xdp(ctx, d, sizeof(struct iphdr), 0);

		if (!outer)
			return REASON_REWRITE_FAILED;
		if (v6)
			tunnel_header_v6(outer, p, d, source, shim_bytes);
		else
			tunnel_header_v4(outer, s, p, d, source, shim_bytes);
		return 0;
	}
	if (is_outer_v6(d)) {
		struct ipv6hdr outer;

		tunnel_header_v6(&outer, p, d, source, shim_bytes);
		return tunnel_push_tc(ctx, p, d, &outer, sizeof(outer), 1) ? REASON_REWRITE_FAILED : 0;
	}
	struct iphdr outer;

	tunnel_header_v4(&outer, s, p, d, source, shim_bytes);
	return tunnel_push_tc(ctx, p, d, &outer, sizeof(outer), 0) ? REASON_REWRITE_FAILED : 0;
}

#endif
