/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a scheduler sees, and the ways in which one may choose. Tier: new connection.
 *
 * A scheduler is one file in sched/ (docs/extend/scheduler.md): a number that never changes and one function
 *     SCHEDULER(name, number) { ... return index into `dests`, or NO_DEST; }
 * with `in` and `packet` at hand. Its region of `slots` is written by its other half in
 * src/piranha/dataplane/ebpf/schedulers/. Every scheduler becomes a global function (tools/build_bpf.py writes it),
 * which the kernel verifies apart from the rest of the program.
 */
#ifndef PIRANHA_SCHED_H
#define PIRANHA_SCHED_H

#include "maps.h"
#include "packet.h"

#define NO_DEST	  0xffffffffu
#define SCHED_MAX 65536 /* most entries of one region */

struct sched_input {
	__u32 service; /* index into `services` */
	__u32 flags;   /* SCHED_FLAG_* of the service */
	__u32 first;   /* first word of the region behind the cursor */
	__u32 length;  /* entries in it */
	__u32 cursor;  /* word that holds the cursor */
};

/* IPVS's scheduler flags; for sh and mh the first is "fallback", the second "port". */
#define SCHED_FLAG_1 0x08
#define SCHED_FLAG_2 0x10
#define SCHED_FLAG_3 0x20

#define SCHEDULER(name, number)                                                                                        \
	enum { SCHED_##name = (number) };                                                                              \
	static __always_inline __u32 sched_##name(const struct sched_input *in, const struct packet *packet)

/*
 * What a scheduler needs for one choice and the stack has no room for, one of each CPU: `name_work()` is a pointer to
 * it. Its content is left over from the choice before. (Sums over the visits of a bpf_loop belong here too: the
 * verifier follows sums on the stack from visit to visit and comes to no end.)
 */
#define SCHED_WORK(name)                                                                                               \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                               \
		__uint(max_entries, 1);                                                                                \
		__type(key, __u32);                                                                                    \
		__type(value, struct name##_work);                                                                     \
	} name##_works SEC(".maps");                                                                                   \
	static __always_inline struct name##_work *name##_work(void)                                                   \
	{                                                                                                              \
		__u32 zero = 0;                                                                                        \
		return bpf_map_lookup_elem(&name##_works, &zero);                                                      \
	}

struct sched_work {
	struct sched_input in;
};

SCHED_WORK(sched)

/* What a scheduler is told of a service; NULL never happens, but the verifier does not know. */
static __always_inline struct sched_input *sched_input_of(const struct service *service)
{
	struct sched_work *w = sched_work();
	__u64 table = service->table;

	if (!w)
		return NULL;
	w->in.service = service->index;
	w->in.flags = service->flags;
	w->in.first = (__u32)table + 1;
	w->in.length = table >> 32;
	w->in.cursor = (__u32)table;
	return &w->in;
}

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

/* Entries of the region, in a form that the kernel takes for the bound of a loop. */
static __always_inline __u32 sched_length(const struct sched_input *in)
{
	return in->length < SCHED_MAX ? in->length : SCHED_MAX;
}

/* May take a new connection: in the table, not quiesced, not over its upper threshold. */
static __always_inline int dest_usable(const struct dest *d)
{
	return d->flags & DEST_PRESENT && !d->overload && d->weight > 0;
}

/* IPVS's load of a destination: an active connection weighs as much as 256 inactive ones. */
static __always_inline __u64 dest_overhead(const struct dest *d)
{
	return (__u64)d->active * 256 + d->inactive;
}

/* The next usable entry in turn. All are looked at if need be: a heavy destination that is full or just removed may
 * hold thousands of entries in a row. */
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

static __always_inline __u32 sched_rotate(const struct sched_input *in)
{
	struct rotation r = {.first = in->first, .length = in->length, .cursor = in->cursor, .chosen = NO_DEST};

	bpf_loop(sched_length(in), sched_rotate_visit, &r, 0);
	if (r.chosen == NO_DEST) { /* a turn that nobody took */
		__u32 *cursor = slot_word(in->cursor);

		if (cursor)
			__sync_fetch_and_sub(cursor, sched_length(in));
	}
	return r.chosen;
}

/* The entry with the lowest load, the first in the list among equals. */
#define LEAST_WEIGHTED 1 /* the load is divided by the weight */
#define LEAST_EXPECTED 2 /* the load is that of active connections, the one to be made included */
#define LEAST_IDLE     4 /* the first entry without an active connection is taken at once */

struct least_work {
	__u64 load;
	__u64 weight;
	__u32 first;
	__u32 length;
	__u32 how;
	__u32 best;
};

SCHED_WORK(least)

#define LEAST_AT_ONCE 8 /* entries of one visit: the call of the visit costs as much as a look */

/* Look at one entry; 1 when it is taken at once. */
static __always_inline int sched_least_look(struct least_work *l, __u32 at)
{
	__u32 index;
	struct dest *d = slot_dest(l->first + at, &index);

	if (!d || !dest_usable(d))
		return 0;
	if (l->how & LEAST_IDLE && !d->active) {
		l->best = index;
		return 1;
	}
	__u64 load = l->how & LEAST_EXPECTED ? (__u64)d->active + 1 : dest_overhead(d);
	__u64 weight = l->how & LEAST_WEIGHTED ? d->weight : 1;
	if (l->best == NO_DEST || load * l->weight < l->load * weight) {
		l->best = index;
		l->load = load;
		l->weight = weight;
	}
	return 0;
}

static long sched_least_visit(__u32 i, struct least_work **work)
{
	struct least_work *l = *work;

	for (__u32 k = 0; k < LEAST_AT_ONCE; k++) {
		__u32 at = i * LEAST_AT_ONCE + k;

		if (at >= l->length || sched_least_look(l, at))
			return 1;
	}
	return 0;
}

static __always_inline __u32 sched_least(const struct sched_input *in, __u32 how)
{
	struct least_work *l = least_work();

	if (!l)
		return NO_DEST;
	l->first = in->first;
	l->length = sched_length(in);
	l->how = how;
	l->best = NO_DEST;
	l->load = 0;
	l->weight = 1;
	bpf_loop((SCHED_MAX + LEAST_AT_ONCE - 1) / LEAST_AT_ONCE, sched_least_visit, &l, 0);
	return l->best;
}

/* The entry with the highest weight, the first in the list among equals. */
#define HEAVIEST_WITH_ROOM 1 /* only those with no more active connections than their weight */

struct heaviest {
	__u32 first;
	__u32 how;
	__u32 best;
	__s32 weight;
};

static long sched_heaviest_visit(__u32 i, struct heaviest *h)
{
	__u32 index;
	struct dest *d = slot_dest(h->first + i, &index);

	if (!d || !dest_usable(d) || d->weight <= h->weight)
		return 0;
	if (h->how & HEAVIEST_WITH_ROOM && d->active > (__u32)d->weight)
		return 0;
	h->best = index;
	h->weight = d->weight;
	return 0;
}

static __always_inline __u32 sched_heaviest(const struct sched_input *in, __u32 how)
{
	struct heaviest h = {.first = in->first, .how = how, .best = NO_DEST};

	bpf_loop(sched_length(in), sched_heaviest_visit, &h, 0);
	return h.best;
}

#endif
