/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A super-packet of TCP into a tunnel with a checksum: the kernel cuts such packets up behind us, but makes no outer
 * checksums for the segments. So they are made here, each with its headers, and leave one by one. Tier: slow; TC only.
 */
#ifndef PIRANHA_SEGMENT_H
#define PIRANHA_SEGMENT_H

#include <linux/pkt_cls.h>

#include "csum.h"
#include "cut.h"
#include "maps.h"
#include "oversize.h"
#include "packet.h"
#include "tunnel.h"
#include "workbench.h"

#define SEGMENT_SUM 256 /* bytes that are summed at once */
#define TCP_PSH	    0x08
#define TCP_CWR	    0x80

/* Add up the data under way. */
static long slice_visit(__u32 i, void *unused)
{
	struct workbench *w = workbench_get();
	struct cut_room *room = cut_room_get();

	if (!w || !room)
		return 1;
	struct segments *c = &w->segments;
	__u32 at = c->slice_at, left = c->slice_left, size = left < SEGMENT_SUM ? left & ~3u : SEGMENT_SUM;

	barrier_var(at);
	if (!left || at > CUT_LONGEST)
		return 1;
	if (size) {
		barrier_var(size);
		c->slice_sum = bpf_csum_diff(0, 0, (__be32 *)(room->data + at), size & 0x1fc, c->slice_sum);
		c->slice_at += size;
		c->slice_left -= size;
		return 0;
	}
	/* Up to three bytes are left. */
	__u8 last[4] = {room->data[at], left > 1 ? room->data[at + 1] : 0, left > 2 ? room->data[at + 2] : 0, 0};

	c->slice_sum = bpf_csum_diff(0, 0, (__be32 *)last, sizeof(last), c->slice_sum);
	c->slice_left = 0;
	return 1;
}

/* The segment's own headers. Returns what the whole segment sums to, or negative: it cannot be. */
static __always_inline int segment_headers(struct segments *c, __u32 size)
{
	struct packet *p = &c->packet;
	__u32 l4 = (p->l4 & L4_OFFSET_MASK) - L3_OFFSET, tcp_bytes = c->headers - l4, headers = c->headers;
	void *head = c->head;

	c->slice_at = c->at;
	c->slice_left = size;
	c->slice_sum = 0;
	bpf_loop(size / SEGMENT_SUM + 2, slice_visit, NULL, 0);
	p->length = headers + size;
	if (p->v6) {
		struct ipv6hdr *ip = head;

		ip->payload_len = bpf_htons(p->length - sizeof(*ip));
	} else {
		struct iphdr *ip = head;
		__u32 bytes = l4 & 0x3c;

		ip->tot_len = bpf_htons(p->length);
		ip->id = bpf_htons(c->id + c->at / c->step);
		ip->check = 0;
		barrier_var(bytes);
		ip->check = ~csum_fold((__u32)bpf_csum_diff(0, 0, head, bytes & 0x3c, 0));
	}
	barrier_var(l4);
	if (l4 > 100)
		return -1;
	struct tcphdr *tcp = head + l4;
	__u8 flags = c->flags;

	if (c->at)
		flags &= ~TCP_CWR;
	if (c->at + size < c->length)
		flags &= ~(TCP_FIN | TCP_PSH);
	((__u8 *)tcp)[13] = flags;
	tcp->seq = bpf_htonl(c->sequence + c->at);
	tcp->check = 0;
	__u64 sum = csum_fold(c->slice_sum);

	barrier_var(tcp_bytes);
	sum += (__u32)bpf_csum_diff(0, 0, (__be32 *)tcp, tcp_bytes & 0x3c, 0);
	tcp->check = ~csum_fold(sum + pseudo_sum(p, tcp_bytes + size));
	/* The transport sums to nothing with its pseudo header, as an IPv4 header does. */
	sum = csum_fold(c->slice_sum);
	barrier_var(headers);
	return csum_fold(sum + (__u32)bpf_csum_diff(0, 0, head, headers & 0xfc, 0));
}

static __always_inline int segment_store(struct __sk_buff *skb, struct workbench *w, struct cut_room *room, __u32 size)
{
	struct segments *c = &w->segments;
	__u32 words = tunnel_shim_words(&c->dest), at = c->at, headers = c->headers;
	__u32 outer = is_outer_v6(&c->dest) ? ETH_HLEN + sizeof(struct ipv6hdr) : ETH_HLEN + sizeof(struct iphdr);
	__u32 inner = outer + words * 4;

	if (bpf_skb_change_tail(skb, inner + headers + size, 0) &&
	    bpf_skb_change_tail(skb, inner + headers + size + CUT_FRAME, 0))
		return -1;
	if (is_outer_v6(&c->dest) ? bpf_skb_store_bytes(skb, 0, &w->cut.eth, ETH_HLEN + sizeof(struct ipv6hdr), 0)
				  : bpf_skb_store_bytes(skb, 0, &w->cut.eth, ETH_HLEN + sizeof(struct iphdr), 0))
		return -1;
	if (words == 2 ? bpf_skb_store_bytes(skb, outer, w->shim, 8, 0)
		       : bpf_skb_store_bytes(skb, outer, w->shim, 12, 0))
		return -1;
	headers--;
	barrier_var(headers);
	if (headers >= sizeof(c->head) || bpf_skb_store_bytes(skb, inner, c->head, headers + 1, 0))
		return -1;
	barrier_var(at);
	if (at > CUT_LONGEST)
		return -1;
	size--;
	barrier_var(size);
	if (size >= CUT_PIECE)
		return -1;
	return bpf_skb_store_bytes(skb, inner + headers + 1, room->data + at, size + 1, 0);
}

