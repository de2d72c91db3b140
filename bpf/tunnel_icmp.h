/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP errors from inside a tunnel: a router on the way to the server, or the server, quotes our outer packet. The
 * client is told instead, about its own packet, as IPVS does (Linux ip_vs_in_icmp): what does not fit is what does not
 * fit with the tunnel's headers. Families may differ. Tier: slow; TC only.
 */
#ifndef PIRANHA_TUNNEL_ICMP_H
#define PIRANHA_TUNNEL_ICMP_H

#include <linux/pkt_cls.h>

#include "conn.h"
#include "csum.h"
#include "forward.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "route.h"
#include "tunnel.h"
#include "workbench.h"

#define TUNNEL_QUOTE 128 /* most bytes of the client's packet that it is shown */
#define IPV4_MIN_MTU 68

/* What a quoted outer packet says. */
struct tunnel_quoted {
	union addr server;
	__u32 ip;    /* offset of the client's IP header */
	__be16 port; /* of GUE */
	__u8 type;   /* enum tunnel */
	__u8 inner;  /* IPPROTO_IPIP or IPPROTO_IPV6 */
};

/* The outer IP header. Its protocol, or negative: none of ours. */
static __always_inline int tunnel_quote_outer(struct __sk_buff *skb, const struct packet *p, struct tunnel_quoted *q)
{
	q->ip = (p->l4 & L4_OFFSET_MASK) + ICMP_HEADER;
	if (p->v6) {
		struct ipv6hdr ip;
		union addr source;

		if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)))
			return -1;
		__builtin_memcpy(&source, &ip.saddr, 16);
		__builtin_memcpy(&q->server, &ip.daddr, 16);
		q->ip += sizeof(ip);
		return addr_equal(&source, &p->daddr) ? ip.nexthdr : -1;
	}
	struct iphdr ip;

	if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || ip.frag_off & bpf_htons(0x1fff))
		return -1;
	addr_set_v4(&q->server, ip.daddr);
	q->ip += (*(__u8 *)&ip & 0xf) * 4;
	return ip.saddr == p->daddr.w[3] ? ip.protocol : -1;
}

/* What stands between the headers. Negative: it is no tunnel as we make them. */
static __always_inline int tunnel_quote_shim(struct __sk_buff *skb, int proto, struct tunnel_quoted *q)
{
	__be32 shim[SHIM_WORDS];

	q->port = 0;
	q->inner = proto;
	q->type = TUNNEL_IPIP;
	if (proto == IPPROTO_IPIP || proto == IPPROTO_IPV6)
		return 0;
	if (proto == IPPROTO_GRE) {
		if (bpf_skb_load_bytes(skb, q->ip, shim, 4))
			return -1;
		__u32 word = bpf_ntohl(shim[0]), type = word & 0xffff;

		if (word >> 16 & ~GRE_CSUM || (type != ETH_P_IP && type != ETH_P_IPV6))
			return -1;
		q->type = TUNNEL_GRE;
		q->inner = type == ETH_P_IP ? IPPROTO_IPIP : IPPROTO_IPV6;
		q->ip += word >> 16 ? 8 : 4;
		return 0;
	}
	if (proto != IPPROTO_UDP || bpf_skb_load_bytes(skb, q->ip, shim, sizeof(shim)))
		return -1;
	__u32 gue = bpf_ntohl(shim[2]);

	if (gue != IPPROTO_IPIP << 16 && gue != IPPROTO_IPV6 << 16)
		return -1;
	q->type = TUNNEL_GUE;
	q->inner = gue >> 16;
	q->port = bpf_htons(bpf_ntohl(shim[0]) & 0xffff);
	q->ip += sizeof(shim);
	return 0;
}

