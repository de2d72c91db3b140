/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a decision to the wire: masquerading, direct routing, tunnelling, local node. Tier: established. */
#ifndef PIRANHA_FORWARD_H
#define PIRANHA_FORWARD_H

#include <linux/pkt_cls.h>

#include "conn.h"
#include "cut.h"
#include "ftp.h"
#include "icmp.h"
#include "maps.h"
#include "oversize.h"
#include "packet.h"
#include "rewrite.h"
#include "route.h"
#include "segment.h"
#include "tunnel.h"
#include "workbench.h"

/* What is said of a packet by those who find it none of theirs; no hook has this verdict. */
#define NO_MATCH -100

/* Verdicts that both hooks have. In TC, "not ours" lets other programs of the interface have their turn. */
static __always_inline int verdict_pass(const int hook)
{
	return hook == HOOK_XDP ? XDP_PASS : TC_ACT_UNSPEC;
}

static __always_inline int verdict_drop(const int hook, __u32 reason)
{
	reason_count(reason);
	return hook == HOOK_XDP ? XDP_DROP : TC_ACT_SHOT;
}

/* XDP leaves the packet as it is; the TC program, which sees it next, does what XDP cannot. */
static __always_inline int verdict_hand_on(void)
{
	reason_count(REASON_XDP_HANDED_ON);
	return XDP_PASS;
}

static __always_inline void stats_in(__u32 dest, __u32 bytes)
{
	struct dest_stats *d = bpf_map_lookup_elem(&dest_stats, &dest);

	if (d) {
		d->in_packets++;
		d->in_bytes += bytes;
	}
}

static __always_inline void stats_out(__u32 dest, __u32 bytes)
{
	struct dest_stats *d = bpf_map_lookup_elem(&dest_stats, &dest);

	if (d) {
		d->out_packets++;
		d->out_bytes += bytes;
	}
}

static __always_inline int transmit_neighbour(__u32 ifindex, const union addr *gateway)
{
	struct bpf_redir_neigh n = {};

	if (addr_is_v4(gateway)) {
		n.nh_family = AF_INET;
		n.ipv4_nh = gateway->w[3];
	} else {
		n.nh_family = AF_INET6;
		__builtin_memcpy(n.ipv6_nh, gateway, 16);
	}
	return bpf_redirect_neigh(ifindex, &n, sizeof(n), 0);
}

static __always_inline int transmit_frame(void *ctx, const int hook, __u32 ifindex, const __u8 *dmac, const __u8 *smac)
{
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return verdict_drop(hook, REASON_REWRITE_FAILED);
	__builtin_memcpy(eth->h_dest, dmac, 6);
	__builtin_memcpy(eth->h_source, smac, 6);
	return bpf_redirect(ifindex, 0);
}

/* In fragments, to a neighbour that is known: who asks for one has room for a packet, not for many. */
static __noinline int transmit_cut(struct __sk_buff *skb, __u32 flags, __u32 ifindex, const __u8 *dmac,
				   const __u8 *smac)
{
	if (!(flags & NEXTHOP_READY))
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	cut_address(dmac, smac);
	return cut_send(skb, ifindex);
}

/* Is it longer than its way? Of a super-packet that says nothing yet. */
static __always_inline int too_big(const struct packet *p, __u32 overhead, __u32 mtu)
{
	return mtu && p->length + overhead > mtu;
}

static __always_inline int refuse_expired(void *ctx, struct packet *p)
{
	reason_count(REASON_TTL_EXPIRED);
	return icmp_send(ctx, p, ICMP_ERR_TTL, 0);
}

/* Tier: slow; TC only. Towards `d` by the kernel's routing table. */
__noinline int transmit_routed(struct __sk_buff *skb, struct packet *p, struct dest *d)
{
	struct route r;

	if (!p || !d)
		return TC_ACT_SHOT;
	const union addr *to = d->method == METHOD_BYPASS ? &p->daddr : &d->addr;
	if (route_lookup(skb, &r, &p->saddr, to, skb->ifindex) < 0)
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	return transmit_neighbour(r.ifindex, &r.gateway);
}

/* Towards destination `d`, whose next hop TC resolves itself when user space has not done so yet. */
static __always_inline int transmit_to_server(void *ctx, const int hook, struct packet *p, struct dest *d,
					      const struct nexthop *nh)
{
	if (hook == HOOK_XDP)
		return nh ? transmit_frame(ctx, hook, nh->ifindex, nh->dmac, nh->smac) : XDP_DROP;
	if (nh)
		return transmit_neighbour(nh->ifindex, &nh->gateway);
	return transmit_routed(ctx, p, d);
}

/* Tier: slow; TC only. A client's packet of a bypassed connection, on to where it was going. */
__noinline int forward_bypass(struct __sk_buff *skb, struct packet *p, struct conn *c)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();

	if (!s || !p || !c || !w)
		return TC_ACT_SHOT;
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
	struct route *r = &w->route;
	if (!d || route_lookup(skb, r, &p->saddr, &p->daddr, skb->ifindex) < 0)
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	int what = too_big(p, 0, r->mtu) ? oversize_fit(skb, p, r->mtu, 0) : OVERSIZE_FITS;
	if (what)
		return oversize_refuse(skb, p, r->mtu, what); /* from here, where there is stack for it */
	conn_touch(skb, HOOK_TC, s, c, d, p, VIEW_CLIENT, now_jiffies());
	if (hop_limit_decrement(skb, HOOK_TC, p))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	if (p->flags & PACKET_CUT)
		return transmit_cut(skb, r->flags, r->ifindex, r->dmac, r->smac);
	return transmit_routed(skb, p, d);
}

