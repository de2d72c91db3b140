/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection table: flat and set-associative, in memory-mapped arrays (docs/design/dataplane.md).
 *
 * A flow has two candidate lines of CONN_WAYS tags; way w of line l belongs to entry l * CONN_WAYS + w. A look-up
 * touches one line of tags and one entry. Whoever turns a tag from "valid" into "valid and writing" by
 * compare-and-exchange owns the entry until it publishes a new tag or frees the way; so entries are counted in and
 * out exactly once, whichever CPU or sweep does it. Nothing that is alive is ever evicted.
 *
 * An expired entry is dead for packets at once, but is only freed GRACE jiffies later, so that a CPU that saw it
 * alive has long finished with it.
 *
 * Functions that are not static are verified once on their own, which keeps the programs within the verifier's limits.
 */
#ifndef PIRANHA_CONN_H
#define PIRANHA_CONN_H

#include "conn_life.h"
#include "maps.h"
#include "packet.h"

#define GRACE	     4
#define NO_SLOT	     0xffffffffu
#define CONN_CROWDED 12 /* entries in a line from which on the flow's other line is considered */
#define REV_CROWDED  5

struct flow {
	__u64 hash;
	__u32 tag;
	__u32 line[2];
};

static __always_inline void flow_place(struct flow *f, __u64 hash, __u32 lines)
{
	__u32 high = hash >> 32;

	f->hash = hash;
	f->tag = ((__u32)hash & ~3u) | TAG_VALID;
	f->line[0] = ((__u64)high * lines) >> 32;
	f->line[1] = ((__u64)(high ^ (f->tag * 0x85ebca6bu)) * lines) >> 32;
}

static __always_inline void flow_client(struct flow *f, const struct settings *s, const struct packet *p)
{
	flow_place(f, flow_hash(s, &p->saddr, p->sport, &p->daddr, p->dport, p->proto), s->conn_lines);
}

/* Let `hash` tell flows apart that are the same by addresses and ports. */
static __always_inline void flow_mix(struct flow *f, const struct settings *s, __u64 hash)
{
	flow_place(f, f->hash ^ hash, s->conn_lines);
}

/* Tier: established. The entry of a flow in the client's direction, alive or expired; NULL when there is none. */
static __always_inline struct conn *conn_find(const struct flow *f, const struct packet *p, __u32 *slot)
{
#pragma unroll
	for (int side = 0; side < 2; side++) {
		__u32 at = f->line[side];
		struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);

		if (!line)
			return NULL;
		for (__u32 i = 0; i < CONN_WAYS; i++) {
			__u32 way = (f->tag / 4 + i) & (CONN_WAYS - 1);

			if (line->tag[way] != f->tag)
				continue;
			__u32 index = at * CONN_WAYS + way;
			struct conn *c = bpf_map_lookup_elem(&conns, &index);
			if (c && conn_matches(c, p)) {
				*slot = index;
				return c;
			}
		}
	}
	return NULL;
}

/* The entry that conn_create made of this flow. */
static __always_inline struct conn *conn_made(const struct flow *f, __u32 slot)
{
	return bpf_map_lookup_elem(&conns, &slot);
}

static __always_inline __u32 *conn_tag(__u32 slot)
{
	__u32 at = slot / CONN_WAYS;
	struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);

	return line ? &line->tag[slot & (CONN_WAYS - 1)] : NULL;
}

/* ---- the reverse index: from a server's reply to the connection ---- */

static __always_inline void flow_server(struct flow *f, const struct settings *s, const union addr *server,
					__be16 sport, const union addr *client, __be16 cport, __u8 proto)
{
	flow_place(f, flow_hash(s, server, sport, client, cport, proto), s->rev_lines);
}

static __always_inline __u32 reverse_line_used(__u32 at)
{
	struct rev_line *line = bpf_map_lookup_elem(&rev_tags, &at);
	__u32 used = 0;

	if (line)
		for (__u32 way = 0; way < REV_WAYS; way++)
			used += (line->word[way] >> 32) & TAG_VALID;
	return used;
}

