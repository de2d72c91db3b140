/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source hashing: the region is one period of the 256 buckets that the client's address (and port) chooses from. */
#include "../sched_hash.h"

struct sh_walk {
	__u32 first;
	__u32 length;
	__u32 bucket;
	__u32 chosen;
};

static long sched_sh_visit(__u32 i, struct sh_walk *w)
{
	if (!w->length)
		return 1;
	w->chosen = slot_usable(w->first + (w->bucket + i) % HASH_BUCKETS % w->length);
	return w->chosen != NO_DEST;
}

SCHEDULER(sh, 8)
{
	__u32 bucket = hash_bucket(client_fold(in, packet));

	if (!in->length)
		return NO_DEST;
	__u32 chosen = slot_usable(in->first + bucket % in->length);
	if (chosen != NO_DEST || !(in->flags & SCHED_FLAG_1))
		return chosen;
	/* The fallback hashes anew with an offset that starts at the bucket's own number: it begins at twice the
	 * bucket. */
	struct sh_walk w = {.first = in->first, .length = in->length, .bucket = 2 * bucket, .chosen = NO_DEST};
	bpf_loop(HASH_BUCKETS, sched_sh_visit, &w, 0);
	return w.chosen;
}
