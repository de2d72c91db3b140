/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a scheduler sees, and the ways in which one may choose. Tier: new connection.
 *
 * A scheduler is one file in sched/ (docs/extend/scheduler.md): a number that never changes and one function
 *     SCHEDULER(name, number) { ... return index into `dests`, or NO_DEST; }
 * Its region of `slots` is written by its other half in src/piranha/dataplane/ebpf/schedulers/.
 */
#ifndef PIRANHA_SCHED_H
#define PIRANHA_SCHED_H

#include "maps.h"
#include "packet.h"

#define NO_DEST 0xffffffffu
#define SCHED_MAX 65536 /* most entries of one region */

struct sched_input {
	const struct packet *packet;
	__u32 service; /* index into `services` */
	__u32 flags; /* SCHED_FLAG_* of the service */
	__u32 first; /* first word of the region behind the cursor */
	__u32 length; /* entries in it */
	__u32 cursor; /* word that holds the cursor */
};

/* IPVS's scheduler flags; for sh and mh the first is "fallback", the second "port". */
#define SCHED_FLAG_1 0x08
#define SCHED_FLAG_2 0x10
#define SCHED_FLAG_3 0x20

#define SCHEDULER(name, number)           \
	enum { SCHED_##name = (number) }; \
	static __always_inline __u32 sched_##name(struct sched_input *in)

static __always_inline __u32 *slot_word(__u32 at)
{
	__u32 line = at / SLOT_WORDS;
	struct slot_line *s = bpf_map_lookup_elem(&slots, &line);

	return s ? &s->word[at & (SLOT_WORDS - 1)] : NULL;
}

static __always_inline struct dest *slot_dest(__u32 at, __u32 *index)
{
	__u32 *word = slot_word(at);

	if (!word)
		return NULL;
	*index = *word;
	return bpf_map_lookup_elem(&dests, index);
}

/* May take a new connection: in the table, not quiesced, not over its upper threshold. */
static __always_inline int dest_usable(const struct dest *d)
{
	return d->flags & DEST_PRESENT && !d->overload && d->weight > 0;
}

/* IPVS's load of a destination: an active connection weighs 256 times an inactive one, and counts in the total too. */
static __always_inline __u64 dest_overhead(const struct dest *d)
{
	return (__u64)d->active * 257 + d->inactive;
}

/* The next usable entry in turn. All are looked at if need be: a heavy destination that is full or just removed may hold
 * thousands of entries in a row. */
struct rotation {
	__u32 first;
	__u32 length;
	__u32 cursor;
	__u32 chosen;
};

static long sched_rotate_visit(__u32 i, struct rotation *r)
{
	__u32 *cursor = slot_word(r->cursor);
	__u32 index;

	if (!cursor || !r->length)
		return 1;
	__u32 turn = __sync_fetch_and_add(cursor, 1);
	struct dest *d = slot_dest(r->first + turn % r->length, &index);

	if (!d || !dest_usable(d))
		return 0;
	r->chosen = index;
	return 1;
}

static __always_inline __u32 sched_rotate(struct sched_input *in)
{
	struct rotation r = { .first = in->first, .length = in->length, .cursor = in->cursor, .chosen = NO_DEST };

	bpf_loop(in->length < SCHED_MAX ? in->length : SCHED_MAX, sched_rotate_visit, &r, 0);
	return r.chosen;
}

/* The entry with the lowest load per weight, the first in the list among equals. */
struct least {
	__u32 first;
	__u32 best;
	__u64 load;
	__u64 weight;
	__u32 weighted;
};

static long sched_least_visit(__u32 i, struct least *l)
{
	__u32 index;
	struct dest *d = slot_dest(l->first + i, &index);

	if (!d || !dest_usable(d))
		return 0;
	__u64 load = dest_overhead(d);
	__u64 weight = l->weighted ? d->weight : 1;
	if (l->best == NO_DEST || load * l->weight < l->load * weight) {
		l->best = index;
		l->load = load;
		l->weight = weight;
	}
	return 0;
}

static __always_inline __u32 sched_least(struct sched_input *in, int weighted)
{
	struct least l = { .first = in->first, .best = NO_DEST, .weight = 1, .weighted = weighted };

	bpf_loop(in->length < SCHED_MAX ? in->length : SCHED_MAX, sched_least_visit, &l, 0);
	return l.best;
}

#endif
