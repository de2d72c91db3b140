/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments, which are not put together here: the first, which has the ports, is balanced as any packet and remembered;
 * the later ones go where it went, changed as it was but for the ports. One that comes before its first, or long after
 * it, goes to the stack. Tier: slow; TC only, XDP hands fragments on.
 */
#ifndef PIRANHA_FRAGMENT_H
#define PIRANHA_FRAGMENT_H

#include <linux/pkt_cls.h>

#include "conn.h"
#include "filter.h"
#include "forward.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"
#include "route.h"
#include "workbench.h"

#define FRAGMENT_LIFE_S 30  /* as long as Linux waits for the rest */
#define FRAGMENT_PULL	256 /* headers are within this much of the frame */

/* Destination options and routing headers may follow the fragment header of a first fragment. */
static __always_inline int fragment_skip_extensions(struct __sk_buff *skb, struct packet *p)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		__u8 header[2];

		if (p->proto != NEXTHDR_DEST && p->proto != NEXTHDR_ROUTING)
			return 0;
		if (bpf_skb_load_bytes(skb, p->l4 & L4_OFFSET_MASK, header, sizeof(header)))
			return -1;
		p->proto = header[0];
		p->l4 += 8 + header[1] * 8;
		if (p->l4 > L4_OFFSET_MASK - 64)
			return -1;
	}
	return -1;
}

/*
 * Read what packet_parse left unread of a fragment, and its key into the workbench. PARSED: a first fragment, or all of
 * the packet in one; FRAGMENT: a later one; or as packet_parse.
 */
__noinline int fragment_open(struct __sk_buff *skb, struct packet *p)
{
	struct workbench *w = workbench_get();
	struct settings *s = settings_get();
	__u32 place, more, to_vip, from_rs;

	if (!skb || !p || !w || !s || !packet_concerns(s, p, &to_vip, &from_rs))
		return NOT_OURS;
	if (bpf_skb_pull_data(skb, skb->len < FRAGMENT_PULL ? skb->len : FRAGMENT_PULL))
		return MALFORMED;
	struct fragment_key *key = &w->fragment;

	p->flags |= PACKET_FRAGMENT;
	__builtin_memset(key, 0, sizeof(*key));
	key->saddr = p->saddr;
	key->daddr = p->daddr;
	if (p->v6) {
		struct fragment_header h;
		__u32 at = p->l4 & L4_OFFSET_MASK;

		if (p->length < at - L3_OFFSET + sizeof(h) || bpf_skb_load_bytes(skb, at, &h, sizeof(h)))
			return MALFORMED;
		place = bpf_ntohs(h.place) & ~7u;
		more = h.place & bpf_htons(1);
		key->id = h.id;
		p->proto = h.next;
		p->l4 = at + sizeof(h);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, L3_OFFSET, &ip, sizeof(ip)))
			return MALFORMED;
		place = (bpf_ntohs(ip.frag_off) & 0x1fff) * 8;
		more = 1;
		key->id = ip.id;
		key->proto = p->proto;
	}
	if (place) {
		/* Nobody cuts a TCP header in two but to hide it from filters (RFC 3128). */
		if (p->proto == IPPROTO_TCP && place < sizeof(struct tcphdr))
			return MALFORMED;
		p->flags |= PACKET_LATER;
		return p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6 ? NOT_OURS : FRAGMENT;
	}
	if (p->v6 && (fragment_skip_extensions(skb, p) || p->length < p->l4 - L3_OFFSET))
		return MALFORMED;
	if (!more)
		p->flags &= ~PACKET_FRAGMENT;
	void *data = packet_data(skb, HOOK_TC), *end = packet_end(skb, HOOK_TC);
	int parsed = packet_parse_transport(p, data, end);

	if (parsed == PARSED_UNFINISHED)
		return PARSED;
	return parsed == TRUNCATED ? MALFORMED : parsed == PARSED_ICMP ? NOT_OURS : parsed;
}

/* The first fragment `p` was balanced: keep where it went for the rest. */
__noinline int fragment_remember(struct packet *p)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	__u32 now = now_jiffies(), slot;
	struct flow f;

	if (!p || !s || !w || !(p->flags & PACKET_FRAGMENT))
		return 0;
	struct fragment *m = &w->remembered;
	m->side = SIDE_DESTINATION;
	flow_client(&f, s, p);
	struct conn *c = conn_find(&f, p, &slot);
	if (!c && conn_matches(&w->one_packet, p))
		c = &w->one_packet;
	else if (!c || conn_expired(c, now)) {
		m->side = SIDE_SOURCE;
		c = s->flags & SETTING_MASQ ? conn_find_reply(s, p, &slot) : NULL;
		if (!c || conn_expired(c, now))
			return 0;
	}
	m->vaddr = c->vaddr;
	m->dest = c->dest;
	m->method = LIFE_FLAGS(c->life) & CONN_METHOD;
	m->expires = now + s->hz * FRAGMENT_LIFE_S;
	return bpf_map_update_elem(&fragments, &w->fragment, m, BPF_ANY);
}

