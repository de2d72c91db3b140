/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The life of one connection, wherever its entry is kept: time, state, and what its destination counts. Tier:
 * established. */
#ifndef PIRANHA_CONN_LIFE_H
#define PIRANHA_CONN_LIFE_H

#include "abi.h"
#include "packet.h"
#include "sctp_state.h"
#include "tcp_state.h"

static __always_inline __u32 now_jiffies(void)
{
	return (__u32)bpf_jiffies64();
}

static __always_inline int conn_expired(const struct conn *c, __u32 now)
{
	return (__s32)(c->expires - now) <= 0;
}

static __always_inline __be16 conn_dport(const struct conn *c, const struct dest *d)
{
	__u32 odd = LIFE_FLAGS(c->life) & (CONN_KEEP_PORT | CONN_PORT_BELOW);

	if (d->port && !odd)
		return d->port;
	return odd & CONN_PORT_BELOW ? bpf_htons(bpf_ntohs(d->port) - 1) : c->vport;
}

static __always_inline void dest_add(struct dest *d, __u32 life, __s32 n)
{
	__sync_fetch_and_add(LIFE_FLAGS(life) & CONN_INACTIVE ? &d->inactive : &d->active, n);
}

/* A connection or template more at its destination; closed ones hold their place until they are freed. */
static __always_inline void dest_bind(struct dest *d, __u32 life)
{
	if (LIFE_FLAGS(life) & CONN_TEMPLATE) {
		__sync_fetch_and_add(&d->persistent, 1);
		return;
	}
	dest_add(d, life, 1);
	if (d->upper && d->active + d->inactive >= d->upper)
		d->overload = 1;
}

static __always_inline void dest_unbind(struct dest *d, __u32 life)
{
	if (LIFE_FLAGS(life) & CONN_TEMPLATE) {
		__sync_fetch_and_add(&d->persistent, -1);
		return;
	}
	dest_add(d, life, -1);
	if (!d->overload)
		return;
	__u64 left = d->active + d->inactive;
	if (d->lower ? left < d->lower : !d->upper || left * 4 < (__u64)d->upper * 3)
		d->overload = 0;
}

/* 1 when the state changed. The loser of a race between two directions changes nothing: the other packet was as good.
 */
static __always_inline int conn_enter(struct conn *c, struct dest *d, __u32 life, __u8 proto, __u8 state, int active)
{
	__u32 flags = LIFE_FLAGS(life) & ~CONN_INACTIVE;

	if (!active)
		flags |= CONN_INACTIVE;
	__u32 next = LIFE(proto, state, flags);
	if (next == life || __sync_val_compare_and_swap(&c->life, life, next) != life)
		return 0;
	if ((LIFE_FLAGS(life) ^ flags) & CONN_INACTIVE) {
		dest_add(d, life, -1);
		dest_add(d, next, 1);
	}
	return 1;
}

/*
 * Tier: established. Advance the state by one packet, keep the destination's counts, restart the time-out. The packet
 * is still as it came. 1 when it proves the connection good, so that its template, if it has one, is assured.
 */
static __always_inline int conn_touch(void *ctx, const int hook, const struct settings *s, struct conn *c,
				      struct dest *d, const struct packet *p, enum view view, __u32 now)
{
	__u32 timeout = s->udp_timeout;
	int proven = 0;

	if (p->proto == IPPROTO_TCP) {
		__u32 life = c->life;
		__u8 state = tcp_state_next(LIFE_STATE(life), p->tcp_flags, view, s->defences & DEFENCE_SECURE_TCP);

		proven = conn_enter(c, d, life, IPPROTO_TCP, state, tcp_state_active(state)) &&
			 state == TCP_S_ESTABLISHED;
		timeout = s->tcp_timeout[state & (STATES - 1)];
	} else if (p->proto == IPPROTO_SCTP) {
		__u32 life = c->life;
		__u8 state = sctp_state_next(LIFE_STATE(life), sctp_chunk(ctx, hook, p), view);

		proven = conn_enter(c, d, life, IPPROTO_SCTP, state, sctp_state_active(state)) &&
			 sctp_state_active(state);
		timeout = s->sctp_timeout[state & (STATES - 1)];
	} else {
		proven = view == VIEW_SERVER;
	}
	__u32 expires = now + timeout;
	if (c->expires != expires)
		c->expires = expires;
	if (view != VIEW_SERVER)
		c->packets++;
	return proven;
}

/* Secret multipliers make the hash unpredictable from outside; the last rounds spread it over all bits. */
static __always_inline __u64 flow_hash(const struct settings *s, const union addr *a, __be16 aport, const union addr *b,
				       __be16 bport, __u8 proto)
{
	__u64 ends = (__u64)aport << 32 | (__u64)bport << 8 | proto;
	__u64 h = a->d[0] * s->key[0] + a->d[1] * s->key[1] + b->d[0] * s->key[2] + b->d[1] * s->key[3] +
		  ends * s->key[4];

	h ^= h >> 32;
	h *= s->key[5];
	return h ^ h >> 29;
}

static __always_inline int conn_matches(const struct conn *c, const struct packet *p)
{
	return c->caddr.d[1] == p->saddr.d[1] && c->cport == p->sport && c->vport == p->dport &&
	       c->vaddr.d[1] == p->daddr.d[1] && LIFE_PROTO(c->life) == p->proto && c->caddr.d[0] == p->saddr.d[0] &&
	       c->vaddr.d[0] == p->daddr.d[0];
}

#endif
