/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Persistence: a template binds a client (or its network) to a destination; connections follow it. Tier: new
 * connection.
 *
 * A template is an entry of the connection table with client port 0. Its key is (protocol, client network, VIP, port);
 * for a service of all ports and for FTP's the port is 0, for one of a firewall mark protocol and port are 0 and the
 * VIP is the mark, so that all ports and all VIPs of the mark go to one server.
 */
#ifndef PIRANHA_PERSIST_H
#define PIRANHA_PERSIST_H

#include "conn.h"
#include "service.h"

/* `mask` is that of struct service. */
static __always_inline void addr_mask(union addr *a, __u32 mask, int v6)
{
	if (!v6) {
		a->w[3] &= mask;
		return;
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		__u32 bits = mask > 32u * i ? mask - 32u * i : 0;

		if (bits < 32)
			a->w[i] &= bits ? bpf_htonl(~0u << (32 - bits)) : 0;
	}
}

static __always_inline void template_key(struct packet *t, const struct packet *p, const struct service *service,
					 __u32 mark)
{
	__builtin_memset(t, 0, sizeof(*t));
	t->saddr = p->saddr;
	addr_mask(&t->saddr, service->mask, p->v6);
	t->v6 = p->v6;
	if (mark) {
		addr_set_v4(&t->daddr, bpf_htonl(mark));
		if (p->v6)
			t->daddr.d[1] = (__u64)bpf_htonl(mark) << 32;
		return;
	}
	t->daddr = p->daddr;
	t->proto = p->proto;
	/* FTP's data connections have other ports than its control connection, and follow it. */
	t->dport = service->key.port == bpf_htons(FTP_PORT) ? 0 : service->key.port;
}

static __always_inline int template_valid(const struct settings *s, const struct conn *t, __u32 now)
{
	if (conn_expired(t, now))
		return 0;
	struct dest *d = bpf_map_lookup_elem(&dests, &t->dest);

	if (!d || !(d->flags & DEST_PRESENT))
		return 0;
	return d->weight > 0 || !(s->rules & RULE_EXPIRE_QUIESCENT_TEMPLATE);
}

/* A template that binds no more: nobody finds it under its key, and it goes when its last connection has gone. */
static __always_inline void template_retire(struct conn *t, const struct flow *f, __u32 slot)
{
	if (conn_end(f, slot))
		return;
	t->vport = 0xffff; /* as IPVS marks it */
	t->life |= LIFE(0, 0, CONN_RETIRED);
	conn_hide(f, slot);
}

#endif
