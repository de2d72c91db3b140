/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A masqueraded real server that speaks by itself: a packet from its address and port, of no connection. Tier: slow. */
#ifndef PIRANHA_SERVER_H
#define PIRANHA_SERVER_H

#include "forward.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"

/* The destination that `p` comes from, by address, port and protocol; 0 when it is none that is masqueraded. */
__noinline int server_find(struct packet *p)
{
	struct server_key key = {};

	if (!p)
		return 0;
	key.addr = p->saddr;
	key.port = p->sport;
	key.proto = p->proto;
	__u32 *index = bpf_map_lookup_elem(&servers, &key);

	if (!index) {
		key.proto = 0;
		index = bpf_map_lookup_elem(&servers, &key);
	}
	return index ? *index : 0;
}

/* Is it the end of something? Nobody answers that. */
static __always_inline int packet_ends(const struct packet *p)
{
	return p->proto == IPPROTO_TCP ? p->tcp_flags & TCP_RST : p->proto == IPPROTO_SCTP && p->chunk == SCTP_ABORT;
}

/* nat_icmp_send: the server is told that nobody waits for what it sent. NO_MATCH: it is not one of ours. TC only. */
__noinline int server_tell(struct __sk_buff *skb, struct packet *p)
{
	__u32 index = server_find(p);
	struct dest *d = bpf_map_lookup_elem(&dests, &index);

	if (!p || !d || !index)
		return NO_MATCH;
	__u32 hop = d->nexthop;
	struct nexthop *nh = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
	if (!nh)
		return NO_MATCH;
	reason_count(REASON_NO_CONNECTION);
	p->daddr = nh->source; /* the error comes from us, not from whom the server wrote to */
	return icmp_send(skb, p, ICMP_ERR_PORT, 0);
}

/* A server's packet of no connection. NO_MATCH: it concerns nobody. */
static __always_inline int server_stray(void *ctx, const int hook, const struct settings *s, struct packet *p)
{
	if (!(s->rules & RULE_NAT_ICMP_SEND) || packet_ends(p))
		return NO_MATCH;
	if (hook == HOOK_TC)
		return server_tell(ctx, p);
	return server_find(p) ? verdict_hand_on() : NO_MATCH;
}

#endif
