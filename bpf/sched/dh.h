/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Destination hashing: the region is one period of the 256 buckets that the destination address chooses from. */
#include "../sched_hash.h"

SCHEDULER(dh, 7)
{
	if (!in->length)
		return NO_DEST;
	return slot_usable(in->first + hash_bucket(addr_fold(&packet->daddr, packet->v6)) % in->length);
}