/* Replace an address of a packet whose ports are elsewhere; the checksum over both was set right in the first one. */
static __always_inline int fragment_rewrite(struct __sk_buff *skb, const struct packet *p, const int side,
					    const union addr *addr)
{
	__u64 diff = csum_diff_addr(side ? &p->daddr : &p->saddr, addr);

	if (p->v6) {
		bpf_csum_update(skb, csum_fold(diff)); /* refused where the device gave no sum: as it should be */
		return bpf_skb_store_bytes(skb, L3_OFFSET + (side ? 24 : 8), addr, 16, 0);
	}
	if (bpf_l3_csum_replace(skb, L3_OFFSET + 10, 0, csum_fold(diff), 0))
		return -1;
	return bpf_skb_store_bytes(skb, L3_OFFSET + (side ? 16 : 12), &addr->w[3], 4, 0);
}

/* Nothing is told to the sender of a later fragment: it was told about the first. */
static __always_inline int fragment_to_server(struct __sk_buff *skb, const struct settings *s, struct packet *p,
					      const struct fragment *m, struct dest *d)
{
	__u32 hop = d->nexthop, local = d->flags & DEST_LOCAL;
	__u32 overhead = m->method == METHOD_TUNNEL ? tunnel_overhead(d) : 0;
	struct nexthop *nh = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
	__u32 mtu = nh ? nexthop_mtu(s, nh, now_jiffies()) : 0;

	if (!(d->flags & DEST_PRESENT))
		return verdict_drop(HOOK_TC, REASON_DESTINATION_REMOVED);
	if (!local) {
		if (p->ttl <= 1)
			return verdict_drop(HOOK_TC, REASON_TTL_EXPIRED);
		if (too_big(p, overhead, mtu) && oversize(skb, p, mtu, overhead))
			return TC_ACT_SHOT;
		if (m->method == METHOD_TUNNEL && !nh)
			return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	}
	stats_in(m->dest, p->length);
	if (!local && hop_limit_decrement(skb, HOOK_TC, p))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	if (m->method == METHOD_MASQ && fragment_rewrite(skb, p, SIDE_DESTINATION, &d->addr))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	if (local)
		return TC_ACT_UNSPEC;
	if (m->method == METHOD_TUNNEL && nh) {
		int failed = tunnel_wrap(skb, HOOK_TC, s, p, d, &nh->source);

		if (failed)
			return verdict_drop(HOOK_TC, failed);
	}
	if (nh && p->flags & PACKET_CUT)
		return transmit_cut(skb, nh->flags, nh->ifindex, nh->dmac, nh->smac);
	return transmit_to_server(skb, HOOK_TC, p, d, nh);
}

static __always_inline int fragment_to_client(struct __sk_buff *skb, struct packet *p, const struct fragment *m)
{
	struct route r;
	int found = route_lookup(skb, &r, &m->vaddr, &p->daddr, skb->ifindex);

	if (found < 0)
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	if (p->ttl <= 1)
		return verdict_drop(HOOK_TC, REASON_TTL_EXPIRED);
	if (too_big(p, 0, r.mtu) && oversize(skb, p, r.mtu, 0))
		return TC_ACT_SHOT;
	stats_out(m->dest, p->length);
	if (hop_limit_decrement(skb, HOOK_TC, p) || fragment_rewrite(skb, p, SIDE_SOURCE, &m->vaddr))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	if (p->flags & PACKET_CUT)
		return transmit_cut(skb, r.flags, r.ifindex, r.dmac, r.smac);
	if (found)
		return transmit_neighbour(r.ifindex, &r.gateway);
	return transmit_frame(skb, HOOK_TC, r.ifindex, r.dmac, r.smac);
}

/* The memory of a later fragment's first; NULL when there is none (any more). */
static __always_inline struct fragment *fragment_find(void)
{
	struct workbench *w = workbench_get();
	struct fragment *m = w ? bpf_map_lookup_elem(&fragments, &w->fragment) : NULL;

	return m && (__s32)(m->expires - now_jiffies()) > 0 ? m : NULL;
}

/* A later fragment, opened before: after its first. */
__noinline int fragment_follow(struct __sk_buff *skb, struct packet *p)
{
	struct fragment *m = fragment_find();
	struct settings *s = settings_get();

	if (!skb || !p || !s || skb->pkt_type) /* 0 is PACKET_HOST */
		return TC_ACT_UNSPEC;
	if (!m) {
		reason_count(REASON_FRAGMENT);
		return TC_ACT_UNSPEC;
	}
	struct dest *d = bpf_map_lookup_elem(&dests, &m->dest);

	if (!d)
		return verdict_drop(HOOK_TC, REASON_DESTINATION_REMOVED);
	return m->side == SIDE_SOURCE ? fragment_to_client(skb, p, m) : fragment_to_server(skb, s, p, m, d);
}

/* A later fragment of the local node's reply, on its way out. */
static __always_inline int fragment_follow_out(struct __sk_buff *skb, const struct packet *p)
{
	struct fragment *m = fragment_find();

	if (!m || m->side != SIDE_SOURCE)
		return TC_ACT_UNSPEC;
	stats_out(m->dest, p->length);
	if (fragment_rewrite(skb, p, SIDE_SOURCE, &m->vaddr))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	return TC_ACT_UNSPEC;
}

#endif
