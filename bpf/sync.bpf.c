/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Connection sync, the way in: entries that a peer told of are put into the live table by the code that packets use,
 * so that claims, counts and the reverse index are right whoever else is at work. lvsd writes a batch of records and
 * runs `sync_in` over it; no packet ever comes here. An object of its own: it is loaded where sync runs, onto the maps
 * of the data plane. Tier: slow. docs/design/sync.md.
 */
#include "conn.h"
#include "ftp_port.h"
#include "persist.h"
#include "sip.h"
#include "sync.h"

char LICENSE[] SEC("license") = "GPL";

MMAPPED_ARRAY(sync_records, SYNC_BATCH, struct sync_record);
MMAPPED_ARRAY(sync_calls, SYNC_BATCH, struct call); /* of the records of the same index whose life has CONN_CALL */

/* A variable of the type, so that the outcomes' numbers are in the object's BTF. */
volatile const enum sync_outcome outcomes_known = SYNC_OUTCOMES;

/* What the peer says of an entry that both have. Packets of our own that came in between win. */
static __always_inline void entry_follow(struct conn *c, struct dest *d, const struct sync_record *r, __u32 now)
{
	__u32 life = c->life;

	if (LIFE_FLAGS(life) & CONN_TEMPLATE)
		c->life = LIFE(LIFE_PROTO(life), LIFE_STATE(r->life), LIFE_FLAGS(life));
	else
		conn_enter(c, d, life, LIFE_PROTO(life), LIFE_STATE(r->life), !(LIFE_FLAGS(r->life) & CONN_INACTIVE));
	c->expires = now + r->timeout;
}

/* Make room for a record's connection where an entry has its key: 1 when `c` is the record's own and stays. */
static __always_inline int entry_stays(struct conn *c, const struct flow *f, __u32 slot, const struct sync_record *r,
				       __u32 now, int *outcome)
{
	*outcome = SYNC_MADE;
	if (conn_expired(c, now) && conn_end(f, slot))
		return 0;
	if (c->dest == r->dest) {
		*outcome = SYNC_UPDATED;
		return 1;
	}
	if (LIFE_FLAGS(c->life) & CONN_TEMPLATE) {
		template_retire(c, f, slot);
	} else if (LIFE_FLAGS(r->life) & CONN_INACTIVE) {
		*outcome = SYNC_STALE; /* the end of a connection that was replaced since */
		return 1;
	} else {
		conn_end(f, slot);
	}
	*outcome = SYNC_REPLACED;
	return 0;
}

/* Take the call of record `index` as the one that is looked for, and make `f` the flow of its template. */
static __always_inline int call_given(const struct settings *s, struct flow *f, __u32 index)
{
	struct call *given = bpf_map_lookup_elem(&sync_calls, &index);
	struct sip_work *w = sip_work();

	if (!given || !w)
		return -1;
	w->call = *given;
	flow_mix(f, s, call_hash(s, &w->call));
	return 0;
}

__noinline int record_take(__u32 index)
{
	struct settings *s = settings_get();
	struct sync_record *r = bpf_map_lookup_elem(&sync_records, &index);
	struct flow f, reverse;
	struct packet p = {};
	__u32 slot = NO_SLOT;
	int outcome = SYNC_MADE;

	if (!s || !r)
		return SYNC_NO_DEST;
	struct dest *d = bpf_map_lookup_elem(&dests, &r->dest);
	if (!d || !(d->flags & DEST_PRESENT))
		return SYNC_NO_DEST;
	__u32 now = now_jiffies();
	p.saddr = r->caddr;
	p.daddr = r->vaddr;
	p.sport = r->cport;
	p.dport = r->vport;
	p.proto = LIFE_PROTO(r->life);
	flow_client(&f, s, &p);
	__u32 call = LIFE_FLAGS(r->life) & CONN_CALL;

	if (call && call_given(s, &f, index))
		return SYNC_FULL;
	struct conn *c = conn_find(&f, &p, &slot);

	if (c && call && !call_matches(slot))
		return SYNC_RACE; /* two calls with one tag */
	if (c && r->keep && !conn_expired(c, now))
		return SYNC_KNOWN;
	if (c && !entry_stays(c, &f, slot, r, now, &outcome))
		c = NULL;
	if (outcome == SYNC_STALE)
		return outcome;
	if (!c) {
		__u32 extra = LIFE_FLAGS(r->life) & (CONN_TEMPLATE | CONN_KEEP_PORT | CONN_CALL);

		if (d->method == METHOD_MASQ && !(extra & CONN_TEMPLATE) && ftp_controls_port(s, &p))
			extra |= CONN_FTP;
		int made = conn_create(s, &f, &p, r->dest, d, extra | CONN_SYNCED, 0, &reverse, &slot);

		if (made)
			return made == -REASON_CREATION_RACE ? SYNC_RACE : SYNC_FULL;
		if (call && call_keep(slot)) {
			conn_end(&f, slot);
			return SYNC_FULL;
		}
		c = conn_made(&f, slot);
		if (!c)
			return SYNC_FULL;
		if (extra & CONN_TEMPLATE)
			c->created = r->span;
	}
	entry_follow(c, d, r, now);
	r->slot = slot;
	return outcome;
}

static long record_visit(__u32 i, void *unused)
{
	__u32 index = i;
	int outcome = record_take(index);
	struct sync_record *r = bpf_map_lookup_elem(&sync_records, &index);

	if (r)
		r->outcome = outcome;
	return 0;
}

/* Take the first `count` records; each says what became of it. */
SEC("syscall")
int sync_in(struct sync_args *args)
{
	__u32 count = args->count;

	if (count > SYNC_BATCH)
		return 1;
	bpf_loop(count, record_visit, NULL, 0);
	return 0;
}
