/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The peer: the interface of bpf/conn.h on BPF_MAP_TYPE_LRU_HASH, built with the care that an honest rival would take.
 *
 * One look-up per client's packet; the value is changed in place, never written anew. A masqueraded connection has a
 * second, small entry under the reply's key, whose value is the key of the first: so both directions share one state,
 * at the price of a second look-up for replies. When a map is full the kernel evicts what was not used for long, alive
 * or not; nobody is told, so the destinations' counts drift. That is what the type is, not carelessness.
 */
#ifndef PIRANHA_CONN_H
#define PIRANHA_CONN_H

#include "conn_life.h"
#include "maps.h"
#include "packet.h"

#define NO_SLOT 0xffffffffu

/* Sizes are set by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct conn_key);
	__type(value, struct conn);
} lru_conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct conn_key);
	__type(value, struct conn_key);
} lru_replies SEC(".maps");

struct flow {
	struct conn_key key;
};

static __always_inline void flow_client(struct flow *f, const struct settings *s, const struct packet *p)
{
	f->key.from = p->saddr;
	f->key.to = p->daddr;
	f->key.from_port = p->sport;
	f->key.to_port = p->dport;
	f->key.proto = p->proto;
}

static __always_inline void flow_mix(struct flow *f, const struct settings *s, __u64 hash)
{
	f->key.proto ^= (__u32)hash << 8;
}

/* Tier: established. */
static __always_inline struct conn *conn_find(const struct flow *f, const struct packet *p, __u32 *slot)
{
	return bpf_map_lookup_elem(&lru_conns, &f->key);
}

static __always_inline struct conn *conn_made(const struct flow *f, __u32 slot)
{
	return bpf_map_lookup_elem(&lru_conns, &f->key);
}

/* Tier: established. The connection that a server's packet `p` answers. */
static __always_inline struct conn *conn_find_reply(const struct settings *s, const struct packet *p, __u32 *slot)
{
	struct flow f;

	flow_client(&f, s, p);
	struct conn_key *key = bpf_map_lookup_elem(&lru_replies, &f.key);

	if (!key)
		return NULL;
	struct conn *c = bpf_map_lookup_elem(&lru_conns, key);
	if (!c)
		return NULL;
	/* The pair is not changed at once: the first entry may be a newer connection, to another server. */
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);

	return d && conn_dport(c, d) == p->sport && addr_equal(&d->addr, &p->saddr) ? c : NULL;
}

static __always_inline void reply_key(struct conn_key *k, const struct conn *c, const struct dest *d)
{
	k->from = d->addr;
	k->to = c->caddr;
	k->from_port = conn_dport(c, d);
	k->to_port = c->cport;
	k->proto = LIFE_PROTO(c->life);
}

/* Nothing of the peer outlives its time for the sake of what it holds. */
static __always_inline __u32 conn_holds(const struct conn *c)
{
	return 0;
}

static __always_inline int conn_over(const struct conn *c, __u32 now)
{
	return conn_expired(c, now);
}

/* Templates of the peer end with `conn_end` and are never assured. */
static __always_inline void conn_hide(const struct flow *f, __u32 slot)
{
}

static __always_inline void template_assure(__u32 control)
{
}

/* Tier: new connection. 1 when the entry was there and is gone. */
static __always_inline int conn_end(const struct flow *f, __u32 slot)
{
	struct conn *c = bpf_map_lookup_elem(&lru_conns, &f->key);

	if (!c)
		return 0;
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
	__u32 life = c->life;

	if (d && LIFE_FLAGS(life) & CONN_REVERSE) {
		struct conn_key k;

		reply_key(&k, c, d);
		bpf_map_delete_elem(&lru_replies, &k);
	}
	/* Whoever deletes it counts it out. */
	if (bpf_map_delete_elem(&lru_conns, &f->key))
		return 0;
	if (d)
		dest_unbind(d, life);
	return 1;
}

/* Tier: new connection. The entry has no place of its own; it is found again by conn_made. */
static __always_inline int conn_create(const struct settings *s, const struct flow *f, const struct packet *p,
				       __u32 dest_index, struct dest *d, __u32 extra, __u32 control,
				       struct flow *reverse, __u32 *slot)
{
	__u32 flags = CONN_INACTIVE | (d->method & CONN_METHOD) | extra;
	__u32 now = now_jiffies();

	if (d->method == METHOD_MASQ && !(extra & CONN_TEMPLATE))
		flags |= CONN_REVERSE;
	struct conn c = {
		.caddr = p->saddr,
		.vaddr = p->daddr,
		.cport = p->sport,
		.vport = p->dport,
		.life = LIFE(p->proto, 0, flags),
		.dest = dest_index,
		.expires = now + s->hz * 3,
		.control = control,
		.created = now,
	};
	long failed = bpf_map_update_elem(&lru_conns, &f->key, &c, BPF_NOEXIST);

	if (failed)
		return failed == -17 /* EEXIST */ ? -REASON_CREATION_RACE : -REASON_TABLE_FULL;
	if (flags & CONN_REVERSE) {
		reply_key(&reverse->key, &c, d);
		if (bpf_map_update_elem(&lru_replies, &reverse->key, &f->key, BPF_ANY)) {
			bpf_map_delete_elem(&lru_conns, &f->key);
			return -REASON_TABLE_FULL;
		}
	}
	dest_bind(d, c.life);
	*slot = 0;
	return 0;
}

#endif
