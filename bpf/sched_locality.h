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
	__u64 h = d->addr.d[0] * 0x9e3779b97f4a7c15ull + d->addr.d[1] * 0xc2b2ae3d27d4eb4full +
		  d->port * 0x165667b19e3779f9ull;

	return h >> 32;
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

struct member_search {
	__u32 first;
	__u32 mark;
	__u32 found;
};

static long sched_member_visit(__u32 i, struct member_search *s)
{
	__u32 index;
	struct dest *d = slot_dest(s->first + i, &index);

	if (!d || !(d->flags & DEST_PRESENT) || dest_mark(d) != s->mark)
		return 0;
	s->found = index;
	return 1;
}

/*
 * The server of a cache's entry that was removed, and came back after its record had passed to others: IPVS's entries
 * hold on to the server itself. Mends the entry and returns 1 when it is there.
 */
static __always_inline int member_returned(const struct sched_input *in, struct locality_member *m)
{
	struct member_search s = {.first = in->first, .mark = m->mark};

	bpf_loop(sched_length(in), sched_member_visit, &s, 0);
	if (s.found)
		m->dest = s.found;
	return s.found != 0;
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
