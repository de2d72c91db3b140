/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Maglev hashing: the hash of the client's address (and port) chooses from the look-up table at the region's beginning.
 * Behind it the user-space half keeps notes, in words that are no index.
 */
#include "../sched_hash.h"

#define MH_PLACES 4093

struct mh_walk {
	__u32 first;
	__u32 length;
	__u32 client;
	__u32 place;
	__u32 chosen;
};

static long sched_mh_visit(__u32 i, struct mh_walk *w)
{
	if (!w->length)
		return 1;
	__u32 offset = (w->place + i) % w->length;

	w->chosen = slot_usable(w->first + sip_hash(w->client + offset, MH_KEY) % w->length);
	return w->chosen != NO_DEST;
}

SCHEDULER(mh, 13)
{
	__u32 client = client_fold(in, packet);
	__u32 length = in->length < MH_PLACES ? in->length : MH_PLACES;

	if (!length)
		return NO_DEST;
	__u32 place = sip_hash(client, MH_KEY) % length;
	__u32 chosen = slot_usable(in->first + place);
	if (chosen != NO_DEST || !(in->flags & SCHED_FLAG_1))
		return chosen;
	struct mh_walk w = {.first = in->first, .length = length, .client = client, .place = place, .chosen = NO_DEST};
	bpf_loop(length, sched_mh_visit, &w, 0);
	return w.chosen;
}