/* Takes the emptier line when the first is crowded, as conn_claim does. */
static __always_inline int reverse_insert(const struct flow *f, __u32 slot)
{
	__u64 word = (__u64)f->tag << 32 | slot;
	__u32 used = reverse_line_used(f->line[0]);
	__u32 second = used >= REV_CROWDED && reverse_line_used(f->line[1]) < used;

#pragma unroll
	for (int turn = 0; turn < 2; turn++) {
		__u32 at = turn ^ second ? f->line[1] : f->line[0];
		struct rev_line *line = bpf_map_lookup_elem(&rev_tags, &at);

		if (!line)
			return -1;
		for (__u32 way = 0; way < REV_WAYS; way++)
			if (!line->word[way] && !__sync_val_compare_and_swap(&line->word[way], 0, word))
				return 0;
	}
	return -1;
}

static __always_inline void reverse_remove(const struct flow *f, __u32 slot)
{
	__u64 word = (__u64)f->tag << 32 | slot;

#pragma unroll
	for (int side = 0; side < 2; side++) {
		__u32 at = f->line[side];
		struct rev_line *line = bpf_map_lookup_elem(&rev_tags, &at);

		if (!line)
			return;
		for (__u32 way = 0; way < REV_WAYS; way++)
			if (line->word[way] == word) {
				__sync_val_compare_and_swap(&line->word[way], word, 0);
				return;
			}
	}
}

/* Tier: established. The connection that a server's packet `p` answers. */
static __always_inline struct conn *conn_find_reply(const struct settings *s, const struct packet *p, __u32 *slot)
{
	struct flow f;

	flow_server(&f, s, &p->saddr, p->sport, &p->daddr, p->dport, p->proto);
#pragma unroll
	for (int side = 0; side < 2; side++) {
		__u32 at = f.line[side];
		struct rev_line *line = bpf_map_lookup_elem(&rev_tags, &at);

		if (!line)
			return NULL;
		for (__u32 way = 0; way < REV_WAYS; way++) {
			__u64 word = line->word[way];

			if ((__u32)(word >> 32) != f.tag)
				continue;
			__u32 index = (__u32)word;
			struct conn *c = bpf_map_lookup_elem(&conns, &index);
			if (!c)
				continue;
			struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
			__u32 *tag = conn_tag(index);
			if (d && tag && (*tag & (TAG_VALID | TAG_WRITING)) == TAG_VALID && c->cport == p->dport &&
			    conn_dport(c, d) == p->sport && LIFE_PROTO(c->life) == p->proto &&
			    addr_equal(&c->caddr, &p->daddr) && addr_equal(&d->addr, &p->saddr)) {
				*slot = index;
				return c;
			}
		}
	}
	return NULL;
}

/* ---- birth and death ---- */

static __always_inline struct ftp_control *conn_ftp(const struct conn *c)
{
	return LIFE_FLAGS(c->life) & CONN_FTP ? bpf_map_lookup_elem(&ftp_controls, c) : NULL;
}

/* Count the connections that a template or a control connection holds; `control` is its slot + 1. */
static __always_inline void conn_hold(__u32 control, __s32 n)
{
	__u32 slot = control - 1;
	struct conn *holder = bpf_map_lookup_elem(&conns, &slot);

	if (!holder)
		return;
	if (LIFE_FLAGS(holder->life) & CONN_TEMPLATE) {
		__sync_fetch_and_add(&holder->route, n);
		return;
	}
	struct ftp_control *ftp = conn_ftp(holder);
	if (ftp)
		__sync_fetch_and_add(&ftp->children, n);
}

/* How many connections it holds; it is not freed before they are. */
static __always_inline __u32 conn_holds(const struct conn *c)
{
	if (LIFE_FLAGS(c->life) & CONN_TEMPLATE)
		return c->route;
	struct ftp_control *ftp = conn_ftp(c);

	return ftp ? ftp->children : 0;
}