/* The client's packet, as far as it is quoted. */
static __always_inline int tunnel_quote_inner(struct __sk_buff *skb, const struct tunnel_quoted *q, struct packet *c)
{
	__be16 ports[2];

	__builtin_memset(c, 0, sizeof(*c));
	c->l4 = q->ip;
	if (q->inner == IPPROTO_IPV6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || *(__u8 *)&ip >> 4 != 6)
			return -1;
		c->v6 = 1;
		c->flags = PACKET_DF;
		c->proto = ip.nexthdr;
		__builtin_memcpy(&c->saddr, &ip.saddr, 16);
		__builtin_memcpy(&c->daddr, &ip.daddr, 16);
		c->l4 += sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)) || *(__u8 *)&ip >> 4 != 4 ||
		    ip.frag_off & bpf_htons(0x1fff))
			return -1;
		c->flags = ip.frag_off & bpf_htons(IP_DF) ? PACKET_DF : 0;
		c->proto = ip.protocol;
		addr_set_v4(&c->saddr, ip.saddr);
		addr_set_v4(&c->daddr, ip.daddr);
		c->l4 += (*(__u8 *)&ip & 0xf) * 4;
	}
	if (bpf_skb_load_bytes(skb, c->l4, ports, sizeof(ports)))
		return -1;
	c->sport = ports[0];
	c->dport = ports[1];
	return 0;
}

/* The destination that the quoted packet was sent to, when we sent it. */
static __always_inline struct dest *tunnel_quote_dest(const struct settings *s, const struct tunnel_quoted *q,
						      const struct packet *client, __u32 *index)
{
	struct flow f;
	__u32 slot;

	flow_client(&f, s, client);
	struct conn *c = conn_find(&f, client, &slot);

	if (!c || conn_expired(c, now_jiffies()) || (LIFE_FLAGS(c->life) & CONN_METHOD) != METHOD_TUNNEL)
		return NULL;
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);

	*index = c->dest;
	if (!d || !addr_equal(&d->addr, &q->server) || d->tunnel_type != q->type)
		return NULL;
	return q->type == TUNNEL_GUE && d->tunnel_port != q->port ? NULL : d;
}

/* Codes of "unreachable" in the other family (RFC 7915, sections 4.2 and 5.2, as far as they may come from a tunnel).
 */
static __always_inline __u8 unreachable_code(__u8 code, int to_v6)
{
	if (to_v6)
		return code == ICMP_PORT_UNREACH	       ? ICMPV6_PORT_UNREACH
		       : code == 9 || code == 10 || code == 13 ? 1 /* prohibited */
							       : 3 /* address unreachable */;
	return code == ICMPV6_PORT_UNREACH ? ICMP_PORT_UNREACH : code == 1 ? 13 : 1 /* host unreachable */;
}

static __always_inline __u32 tunnel_inner_mtu(__u32 mtu, const struct dest *d, int v6)
{
	__u32 overhead = tunnel_overhead(d), least = v6 ? IPV6_MIN_MTU : IPV4_MIN_MTU;

	if (mtu > IPV4_MIN_MTU + overhead)
		mtu -= overhead;
	return v6 && mtu < least ? least : mtu;
}

/* The client's error from the tunnel's: type, code and info of `m`. Negative: not one that is translated. */
static __always_inline int tunnel_error(struct __sk_buff *skb, const struct packet *p, const struct packet *client,
					const struct dest *d, struct icmp_head *m)
{
	if (bpf_skb_load_bytes(skb, p->l4 & L4_OFFSET_MASK, m, sizeof(*m)))
		return -1;
	__u32 mtu = p->v6 ? bpf_ntohl(m->info) : bpf_ntohl(m->info) & 0xffff;
	__u8 type = m->type;

	m->check = 0;
	if (p->v6 ? type == ICMPV6_PKT_TOOBIG : type == ICMP_DEST_UNREACH && m->code == ICMP_FRAG_NEEDED) {
		nexthop_learn(d->nexthop, mtu, p->v6, now_jiffies());
		if (!(client->flags & PACKET_DF)) /* it does not look for the size of the way */
			return -1;
		m->type = client->v6 ? ICMPV6_PKT_TOOBIG : ICMP_DEST_UNREACH;
		m->code = client->v6 ? 0 : ICMP_FRAG_NEEDED;
		mtu = tunnel_inner_mtu(mtu, d, client->v6);
		m->info = bpf_htonl(client->v6 || mtu < 0xffff ? mtu : 0xffff);
		return 0;
	}
	m->info = 0;
	if (type == (p->v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH)) {
		m->type = client->v6 ? ICMPV6_DEST_UNREACH : ICMP_DEST_UNREACH;
		if (client->v6 != p->v6)
			m->code = unreachable_code(m->code, client->v6);
		return 0;
	}
	if (type == (p->v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED)) {
		m->type = client->v6 ? ICMPV6_TIME_EXCEED : ICMP_TIME_EXCEEDED;
		return 0;
	}
	return !p->v6 && !client->v6 && type == ICMP_SOURCE_QUENCH ? 0 : -1;
}

