/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet that is too long for its way, and may be cut, leaves in fragments, as a router or a tunnel's entry makes
 * them (RFC 791, RFC 2473 section 7). What is cut is the packet as it would leave, outer header included. Tier: slow;
 * TC only.
 *
 * Its data is copied to a room beside the packet, which then carries one fragment after the other: a clone leaves for
 * each, the packet itself is the last.
 */
#ifndef PIRANHA_CUT_H
#define PIRANHA_CUT_H

#include <linux/pkt_cls.h>

#include "csum.h"
#include "maps.h"
#include "packet.h"
#include "workbench.h"

#define CUT_LONGEST 0xffff /* most data of one packet that is cut */
#define CUT_PIECE   0x3fff /* most of it in one frame: the kernel makes no longer ones here */
#define CUT_FRAME   128	   /* a frame may be longer than what is in it; some devices' headers allow no shorter one */
#define CUT_LEAST   8	   /* fragments begin at multiples of this */
#define CUT_HEAD_V4 (ETH_HLEN + sizeof(struct iphdr))
#define CUT_HEAD_V6 (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct fragment_header))
#define IP_OFFSET   0x1fff
#define IP_MORE	    0x2000

/* Place and length of a fragment are bounded apart from each other, for the verifier. */
struct cut_room {
	__u8 data[CUT_LONGEST + 1 + CUT_PIECE + 1];
};

/* One for each CPU, by its number: values of per-CPU maps are no larger than 32 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cut_room);
} cut_room SEC(".maps");

static __always_inline struct cut_room *cut_room_get(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cut_room, &cpu);
}

struct cut {
	struct __sk_buff *skb;
	__u32 ifindex;
	__u32 length; /* of all data */
	__u32 step;   /* data of each fragment but the last */
	__u32 v6;
	__u32 first; /* of a fragment that is cut again: where it began, in units of 8 bytes, and whether more follow */
	__u32 failed;
};

static __always_inline void cut_header_v4(struct iphdr *ip, const struct cut *c, __u32 at, __u32 size)
{
	__u32 more = at + size < c->length ? IP_MORE : c->first & IP_MORE;

	ip->tot_len = bpf_htons(sizeof(*ip) + size);
	ip->frag_off = bpf_htons(((c->first & IP_OFFSET) + at / CUT_LEAST) | more);
	ip->check = 0;
	ip->check = ~csum_fold((__u32)bpf_csum_diff(0, 0, (__be32 *)ip, sizeof(*ip), 0));
}

static __always_inline void cut_header_v6(struct cut_head *h, const struct cut *c, __u32 at, __u32 size)
{
	h->v6.payload_len = bpf_htons(sizeof(h->fragment) + size);
	h->fragment.place = bpf_htons(at | (at + size < c->length));
}

static long cut_visit(__u32 i, struct cut *c)
{
	struct workbench *w = workbench_get();
	struct cut_room *room = cut_room_get();
	__u32 at = i * c->step, headers = c->v6 ? CUT_HEAD_V6 : CUT_HEAD_V4;

	if (!w || !room || at >= c->length)
		return 1;
	__u32 size = c->length - at < c->step ? c->length - at : c->step;
	__u32 last = at + size == c->length;

	if (c->v6)
		cut_header_v6(&w->cut, c, at, size);
	else
		cut_header_v4(&w->cut.v4, c, at, size);
	c->failed = 1;
	if (bpf_skb_change_tail(c->skb, headers + size, 0) &&
	    (headers + size >= CUT_FRAME || bpf_skb_change_tail(c->skb, CUT_FRAME, 0)))
		return 1;
	if (c->v6 ? bpf_skb_store_bytes(c->skb, 0, &w->cut.eth, CUT_HEAD_V6, 0)
		  : bpf_skb_store_bytes(c->skb, 0, &w->cut.eth, CUT_HEAD_V4, 0))
		return 1;
	barrier_var(at);
	size--; /* for verifiers that do not see that what is not 0 is at least 1 */
	barrier_var(size);
	if (at > CUT_LONGEST || size >= CUT_PIECE || bpf_skb_store_bytes(c->skb, headers, room->data + at, size + 1, 0))
		return 1;
	if (!last && bpf_clone_redirect(c->skb, c->ifindex, 0))
		return 1;
	c->failed = 0;
	return 0;
}

