/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power of two choices: two draws by weight, and the less loaded of them per weight.
 *
 * A draw is a number from 0 to the sum of the weights, both included, so the first in the list has one chance more than
 * its weight says (as in IPVS).
 */
#include "../sched.h"

struct twos_draw {
	__u64 left;   /* what the destinations passed so far left of the number drawn */
	__u64 weight; /* of the chosen one; 0 until there is one */
	__u64 load;
	__u32 chosen;
	__u32 pad;
};

struct twos_work {
	__u64 total;
	struct twos_draw draw[2];
};

SCHED_WORK(twos)

struct twos_visit {
	struct twos_work *work;
	__u32 first;
};

static long sched_twos_sum(__u32 i, struct twos_visit *v)
{
	__u32 index;
	struct dest *d = slot_dest(v->first + i, &index);

	if (d && dest_usable(d)) {
		v->work->total += d->weight;
		v->work->draw[0].chosen = index; /* stands where the list shrinks before the draws are counted out */
	}
	return 0;
}

static __always_inline void twos_count_out(struct twos_draw *t, const struct dest *d, __u32 index)
{
	__u64 weight = d->weight;

	if (t->weight)
		return;
	if (t->left > weight) {
		t->left -= weight;
		return;
	}
	t->chosen = index;
	t->weight = weight;
	t->load = dest_overhead(d);
}

static long sched_twos_pick(__u32 i, struct twos_visit *v)
{
	struct twos_draw *draw = v->work->draw;
	__u32 index;
	struct dest *d = slot_dest(v->first + i, &index);

	if (!d || !dest_usable(d))
		return 0;
	twos_count_out(&draw[0], d, index);
	twos_count_out(&draw[1], d, index);
	return draw[0].weight && draw[1].weight;
}

static __always_inline void twos_draw(struct twos_draw *t, __u64 total)
{
	t->left = ((__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32()) % (total + 1);
	t->weight = 0;
}

SCHEDULER(twos, 14)
{
	struct twos_visit v = {.work = twos_work(), .first = in->first};

	if (!v.work)
		return NO_DEST;
	struct twos_draw *one = &v.work->draw[0], *other = &v.work->draw[1];
	v.work->total = 0;
	one->chosen = NO_DEST;
	bpf_loop(sched_length(in), sched_twos_sum, &v, 0);
	if (one->chosen == NO_DEST)
		return NO_DEST;
	twos_draw(one, v.work->total);
	twos_draw(other, v.work->total);
	bpf_loop(sched_length(in), sched_twos_pick, &v, 0);
	return other->weight && other->weight * one->load > one->weight * other->load ? other->chosen : one->chosen;
}