/* A client's packet of connection `c`, in `slot`, to its destination `d`. */
static __always_inline int forward_to_server(void *ctx, const int hook, const struct settings *s, struct packet *p,
					     struct conn *c, __u32 slot, struct dest *d, __u32 now)
{
	__u32 method = LIFE_FLAGS(c->life) & CONN_METHOD, ftp = LIFE_FLAGS(c->life) & CONN_FTP;
	__u32 dest = c->dest, hop = d->nexthop, local = d->flags & DEST_LOCAL;
	enum view view = method == METHOD_MASQ ? VIEW_CLIENT : VIEW_ONE_WAY;
	struct nexthop *nh = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
	__u32 overhead = 0;

	if (method == METHOD_TUNNEL) {
		overhead = tunnel_overhead(d);
		if (!tunnel_possible(ctx, hook, p, d))
			return verdict_hand_on();
	}
	if (hook == HOOK_XDP && (ftp || local || !nh || !(nh->flags & NEXTHOP_XDP) || p->ttl <= 1 ||
				 too_big(p, overhead, nexthop_mtu(s, nh, now))))
		return verdict_hand_on();
	if (!local) {
		if (hook == HOOK_TC && p->ttl <= 1)
			return refuse_expired(ctx, p);
		if (hook == HOOK_TC && nh && too_big(p, overhead, nexthop_mtu(s, nh, now))) {
			int refused = oversize(ctx, p, nexthop_mtu(s, nh, now), overhead);

			if (refused)
				return refused;
		}
		if (hook == HOOK_TC && !nh && method == METHOD_BYPASS)
			return forward_bypass(ctx, p, c);
		if (method == METHOD_TUNNEL && !nh)
			return verdict_drop(hook, REASON_NO_ROUTE);
	}
	if (conn_touch(ctx, hook, s, c, d, p, view, now) && c->control)
		template_assure(c->control);
	stats_in(dest, p->length);
	if (hook == HOOK_TC && ftp) {
		int failed = ftp_open(ftp_from_client(ctx, p, slot));

		if (failed < 0)
			return verdict_drop(hook, -failed);
	}
	if (local && method != METHOD_MASQ)
		return verdict_pass(hook);
	if (!local && hop_limit_decrement(ctx, hook, p))
		return verdict_drop(hook, REASON_REWRITE_FAILED);
	if (method == METHOD_MASQ) {
		if (rewrite(ctx, hook, p, SIDE_DESTINATION, &d->addr, conn_dport(c, d)))
			return verdict_drop(hook, REASON_REWRITE_FAILED);
		if (local)
			return verdict_pass(hook);
	} else if (method == METHOD_TUNNEL && nh) {
		int failed = tunnel_wrap(ctx, hook, s, p, d, &nh->source);

		if (hook == HOOK_TC && failed == REASON_UNSUPPORTED)
			return segments_send(ctx, p, d, nh);
		if (failed)
			return verdict_drop(hook, failed);
	}
	if (hook == HOOK_TC && nh && p->flags & PACKET_CUT)
		return transmit_cut(ctx, nh->flags, nh->ifindex, nh->dmac, nh->smac);
	return transmit_to_server(ctx, hook, p, d, nh);
}

/* A server's packet of connection `c`, in `slot`, back to the client. */
static __always_inline int forward_to_client(void *ctx, const int hook, const struct settings *s, struct packet *p,
					     struct conn *c, __u32 slot, struct dest *d, __u32 now)
{
	struct route r;
	int found = route_to_client(ctx, s, c, &r, packet_ifindex(ctx, hook), now);
	__u32 dest = c->dest, ftp = LIFE_FLAGS(c->life) & CONN_FTP;

	if (hook == HOOK_XDP && (ftp || found || !(r.flags & NEXTHOP_XDP) || p->ttl <= 1 || too_big(p, 0, r.mtu)))
		return verdict_hand_on();
	if (found < 0)
		return verdict_drop(hook, REASON_NO_ROUTE);
	if (hook == HOOK_TC) {
		if (p->ttl <= 1)
			return refuse_expired(ctx, p);
		if (too_big(p, 0, r.mtu)) {
			int refused = oversize(ctx, p, r.mtu, 0);

			if (refused)
				return refused;
		}
	}
	if (conn_touch(ctx, hook, s, c, d, p, VIEW_SERVER, now) && c->control)
		template_assure(c->control);
	if (hook == HOOK_TC && ftp) {
		int failed = ftp_open(ftp_from_server(ctx, p, slot));

		if (failed < 0)
			return verdict_drop(hook, -failed);
	}
	stats_out(dest, p->length);
	if (hop_limit_decrement(ctx, hook, p) || rewrite(ctx, hook, p, SIDE_SOURCE, &c->vaddr, c->vport))
		return verdict_drop(hook, REASON_REWRITE_FAILED);
	if (hook == HOOK_TC && p->flags & PACKET_CUT)
		return transmit_cut(ctx, r.flags, r.ifindex, r.dmac, r.smac);
	if (found)
		return transmit_neighbour(r.ifindex, &r.gateway);
	return transmit_frame(ctx, hook, r.ifindex, r.dmac, r.smac);
}

#endif
