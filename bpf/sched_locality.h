/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What lblc and lblcr share: which servers a destination address was given before. Tier: new connection.
 *
 * The cursor of such a service's region is a random number that the first packet draws and every later region carries
 * on; it is part of a cache's key. So a service that changes its scheduler, or is deleted and made again, starts
 * afresh.
 */
#ifndef PIRANHA_SCHED_LOCALITY_H
#define PIRANHA_SCHED_LOCALITY_H

#include "sched.h"

#define LOCALITY_DAY_S 86400

struct locality_key {
	union addr daddr;
	__u32 service;
	__u32 life;
};

/* A server in a cache. The index may have passed to another server since: `mark` tells. */
struct locality_member {
	__u32 dest; /* index into `dests`; 0 is free */
	__u32 mark;
};

/* Settings with IPVS's names; 0 is its default, a day. And what the bounded tables could not hold. */
struct locality {
	__u32 lblc_expiration;	/* seconds */
	__u32 lblcr_expiration; /* seconds */
	__u64 full_cache;	/* addresses not remembered */
	__u64 full_set;		/* servers not added to an address's set */
};

MMAPPED_ARRAY(locality, 1, struct locality);

static __always_inline struct locality *locality_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&locality, &zero);
}

static __always_inline void locality_full_cache(void)
{
	struct locality *l = locality_get();

	if (l)
		__sync_fetch_and_add(&l->full_cache, 1);
}

static __always_inline void locality_full_set(void)
{
	struct locality *l = locality_get();

	if (l)
		__sync_fetch_and_add(&l->full_set, 1);
}

static __always_inline __u64 locality_ticks(__u32 seconds)
{
	struct settings *s = settings_get();

	return s ? (__u64)(seconds ? seconds : LOCALITY_DAY_S) * s->hz : 0;
}

/* Make the key of the packet's destination address. 0, or -1 when the service has no region. */
static __always_inline int locality_key_set(struct locality_key *key, const struct sched_input *in,
					    const struct packet *packet)
{
	__u32 *life = slot_word(in->cursor);

	if (!life)
		return -1;
	if (!*life)
		__sync_val_compare_and_swap(life, 0, bpf_get_prandom_u32() | 1);
	key->daddr = packet->daddr;
	key->service = in->service;
	key->life = *life;
	return 0;
}

static __always_inline __u32 dest_mark(const struct dest *d)
{
	const union addr *a = &d->addr;

	return (a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3]) * 31 + d->port;
}

/* The server of a cache's entry while it is in its service's table, else NULL. */
static __always_inline struct dest *member_dest(const struct locality_member *m, __u32 service)
{
	__u32 index = m->dest;
	struct dest *d = bpf_map_lookup_elem(&dests, &index);

	if (!index || !d || d->service != service || dest_mark(d) != m->mark || !(d->flags & DEST_PRESENT))
		return NULL;
	return d;
}

/* IPVS's rule: more active connections than its weight, while another has fewer than half of its own. */
struct idle_search {
	__u32 first;
	__u32 found;
};

static long sched_idle_visit(__u32 i, struct idle_search *s)
{
	__u32 index;
	struct dest *d = slot_dest(s->first + i, &index);

	s->found = d && d->flags & DEST_PRESENT && d->weight > 0 && (__u64)d->active * 2 < (__u64)d->weight;
	return s->found;
}

static __always_inline int dest_overburdened(const struct sched_input *in, const struct dest *d)
{
	struct idle_search s = {.first = in->first};

	if ((__s64)d->active <= d->weight)
		return 0;
	bpf_loop(sched_length(in), sched_idle_visit, &s, 0);
	return s.found;
}

#endif
