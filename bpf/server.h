/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A masqueraded real server that speaks by itself: a packet from its address and port, of no connection. Tier: slow. */
#ifndef PIRANHA_SERVER_H
#define PIRANHA_SERVER_H

#include "forward.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "sip.h"
#include "workbench.h"

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

/*
 * Calls that a server begins: `p` makes a connection of the service as the client's answer to it would, but with this
 * server. Prepares `outgoing` for connection_new; negative: `p` begins none. TC only.
 */
__noinline int server_calls(struct __sk_buff *skb, struct packet *p)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	__u32 index = p ? server_find(p) : 0;
	struct dest *d = bpf_map_lookup_elem(&dests, &index);

	if (!p || !s || !w || !d || !index)
		return -1;
	struct service *service = bpf_map_lookup_elem(&services, &d->service);
	if (!service || !(service->flags & SERVICE_PRESENT) || !(service->flags & SERVICE_SIP) || service->key.mark ||
	    !service->key.port || route_lookup(skb, &w->route, &p->saddr, &p->daddr, skb->ifindex) < 0)
		return -1;
	if (service->flags & SERVICE_PERSISTENT && !call_is_known())
		return -1;
	struct packet *o = &w->outgoing;
	__u32 slot;

	__builtin_memset(o, 0, sizeof(*o));
	o->saddr = p->daddr;
	o->daddr = service->key.addr;
	o->sport = p->dport;
	o->dport = service->key.port;
	o->proto = p->proto;
	o->v6 = p->v6;
	flow_client(&w->outgoing_flow, s, o);
	/* The client has one connection of these ports: it is that of the server who spoke last. */
	if (conn_find(&w->outgoing_flow, o, &slot))
		conn_end(&w->outgoing_flow, slot);
	w->wanted = index;
	return 0;
}

/* A server's packet of no connection. NO_MATCH: it concerns nobody. */
static __always_inline int server_stray(void *ctx, const int hook, const struct settings *s, struct packet *p)
{
	int tell = s->rules & RULE_NAT_ICMP_SEND && !packet_ends(p);

	if (hook == HOOK_TC)
		return tell ? server_tell(ctx, p) : NO_MATCH;
	return (tell || (s->flags & SETTING_CALLS && p->proto == IPPROTO_UDP)) && server_find(p) ? verdict_hand_on()
												 : NO_MATCH;
}

#endif