/* Tier: established. Is it dead for packets? A control connection is not while it has data connections. */
static __always_inline int conn_over(const struct conn *c, __u32 now)
{
	return conn_expired(c, now) && !(LIFE_FLAGS(c->life) & CONN_FTP && conn_holds(c));
}

/* A connection of the template was proven good. */
static __always_inline void template_assure(__u32 control)
{
	__u32 slot = control - 1;
	struct conn *t = bpf_map_lookup_elem(&conns, &slot);

	if (t && LIFE_FLAGS(t->life) & CONN_TEMPLATE)
		t->life = LIFE(LIFE_PROTO(t->life), TEMPLATE_ASSURED, LIFE_FLAGS(t->life));
}

/* The caller owns the entry (its tag says "writing"). Leaves the way free, and its holder with one charge less. */
static __always_inline void conn_bury(const struct settings *s, struct conn *c, __u32 slot, __u32 *tag)
{
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
	__u32 life = c->life;

	if (c->control)
		conn_hold(c->control, -1);
	if (LIFE_FLAGS(life) & CONN_FTP)
		bpf_map_delete_elem(&ftp_controls, c);
	if (LIFE_FLAGS(life) & CONN_CALL)
		bpf_map_delete_elem(&calls, &slot);
	if (d) {
		if (LIFE_FLAGS(life) & CONN_REVERSE) {
			struct flow f;

			flow_server(&f, s, &d->addr, conn_dport(c, d), &c->caddr, c->cport, LIFE_PROTO(life));
			reverse_remove(&f, slot);
		}
		dest_unbind(d, life);
	}
	__sync_lock_test_and_set(tag, 0);
}

#define REARM_S 60

/*
 * Tier: new connection, and the sweep. Remove the entry if it is (still) expired for `grace` jiffies (0: whatever it
 * is). One that still holds connections stays, and is given another minute when it expired. 1 when removed.
 */
__noinline int conn_expire(__u32 slot, __u32 expected, __u32 grace)
{
	struct settings *s = settings_get();
	struct conn *c = bpf_map_lookup_elem(&conns, &slot);
	__u32 *tag = conn_tag(slot);

	if (!s || !c || !tag || !(expected & TAG_VALID) || expected & TAG_WRITING)
		return 0;
	if (__sync_val_compare_and_swap(tag, expected, expected | TAG_WRITING) != expected)
		return 0;
	__u32 now = now_jiffies();
	if (grace && !conn_expired(c, now - grace)) {
		__sync_lock_test_and_set(tag, expected);
		return 0;
	}
	if (conn_holds(c)) {
		if (grace)
			c->expires = now + s->hz * REARM_S;
		__sync_lock_test_and_set(tag, expected);
		return 0;
	}
	conn_bury(s, c, slot, tag);
	return 1;
}

/* Let nobody find the flow's entry any more, nor take it for a rival; it goes when its time has come. */
static __always_inline void conn_hide(const struct flow *f, __u32 slot)
{
	__u32 *tag = conn_tag(slot);

	if (tag)
		__sync_val_compare_and_swap(tag, f->tag, f->tag ^ 0x80000000u);
}

/* Tier: new connection. End the flow's entry, whatever time it has left; 0 when it holds connections. */
static __always_inline int conn_end(const struct flow *f, __u32 slot)
{
	return conn_expire(slot, f->tag, 0);
}

static __always_inline __u32 conn_line_used(__u32 at)
{
	struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);
	__u32 used = 0;

	if (line)
		for (__u32 way = 0; way < CONN_WAYS; way++)
			used += line->tag[way] &
				TAG_VALID; /* a comparison would double the verifier's work each time */
	return used;
}

/*
 * Take a free way in one of the flow's lines; the tag then says "writing". NO_SLOT when both lines are full.
 * The first line is what look-ups read first; only when it is crowded an emptier second one is taken. Without that
 * choice one connection in 500 finds both its lines full in a table that is three quarters full.
 */