struct segment_walk {
	struct __sk_buff *skb;
};

static long segment_visit(__u32 i, struct segment_walk *walk)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	struct cut_room *room = cut_room_get();

	if (!s || !w || !room)
		return 1;
	struct segments *c = &w->segments;
	__u32 at = i * c->step;

	if (at >= c->length)
		return 1;
	__u32 size = c->length - at < c->step ? c->length - at : c->step, shim = tunnel_shim_words(&c->dest) * 4;

	c->at = at;
	c->failed = 1;
	int sum = segment_headers(c, size);

	if (sum < 0)
		return 1;
	shim_write(s, w, &c->packet, &c->dest, &c->source, 1, sum);
	if (is_outer_v6(&c->dest))
		tunnel_header_v6(&w->cut.v6, &c->packet, &c->dest, &c->source, shim);
	else
		tunnel_header_v4(&w->cut.v4, s, &c->packet, &c->dest, &c->source, shim);
	if (segment_store(walk->skb, w, room, size))
		return 1;
	if (c->at + size < c->length && bpf_clone_redirect(walk->skb, c->ifindex, 0))
		return 1;
	c->failed = 0;
	return 0;
}

/* Take the super-packet, its headers to the workbench and its data to the room. */
static __noinline int segments_take(struct __sk_buff *skb, struct segments *c, struct cut_room *room,
				    const struct packet *p)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK, headers, length;
	__u8 words;

	if (bpf_skb_load_bytes(skb, l4 + 12, &words, 1))
		return -1;
	headers = l4 - L3_OFFSET + (words >> 4) * 4;
	length = p->length - headers;
	c->headers = headers;
	c->length = length;
	headers--;
	barrier_var(headers);
	if (headers >= 160 || bpf_skb_load_bytes(skb, L3_OFFSET, c->head, headers + 1))
		return -1;
	length--;
	barrier_var(length);
	if (length >= CUT_LONGEST || bpf_skb_load_bytes(skb, L3_OFFSET + headers + 1, room->data, length + 1))
		return -1;
	l4 -= L3_OFFSET;
	barrier_var(l4);
	if (l4 > 100)
		return -1;
	struct tcphdr *tcp = (void *)c->head + l4;

	c->sequence = bpf_ntohl(tcp->seq);
	c->flags = ((__u8 *)tcp)[13];
	c->id = p->v6 ? 0 : bpf_ntohs(((struct iphdr *)c->head)->id);
	return 0;
}

/* The packet, whose hop limit was already decremented, into the tunnel of `d`. Returns a TC verdict. */
__noinline int segments_send(struct __sk_buff *skb, struct packet *p, struct dest *d, struct nexthop *nh)
{
	struct workbench *w = workbench_get();
	struct cut_room *room = cut_room_get();
	struct segment_walk walk = {.skb = skb};

	if (!skb || !p || !d || !nh || !w || !room)
		return TC_ACT_SHOT;
	struct segments *c = &w->segments;
	__u32 l4 = p->l4 & L4_OFFSET_MASK, overhead = tunnel_overhead(d), segment = skb->gso_size;
	__be16 kind = is_outer_v6(d) ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);

	if (!(nh->flags & NEXTHOP_READY)) {
		reason_count(REASON_NO_ROUTE);
		return TC_ACT_SHOT;
	}
	if (p->proto != IPPROTO_TCP || segment < overhead + SEGMENT_LEAST || segment > CUT_PIECE ||
	    segments_take(skb, c, room, p)) {
		reason_count(REASON_UNSUPPORTED);
		return TC_ACT_SHOT;
	}
	c->step = segment - overhead; /* as the kernel does it: as long with the tunnel as without */
	c->packet = *p;
	c->dest = *d;
	c->source = nh->source;
	c->ifindex = nh->ifindex;
	c->failed = 1;
	cut_address(nh->dmac, nh->smac);
	w->cut.eth.h_proto = kind;
	/* No super-packet any more, no checksum left to the device, and of the outer family. */
	if (!bpf_skb_change_tail(skb, l4 + 64, 0) && !checksum_unflag(skb, w, l4) &&
	    (skb->protocol == kind || !bpf_skb_change_proto(skb, kind, 0))) {
		__u32 pieces = (c->length + c->step - 1) / c->step;

		bpf_loop(pieces - 1, segment_visit, &walk, 0);
		if (pieces == 1 || !c->failed)
			segment_visit(pieces - 1, &walk);
	}
	if (c->failed) {
		reason_count(REASON_REWRITE_FAILED);
		return TC_ACT_SHOT;
	}
	return bpf_redirect(c->ifindex, 0);
}

#endif