/*
 * The message in the workbench's chunk, `quote` bytes of the client's packet behind its head, becomes the packet:
 * from the VIP to the client. The one that came is long enough to hold it, or is made longer.
 */
static __always_inline int tunnel_error_write(struct __sk_buff *skb, struct workbench *w, const struct packet *p,
					      const struct packet *client, __u32 quote)
{
	struct icmp_head *m = (struct icmp_head *)w->chunk;
	__u32 length = ICMP_HEADER + quote;
	__u64 sum = (__u32)bpf_csum_diff(0, 0, w->chunk, ICMP_HEADER + TUNNEL_QUOTE, 0);
	__be16 kind = client->v6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP);
	__u32 header = client->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);

	if (client->v6 != p->v6 && bpf_skb_change_proto(skb, kind, 0))
		return -1;
	if (bpf_skb_change_tail(skb, L3_OFFSET + header + length, 0))
		return -1;
	if (client->v6) {
		struct ipv6hdr ip;

		icmp_header_v6(&ip, &client->daddr, &client->saddr, length);
		sum += icmp_pseudo_v6(&client->daddr, &client->saddr, length);
		if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0))
			return -1;
	} else {
		struct iphdr ip;

		icmp_header_v4(&ip, &client->daddr, &client->saddr, length);
		if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0))
			return -1;
	}
	m->check = ~csum_fold(sum);
	barrier_var(length);
	if (length < ICMP_HEADER || length > ICMP_HEADER + TUNNEL_QUOTE)
		return -1;
	if (bpf_skb_store_bytes(skb, L3_OFFSET + header, w->chunk, length, 0))
		return -1;
	return bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, h_proto), &kind, sizeof(kind), 0);
}

/* NO_MATCH: it is not about a tunnel of ours. */
__noinline int tunnel_icmp(struct __sk_buff *skb, struct packet *p)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	struct tunnel_quoted q = {};
	struct route r;
	__u32 index = 0;

	if (!skb || !p || !s || !w || skb->pkt_type || !icmp_is_error(skb, p)) /* 0 is PACKET_HOST */
		return NO_MATCH;
	int proto = tunnel_quote_outer(skb, p, &q);
	struct packet *client = &w->quoted;

	if (proto < 0 || tunnel_quote_shim(skb, proto, &q) || tunnel_quote_inner(skb, &q, client))
		return NO_MATCH;
	struct dest *d = tunnel_quote_dest(s, &q, client, &index);
	struct icmp_head m;

	if (!d || tunnel_error(skb, p, client, d, &m))
		return NO_MATCH;
	__u32 quoted = skb->len - q.ip;
	if (!icmp_allowed(s, now_jiffies()))
		return verdict_drop(HOOK_TC, REASON_ICMP_LIMITED);
	int found = route_lookup(skb, &r, &client->daddr, &client->saddr, skb->ifindex);
	if (found < 0)
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	__u32 quote = quoted < TUNNEL_QUOTE ? quoted : TUNNEL_QUOTE;
	barrier_var(quote); /* or the compiler knows what the verifier is to be shown */
	if (!quote || quote > TUNNEL_QUOTE)
		return NO_MATCH;
	__builtin_memset(w->chunk, 0, ICMP_HEADER + TUNNEL_QUOTE);
	__builtin_memcpy(w->chunk, &m, sizeof(m));
	if (bpf_skb_load_bytes(skb, q.ip, (void *)w->chunk + ICMP_HEADER, quote) ||
	    tunnel_error_write(skb, w, p, client, quote))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	stats_out(index, quoted);
	reason_count(REASON_ICMP_RELAYED);
	return found ? transmit_neighbour(r.ifindex, &r.gateway)
		     : transmit_frame(skb, HOOK_TC, r.ifindex, r.dmac, r.smac);
}

#endif
