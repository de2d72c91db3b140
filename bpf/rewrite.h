/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing a packet: address and port with every checksum, hop limit. Tier: established.
 *
 * XDP holds whole frames with finished checksums and changes them directly. In TC a checksum may be partial (left to
 * the device), so the transport checksum goes through the kernel's helpers, which know.
 */
#ifndef PIRANHA_REWRITE_H
#define PIRANHA_REWRITE_H

#include "crc32c.h"
#include "csum.h"
#include "packet.h"

#define SIDE_SOURCE	 0
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

/*
 * SCTP's checksum covers its own packet and no addresses, so it follows the port alone. A checksum of 0 stays 0: it is
 * left to the device (a partial checksum of a local stack, which must find 0 there), or not used at all (RFC 9653).
 */
static __always_inline int rewrite_sctp(void *l4, void *end, const struct packet *p, const int side, __be16 port)
{
	struct sctp_header *sctp = l4;

	if ((void *)(sctp + 1) > end)
		return -1;
	__u32 ports = *(__u32 *)l4;
	if (side)
		sctp->dest = port;
	else
		sctp->source = port;
	__u32 change = ports ^ *(__u32 *)l4;
	if (change && sctp->check && p->flags & PACKET_FRAGMENT) /* how much follows is not known */
		return -1;
	if (change && sctp->check)
		sctp->check ^= crc32c_change(change, p->length - ((p->l4 & L4_OFFSET_MASK) - L3_OFFSET));
	return 0;
}

/* Set the source or destination of `p` to `addr`, `port`. Negative: nothing was changed that matters; drop it. */
static __always_inline int rewrite(void *ctx, const int hook, const struct packet *p, const int side,
				   const union addr *addr, __be16 port)
{
	const union addr *from = side ? &p->daddr : &p->saddr;
	__be16 old = side ? p->dport : p->sport;
	__u64 diff = csum_diff_addr(from, addr);

	if (hook == HOOK_TC && p->proto != IPPROTO_SCTP && rewrite_transport_tc(ctx, p, diff, old, port))
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
	} else if (p->proto == IPPROTO_SCTP) {
		if (rewrite_sctp(l4, end, p, side, port))
			return -1;
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

#endif
