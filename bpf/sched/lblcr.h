/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locality-based least connection with replication: an address has a set of servers, and the least loaded of the set
 * gets its connections. When that one is overburdened, the choice of weighted least connection joins the set; a set of
 * several that did not change for a day loses its most loaded member.
 */
#include "../sched_locality.h"

#define LBLCR_MEMBERS 16
#define NO_PLACE      LBLCR_MEMBERS

struct lblcr_entry {
	struct locality_member member[LBLCR_MEMBERS];
	__u32 age[LBLCR_MEMBERS]; /* when each came: the youngest comes first in IPVS's list */
	__u32 joined;		  /* so many came */
	__u32 pad;
	__u64 used;    /* jiffies */
	__u64 changed; /* jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct locality_key);
	__type(value, struct lblcr_entry);
} lblcr_cache SEC(".maps");

struct lblcr_best {
	__u64 load;
	__u64 weight;
	__u32 age;
	__u32 place;
};

/* One look at every member: the least loaded usable one, the most loaded one, and where another could be put. */
struct lblcr_work {
	struct locality_key key;
	__u64 now; /* jiffies */
	struct lblcr_best seen;
	struct lblcr_best least;
	struct lblcr_best most;
	__u32 members;
	__u32 found;		  /* the one looked for is a member */
	__u32 place;		  /* one that is free, else one whose server is gone */
	__u32 gone;		  /* one whose server is gone */
	struct lblcr_entry fresh; /* the first member is the one to be added; others are never set */
};

SCHED_WORK(lblcr)

struct lblcr_visit {
	struct lblcr_entry *entry;
	struct lblcr_work *work;
};

/* Let `seen` take the place of the best one: with less load per weight (or more); of equals the younger comes first. */
static __always_inline void lblcr_prefer(struct lblcr_best *best, const struct lblcr_best *seen, int more)
{
	__u64 mine = seen->load * best->weight, other = best->load * seen->weight;

	if (best->place != NO_PLACE && (more ? mine < other : mine > other))
		return;
	if (best->place != NO_PLACE && mine == other && (__s32)(seen->age - best->age) < 0)
		return;
	*best = *seen;
}

static long sched_lblcr_visit(__u32 i, struct lblcr_visit *v)
{
	struct lblcr_work *w = v->work;

	if (i >= LBLCR_MEMBERS)
		return 1;
	struct locality_member *m = &v->entry->member[i];
	if (!m->dest) {
		w->place = i;
		return 0;
	}
	w->members++;
	w->seen.place = i;
	w->seen.age = v->entry->age[i];
	struct dest *d = member_dest(m, w->key.service);
	if (!d) {
		w->gone = i;
		if (w->place == NO_PLACE)
			w->place = i;
		return 0;
	}
	if (d->weight <= 0)
		return 0;
	w->seen.load = dest_overhead(d);
	w->seen.weight = d->weight;
	if (dest_usable(d))
		lblcr_prefer(&w->least, &w->seen, 0);
	lblcr_prefer(&w->most, &w->seen, 1);
	return 0;
}

static long sched_lblcr_search(__u32 i, struct lblcr_visit *v)
{
	if (i >= LBLCR_MEMBERS)
		return 1;
	v->work->found = v->entry->member[i].dest == v->work->fresh.member[0].dest;
	return v->work->found;
}

static __always_inline __u64 lblcr_lifetime(void)
{
	struct locality *l = locality_get();

	return locality_ticks(l ? l->lblcr_expiration : 0);
}

/* The set gets the member that was put into `fresh`, if it has not got it. */
static __always_inline void lblcr_join(struct lblcr_visit *v)
{
	struct lblcr_entry *e = v->entry;
	struct lblcr_work *w = v->work;

	bpf_loop(LBLCR_MEMBERS, sched_lblcr_search, v, 0);
	if (w->found)
		return;
	__u32 place = w->place;
	if (place >= LBLCR_MEMBERS) {
		locality_full_set();
		return;
	}
	/* Who reads between these stores sees a mark that does not fit, and passes by. */
	e->member[place].mark = w->fresh.member[0].mark;
	e->age[place] = ++e->joined;
	e->member[place].dest = w->fresh.member[0].dest;
	e->changed = w->now;
}

static __always_inline void lblcr_remember(struct lblcr_work *w)
{
	w->fresh.age[0] = 1;
	w->fresh.joined = 1;
	w->fresh.used = w->now;
	w->fresh.changed = w->now;
	if (bpf_map_update_elem(&lblcr_cache, &w->key, &w->fresh, BPF_ANY))
		locality_full_cache();
}

static __always_inline void lblcr_look(struct lblcr_visit *v)
{
	struct lblcr_work *w = v->work;

	w->members = 0;
	w->place = w->gone = w->least.place = w->most.place = NO_PLACE;
	bpf_loop(LBLCR_MEMBERS, sched_lblcr_visit, v, 0);
}

/* The least loaded usable member unless it is overburdened, else NO_DEST. A set that is old and large loses one. */
static __always_inline __u32 lblcr_choose(const struct sched_input *in, struct lblcr_visit *v)
{
	struct lblcr_entry *e = v->entry;
	struct lblcr_work *w = v->work;
	__u32 chosen = NO_DEST;

	lblcr_look(v);
	__u32 gone = w->gone;
	if (gone < LBLCR_MEMBERS && member_returned(in, &e->member[gone])) /* one a connection: that bounds the cost */
		lblcr_look(v);
	__u32 least = w->least.place, most = w->most.place;
	if (least < LBLCR_MEMBERS)
		chosen = e->member[least].dest;
	if (w->members > 1 && most < LBLCR_MEMBERS && w->now - e->changed > lblcr_lifetime()) {
		e->member[most].dest = 0;
		e->changed = w->now;
		w->place = most;
	}
	struct dest *d = bpf_map_lookup_elem(&dests, &chosen);
	return d && !dest_overburdened(in, d) ? chosen : NO_DEST;
}

SCHEDULER(lblcr, 6)
{
	struct lblcr_visit v = {.work = lblcr_work()};

	if (!v.work || locality_key_set(&v.work->key, in, packet))
		return NO_DEST;
	v.work->now = bpf_jiffies64();
	v.entry = bpf_map_lookup_elem(&lblcr_cache, &v.work->key);
	if (v.entry && v.work->now - v.entry->used >= lblcr_lifetime())
		v.entry = NULL;
	if (v.entry) {
		v.entry->used = v.work->now;
		__u32 chosen = lblcr_choose(in, &v);
		if (chosen != NO_DEST)
			return chosen;
	}
	__u32 chosen = sched_least(in, LEAST_WEIGHTED);
	struct dest *d = bpf_map_lookup_elem(&dests, &chosen);
	if (chosen == NO_DEST || !d)
		return NO_DEST;
	v.work->fresh.member[0].dest = chosen;
	v.work->fresh.member[0].mark = dest_mark(d);
	if (v.entry)
		lblcr_join(&v);
	else
		lblcr_remember(v.work);
	return chosen;
}
