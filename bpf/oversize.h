/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet that is too long for its way: who may not cut it is told the size of the way, the others are made to fit.
 * Tier: slow; TC only, XDP hands such packets on.
 *
 *   may not be cut      IPv6; IPv4 with DF, but for tunnels without pmtu_disc   the sender is told (icmp.h)
 *   super-packet, TCP   its segments are made shorter
 *   all others          cut (cut.h), after their checksum was finished
 */
#ifndef PIRANHA_OVERSIZE_H
#define PIRANHA_OVERSIZE_H

#include "csum.h"
#include "cut.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"
#include "tunnel.h"
#include "workbench.h"

#define IPV6_MIN_MTU  1280
#define SEGMENT_LEAST 64   /* shorter segments help nobody */
#define ADJUST_MOST   4095 /* bytes of room that the kernel makes at once */

enum oversize { OVERSIZE_FITS, OVERSIZE_TELL, OVERSIZE_DROP };

/*
 * The kernel makes the segments of a super-packet of TCP shorter by what is put around it, so that they are as long
 * with a tunnel as without. Here they are made shorter by room that is taken away again.
 */
static __always_inline enum oversize oversize_segments(struct __sk_buff *skb, const struct packet *p, __u32 mtu,
						       __u32 overhead, int whole)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK, headers = l4 - L3_OFFSET;
	__u32 gso = skb->gso_size;

	if (p->proto == IPPROTO_SCTP) /* each of its segments was made for the way, and of its own length */
		return OVERSIZE_FITS;
	if (p->proto == IPPROTO_TCP) {
		__u8 words;

		if (bpf_skb_load_bytes(skb, l4 + 12, &words, 1))
			return OVERSIZE_DROP;
		headers += (words >> 4) * 4;
	} else {
		headers += sizeof(struct udphdr) + overhead;
	}
	if (headers + gso <= mtu)
		return OVERSIZE_FITS;
	if (whole)
		return OVERSIZE_TELL;
	__u32 excess = headers + gso - mtu;

	if (p->proto != IPPROTO_TCP || excess > ADJUST_MOST || gso < excess + SEGMENT_LEAST)
		return OVERSIZE_DROP;
	if (bpf_skb_adjust_room(skb, excess, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_adjust_room(skb, -(__s32)excess, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return OVERSIZE_DROP;
	return OVERSIZE_FITS;
}

/* The sum of a pseudo header, which stands in the place of a checksum that is left to a device. */
static __always_inline __u16 pseudo_sum(const struct packet *p, __u32 length)
{
	__u64 sum = (__u64)p->saddr.w[3] + p->daddr.w[3] + bpf_htons(p->proto) + bpf_htons(length);

	if (p->v6)
		sum += (__u64)p->saddr.w[0] + p->saddr.w[1] + p->saddr.w[2] + p->daddr.w[0] + p->daddr.w[1] +
		       p->daddr.w[2];
	return csum_fold(sum);
}

/*
 * Make the kernel forget that a checksum is left to the device: it does so when the place where the sum begins is cut
 * off in front. (Before 6.2 it looks before it cuts: so there are two.)
 */
static __noinline int checksum_unflag(struct __sk_buff *skb, struct workbench *w, __u32 l4)
{
	__u32 head = l4 - L3_OFFSET + 24; /* more than the frame's header behind that place */

	barrier_var(head);
	if (head < 24 || head > WORKBENCH_CHUNK)
		return -1;
	if (bpf_skb_load_bytes(skb, L3_OFFSET, w->chunk, head) ||
	    bpf_skb_adjust_room(skb, -(__s32)(head - 4), BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_adjust_room(skb, -4, BPF_ADJ_ROOM_MAC, 0) || bpf_skb_adjust_room(skb, head, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET, w->chunk, head, 0);
}

/* Fragments carry a checksum over all of them: finish one that is left to the device. Negative: that cannot be. */
static __always_inline int checksum_finish(struct __sk_buff *skb, struct workbench *w, const struct packet *p)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK, at = transport_csum_offset(p);
	__u32 length = p->length - (l4 - L3_OFFSET);
	__be16 field;

	if (p->flags & PACKET_FRAGMENT) /* finished, or it could not be one */
		return 0;
	if (p->proto == IPPROTO_SCTP) {
		__be32 check;

		return bpf_skb_load_bytes(skb, l4 + 8, &check, sizeof(check)) || !check ? -1 : 0;
	}
	if (bpf_skb_load_bytes(skb, at, &field, sizeof(field)))
		return -1;
	if (field != pseudo_sum(p, length))
		return 0;
	int sum = packet_sum_walk(skb, l4, length);

	if (sum < 0)
		return -1;
	field = ~sum;
	if (!field && p->proto == IPPROTO_UDP)
		field = 0xffff;
	return bpf_skb_store_bytes(skb, at, &field, sizeof(field), 0) || checksum_unflag(skb, w, l4) ? -1 : 0;
}

/*
 * `p`, with `overhead` bytes of a tunnel around it, is longer than `mtu`. OVERSIZE_FITS: it may go on, since it fits as
 * segments, or will be cut when it leaves (PACKET_CUT).
 */
__noinline int oversize_fit(struct __sk_buff *skb, struct packet *p, __u32 mtu, __u32 overhead)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();

	if (!skb || !p || !s || !w)
		return OVERSIZE_DROP;
	int whole = p->flags & PACKET_DF;

	/* A tunnel is a link: what every link of IPv6 must take it takes in pieces (RFC 2473, section 7.1). */
	if (overhead && (p->v6 ? p->length <= IPV6_MIN_MTU : !(s->rules & RULE_PMTU_DISC)))
		whole = 0;
	if (skb->gso_size)
		return oversize_segments(skb, p, mtu, overhead, whole);
	if (whole)
		return OVERSIZE_TELL;
	if (checksum_finish(skb, w, p))
		return OVERSIZE_DROP;
	w->cut_mtu = mtu;
	p->flags |= PACKET_CUT;
	return OVERSIZE_FITS;
}

static __always_inline int oversize_refuse(struct __sk_buff *skb, struct packet *p, __u32 mtu, int what)
{
	reason_count(REASON_TOO_BIG);
	if (what == OVERSIZE_DROP || p->flags & PACKET_LATER)
		return TC_ACT_SHOT;
	if (p->v6 && mtu < IPV6_MIN_MTU) /* up to there tunnels take it in pieces */
		mtu = IPV6_MIN_MTU;
	return icmp_send(skb, p, ICMP_ERR_TOO_BIG, mtu);
}

/* The same, and who may not go on is refused: 0, or the TC verdict. */
__noinline int oversize(struct __sk_buff *skb, struct packet *p, __u32 mtu, __u32 overhead)
{
	if (!skb || !p)
		return TC_ACT_SHOT;
	int what = oversize_fit(skb, p, mtu, overhead);

	return what == OVERSIZE_FITS ? 0 : oversize_refuse(skb, p, mtu - overhead, what);
}

#endif