/*
 * Take the packet, its headers to the workbench and its data to the room. 0, or negative: it is not one that can be
 * cut.
 */
static __always_inline int cut_take(struct cut *c, struct cut_head *h, struct cut_room *room)
{
	__u8 version;

	if (bpf_skb_load_bytes(c->skb, L3_OFFSET, &version, 1))
		return -1;
	c->v6 = version >> 4 == 6;
	c->first = 0;
	__u32 from = L3_OFFSET + (c->v6 ? sizeof(h->v6) : sizeof(h->v4));

	if (c->v6) {
		if (bpf_skb_load_bytes(c->skb, L3_OFFSET, &h->v6, sizeof(h->v6)))
			return -1;
		c->length = bpf_ntohs(h->v6.payload_len);
		h->eth.h_proto = bpf_htons(ETH_P_IPV6);
		h->fragment.next = h->v6.nexthdr;
		h->fragment.reserved = 0;
		h->fragment.id = bpf_get_prandom_u32();
		h->v6.nexthdr = NEXTHDR_FRAGMENT;
	} else {
		/* With options: which of them belong in which fragment (RFC 791) is not worth the code. */
		if (version != 0x45 || bpf_skb_load_bytes(c->skb, L3_OFFSET, &h->v4, sizeof(h->v4)))
			return -1;
		c->length = bpf_ntohs(h->v4.tot_len) - sizeof(h->v4);
		c->first = bpf_ntohs(h->v4.frag_off) & (IP_OFFSET | IP_MORE);
		h->eth.h_proto = bpf_htons(ETH_P_IP);
	}
	__u32 length = c->length - 1;
	barrier_var(length);
	if (length >= CUT_LONGEST)
		return -1;
	return bpf_skb_load_bytes(c->skb, from, room->data, length + 1);
}

/* To whom the frames of `cut_send` go. */
static __always_inline void cut_address(const __u8 *dmac, const __u8 *smac)
{
	struct workbench *w = workbench_get();

	if (!w)
		return;
	__builtin_memcpy(w->cut.eth.h_dest, dmac, 6);
	__builtin_memcpy(w->cut.eth.h_source, smac, 6);
}

/*
 * Send the packet, finished but for the frame's addresses (cut_address), in fragments as long as the workbench says.
 * Returns a TC verdict.
 */
__noinline int cut_send(struct __sk_buff *skb, __u32 ifindex)
{
	struct workbench *w = workbench_get();
	struct cut_room *room = cut_room_get();
	struct cut c = {.skb = skb, .ifindex = ifindex};

	if (!skb || !w || !room)
		return TC_ACT_SHOT;
	if (cut_take(&c, &w->cut, room)) {
		reason_count(REASON_TOO_BIG);
		return TC_ACT_SHOT;
	}
	__u32 headers = (c.v6 ? CUT_HEAD_V6 : CUT_HEAD_V4) - L3_OFFSET;
	__be16 kind = c.v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	__u32 mtu = w->cut_mtu < CUT_PIECE ? w->cut_mtu : CUT_PIECE;

	if (mtu < headers + CUT_LEAST) {
		reason_count(REASON_TOO_BIG);
		return TC_ACT_SHOT;
	}
	c.step = (mtu - headers) & ~(CUT_LEAST - 1);
	__u32 pieces = (c.length + c.step - 1) / c.step;

	c.failed = 1;
	/* The outer header of the other family was written without telling the kernel what the packet is now. */
	if (skb->protocol == kind || !bpf_skb_change_proto(skb, kind, 0)) {
		bpf_loop(pieces - 1, cut_visit, &c, 0);
		if (pieces == 1 || !c.failed)
			cut_visit(pieces - 1, &c);
	}
	if (c.failed) {
		reason_count(REASON_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(ifindex, 0);
}

#endif
