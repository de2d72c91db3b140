/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing a packet: address and port with every checksum, hop limit, outer headers. Tier: established.
 *
 * XDP holds whole frames with finished checksums and changes them directly. In TC a checksum may be partial (left to
 * the device), so the transport checksum goes through the kernel's helpers, which know.
 */
#ifndef PIRANHA_REWRITE_H
#define PIRANHA_REWRITE_H

#include "csum.h"
#include "packet.h"

#define SIDE_SOURCE 0
#define SIDE_DESTINATION 1

static __always_inline __u32 transport_csum_offset(const struct packet *p)
{
	return (p->l4 & L4_OFFSET_MASK) + (p->proto == IPPROTO_TCP ? 16 : 6);
}

static __always_inline int rewrite_transport_tc(struct __sk_buff *skb, const struct packet *p, __u64 diff, __be16 from,
						__be16 to)
{
	__u64 flags = p->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 offset = transport_csum_offset(p);

	if (bpf_l4_csum_replace(skb, offset, 0, csum_fold(diff), BPF_F_PSEUDO_HDR | flags))
		return -1;
	if (from != to && bpf_l4_csum_replace(skb, offset, from, to, flags | 2))
		return -1;
	return 0;
}

/* Set the source or destination of `p` to `addr`, `port`. Negative: nothing was changed that matters; drop it. */
static __always_inline int rewrite(void *ctx, const int hook, const struct packet *p, const int side,
				   const union addr *addr, __be16 port)
{
	const union addr *from = side ? &p->daddr : &p->saddr;
	__be16 old = side ? p->dport : p->sport;
	__u64 diff = csum_diff_addr(from, addr);

	if (hook == HOOK_TC && rewrite_transport_tc(ctx, p, diff, old, port))
		return -1;
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);
	void *l4 = data + (p->l4 & L4_OFFSET_MASK);
	__be16 *ports = l4;

	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = l4;

		if ((void *)(tcp + 1) > end)
			return -1;
		if (hook == HOOK_XDP)
			csum_apply(&tcp->check, diff + csum_diff16(old, port));
		ports[side] = port;
	} else {
		struct udphdr *udp = l4;

		if ((void *)(udp + 1) > end)
			return -1;
		if (hook == HOOK_XDP && udp->check) {
			csum_apply(&udp->check, diff + csum_diff16(old, port));
			if (!udp->check)
				udp->check = 0xffff;
		}
		ports[side] = port;
	}
	if (p->v6) {
		struct ipv6hdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return -1;
		__builtin_memcpy(side ? &ip->daddr : &ip->saddr, addr, 16);
	} else {
		struct iphdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return -1;
		csum_apply(&ip->check, diff);
		if (side)
			ip->daddr = addr->w[3];
		else
			ip->saddr = addr->w[3];
	}
	return 0;
}

static __always_inline int hop_limit_decrement(void *ctx, const int hook, const struct packet *p)
{
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);

	if (p->v6) {
		struct ipv6hdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->hop_limit--;
	} else {
		struct iphdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return -1;
		ip->ttl--;
		csum_apply(&ip->check, csum_diff16(bpf_htons(0x0100), 0));
	}
	return 0;
}

static __always_inline int is_outer_v6(const union addr *server)
{
	return !addr_is_v4(server);
}

static __always_inline __u32 tunnel_overhead(const union addr *server)
{
	return is_outer_v6(server) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
}

static __always_inline void tunnel_header_v4(struct iphdr *o, const struct packet *p, const union addr *src,
					     const union addr *dst)
{
	__u16 *word = (__u16 *)o;
	__u64 sum = 0;

	__builtin_memset(o, 0, sizeof(*o));
	*(__u8 *)o = 0x45;
	o->tos = p->tos;
	o->tot_len = bpf_htons(p->length + sizeof(*o));
	o->frag_off = p->flags & PACKET_DF ? bpf_htons(IP_DF) : 0;
	o->ttl = p->ttl - 1;
	o->protocol = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	o->saddr = src->w[3];
	o->daddr = dst->w[3];
#pragma unroll
	for (int i = 0; i < sizeof(*o) / 2; i++)
		sum += word[i];
	o->check = ~csum_fold(sum);
}

static __always_inline void tunnel_header_v6(struct ipv6hdr *o, const struct packet *p, const union addr *src,
					     const union addr *dst)
{
	__builtin_memset(o, 0, sizeof(*o));
	*(__be32 *)o = bpf_htonl(0x60000000u | (__u32)p->tos << 20);
	o->payload_len = bpf_htons(p->length);
	o->nexthdr = p->v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	o->hop_limit = p->ttl - 1;
	__builtin_memcpy(&o->saddr, src, 16);
	__builtin_memcpy(&o->daddr, dst, 16);
}

/* Make `size` bytes of room between Ethernet and the packet and write `outer` there. */
static __always_inline int tunnel_push(void *ctx, const int hook, const void *outer, const __u32 size, const int v6)
{
	if (hook == HOOK_TC) {
		__u64 flags = v6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

		if (bpf_skb_adjust_room(ctx, size, BPF_ADJ_ROOM_MAC, flags))
			return -1;
		return bpf_skb_store_bytes(ctx, L3_OFFSET, outer, size, 0);
	}
	if (bpf_xdp_adjust_head(ctx, -(int)size))
		return -1;
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);
	struct ethhdr *eth = data;

	if (data + L3_OFFSET + size > end)
		return -1;
	/* MAC addresses are written by whoever transmits. */
	eth->h_proto = v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__builtin_memcpy(data + L3_OFFSET, outer, size);
	return 0;
}

/* Wrap the packet, whose hop limit was already decremented, for `server`. */
static __always_inline int tunnel_wrap(void *ctx, const int hook, const struct packet *p, const union addr *source,
				       const union addr *server)
{
	if (is_outer_v6(server)) {
		struct ipv6hdr outer;

		tunnel_header_v6(&outer, p, source, server);
		return tunnel_push(ctx, hook, &outer, sizeof(outer), 1);
	}
	struct iphdr outer;

	tunnel_header_v4(&outer, p, source, server);
	return tunnel_push(ctx, hook, &outer, sizeof(outer), 0);
}

#endif
