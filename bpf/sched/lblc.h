/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locality-based least connection: an address goes to the server it had, until that is gone, quiesced or overburdened;
 * then, and for a new address, the choice of weighted least connection is remembered.
 */
#include "../sched_locality.h"

struct lblc_entry {
	struct locality_member member;
	__u64 used; /* jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct locality_key);
	__type(value, struct lblc_entry);
} lblc_cache SEC(".maps");

struct lblc_work {
	struct locality_key key;
	struct lblc_entry fresh;
};

SCHED_WORK(lblc)

SCHEDULER(lblc, 5)
{
	struct locality *l = locality_get();
	struct lblc_work *w = lblc_work();

	if (!l || !w || locality_key_set(&w->key, in, packet))
		return NO_DEST;
	w->fresh.used = bpf_jiffies64();
	struct lblc_entry *e = bpf_map_lookup_elem(&lblc_cache, &w->key);
	if (e && w->fresh.used - e->used < locality_ticks(l->lblc_expiration)) {
		struct dest *d = member_dest(&e->member, in->service);

		if (!d && member_returned(in, &e->member))
			d = member_dest(&e->member, in->service);
		__u32 index = e->member.dest;

		e->used = w->fresh.used;
		/* As in IPVS, a server over its upper threshold keeps the addresses that it has. */
		if (d && d->weight > 0 && !dest_overburdened(in, d))
			return index;
	}
	__u32 chosen = sched_least(in, LEAST_WEIGHTED);
	struct dest *d = bpf_map_lookup_elem(&dests, &chosen);
	if (chosen == NO_DEST || !d)
		return NO_DEST;
	w->fresh.member.dest = chosen;
	w->fresh.member.mark = dest_mark(d);
	if (bpf_map_update_elem(&lblc_cache, &w->key, &w->fresh, BPF_ANY))
		locality_full_cache();
	return chosen;
}