__noinline __u32 conn_claim(const struct flow *f)
{
	if (!f)
		return NO_SLOT;
	__u32 used = conn_line_used(f->line[0]);
	__u32 second = used >= CONN_CROWDED && conn_line_used(f->line[1]) < used;

#pragma unroll
	for (int turn = 0; turn < 2; turn++) {
		__u32 at = turn ^ second ? f->line[1] : f->line[0];
		struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);

		if (!line)
			return NO_SLOT;
		for (__u32 i = 0; i < CONN_WAYS; i++) {
			__u32 way = (f->tag / 4 + i) & (CONN_WAYS - 1);

			if (!line->tag[way] && !__sync_val_compare_and_swap(&line->tag[way], 0, f->tag | TAG_WRITING))
				return at * CONN_WAYS + way;
		}
	}
	return NO_SLOT;
}

/* Both lines are full: free what has expired in them. Tier: slow. */
__noinline int conn_make_room(__u32 at)
{
	struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);
	int freed = 0;

	if (!line)
		return 0;
	for (__u32 way = 0; way < CONN_WAYS; way++) {
		__u32 slot = at * CONN_WAYS + way;
		struct conn *c = bpf_map_lookup_elem(&conns, &slot);

		if (c && conn_expired(c, now_jiffies() - GRACE))
			freed += conn_expire(slot, line->tag[way], GRACE);
	}
	return freed;
}

/* Is there another entry with this tag, finished or not? Two CPUs that make the same connection both see it. */
static __always_inline int conn_rival(const struct flow *f, __u32 slot)
{
#pragma unroll
	for (int side = 0; side < 2; side++) {
		__u32 at = f->line[side];
		struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);

		if (!line)
			return 0;
		for (__u32 way = 0; way < CONN_WAYS; way++)
			if ((line->tag[way] & ~TAG_WRITING) == f->tag && at * CONN_WAYS + way != slot)
				return 1;
		if (f->line[0] == f->line[1])
			break;
	}
	return 0;
}

/*
 * Tier: new connection. Make the entry of `p`'s flow towards destination `dest_index`; `extra` are flags, `control` the
 * slot + 1 of what holds it, `reverse` room to work in. Returns a negative reason when it cannot be made: the packet is
 * then dropped and counted.
 */
static __always_inline int conn_create(const struct settings *s, const struct flow *f, const struct packet *p,
				       __u32 dest_index, struct dest *d, __u32 extra, __u32 control,
				       struct flow *reverse, __u32 *slot)
{
	__u32 now = now_jiffies();
	__u32 index = conn_claim(f);

	if (index == NO_SLOT && conn_make_room(f->line[0]) + conn_make_room(f->line[1]) > 0)
		index = conn_claim(f);
	if (index == NO_SLOT)
		return -REASON_TABLE_FULL;
	struct conn *c = bpf_map_lookup_elem(&conns, &index);
	__u32 *tag = conn_tag(index);
	if (!c || !tag)
		return -REASON_TABLE_FULL;
	if (conn_rival(f, index)) {
		__sync_lock_test_and_set(tag, 0);
		return -REASON_CREATION_RACE;
	}
	__u32 flags = CONN_INACTIVE | (d->method & CONN_METHOD) | extra;
	if (d->method == METHOD_MASQ && !(extra & (CONN_TEMPLATE | CONN_NO_CPORT)))
		flags |= CONN_REVERSE;
	c->caddr = p->saddr;
	c->vaddr = p->daddr;
	c->cport = p->sport;
	c->vport = p->dport;
	c->life = LIFE(p->proto, 0, flags);
	c->dest = dest_index;
	c->expires = now + s->hz * 3;
	c->packets = 0;
	c->control = control;
	c->route = 0;
	c->created = now;
	if (flags & CONN_REVERSE) {
		flow_server(reverse, s, &d->addr, conn_dport(c, d), &c->caddr, c->cport, p->proto);
		if (reverse_insert(reverse, index)) {
			__sync_lock_test_and_set(tag, 0);
			return -REASON_TABLE_FULL;
		}
	}
	dest_bind(d, c->life);
	if (control)
		conn_hold(control, 1);
	__sync_lock_test_and_set(tag, f->tag);
	*slot = index;
	return 0;
}

#endif
