/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which service a packet is for: by its mark, by address and port, by address alone. Tier: new connection. */
#ifndef PIRANHA_SERVICE_H
#define PIRANHA_SERVICE_H

#include "ftp_port.h"
#include "maps.h"
#include "packet.h"

static __always_inline struct service *service_of_key(const struct service_key *key)
{
	__u32 *id = bpf_map_lookup_elem(&service_ids, key);
	struct service *service = id ? bpf_map_lookup_elem(&services, id) : NULL;

	return service && service->flags & SERVICE_PRESENT ? service : NULL;
}

struct mark_search {
	const struct packet *packet;
	__u32 mark;
};

static __always_inline int mark_rule_matches(const struct mark_rule *r, const struct packet *p)
{
	__u16 port = bpf_ntohs(p->dport);

	return (!r->proto || r->proto == p->proto) && port >= r->first_port && port <= r->last_port &&
	       (p->daddr.d[0] & r->mask.d[0]) == r->addr.d[0] && (p->daddr.d[1] & r->mask.d[1]) == r->addr.d[1];
}

static long mark_visit(__u32 i, struct mark_search *search)
{
	struct mark_rule *r = bpf_map_lookup_elem(&mark_rules, &i);

	if (!r || !mark_rule_matches(r, search->packet))
		return 0;
	search->mark = r->mark;
	return 1;
}

/* The mark of a packet: the socket buffer's own (set by somebody's nftables before us) or that of the first rule. */
static __noinline __u32 mark_of(const struct settings *s, const struct packet *p)
{
	struct mark_search search = {.packet = p, .mark = p->mark};

	if (!search.mark && s->mark_rules)
		bpf_loop(s->mark_rules < MARK_RULES ? s->mark_rules : MARK_RULES, mark_visit, &search, 0);
	return search.mark;
}

/* `key` is room to work in; its mark says whether the service was found by one. */
static __always_inline struct service *service_find(const struct settings *s, const struct packet *p,
						    struct service_key *key)
{
	struct service *service;

	__builtin_memset(key, 0, sizeof(*key));
	if (s->flags & SETTING_MARKS)
		key->mark = mark_of(s, p);
	if (key->mark) {
		if (!p->v6)
			addr_set_v4(&key->addr, 0);
		service = service_of_key(key);
		if (service)
			return service;
		key->mark = 0;
	}
	key->addr = p->daddr;
	key->port = p->dport;
	key->proto = p->proto;
	service = service_of_key(key);
	if (service)
		return service;
	/* FTP's data connections, where they were not announced to us: those of a persistent client. */
	if (p->proto == IPPROTO_TCP && s->flags & SETTING_FTP &&
	    (p->dport == bpf_htons(FTP_DATA_PORT) || bpf_ntohs(p->dport) >= FIRST_FREE_PORT)) {
		key->port = bpf_htons(FTP_PORT);
		service = service_of_key(key);
		if (service)
			return service;
	}
	key->port = 0;
	return service_of_key(key);
}

#endif
