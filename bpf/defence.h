/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPVS's defences against a table that fills up: drop_packet (of new connections one in so many is dropped), drop_entry
 * (idle and half-open entries go at random) and secure_tcp (a state table that trusts the client less). Each is off,
 * on while room is short, or always on. IPVS measures free memory; our table has a fixed size, so what is measured is
 * its fill, once a second, by the sweep. Tier: slow; a new connection's packet looks at one word of `settings` more.
 */
#ifndef PIRANHA_DEFENCE_H
#define PIRANHA_DEFENCE_H

#include "conn.h"
#include "maps.h"

#define DEFENCE_LINES_OF 32 /* one line in so many is thinned out in each walk of the sweep */
#define IDLE_S		 60 /* an entry that had a packet since is let alone */

MMAPPED_ARRAY(defence, 1, struct defence);

static __always_inline struct defence *defence_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&defence, &zero);
}

static __always_inline int defence_wanted(__u32 mode, int scarce)
{
	return mode == DEFENCE_ALWAYS || (mode && scarce);
}

/* Decide what is in force, after a look at how many entries are alive. */
static __always_inline void defence_weigh(struct settings *s, __u32 live)
{
	struct defence *d = defence_get();
	__u32 force = 0, rate = 0;

	if (!d)
		return;
	d->room = d->capacity > live ? d->capacity - live : 0;
	int scarce = d->room < d->amemthresh;

	if (defence_wanted(d->drop_entry, scarce))
		force |= DEFENCE_DROP_ENTRY;
	if (defence_wanted(d->secure_tcp, scarce))
		force |= DEFENCE_SECURE_TCP;
	if (d->drop_packet == DEFENCE_ALWAYS)
		rate = d->am_droprate;
	else if (d->drop_packet && scarce)
		d->drop_counter = rate = d->amemthresh / (d->amemthresh - d->room);
	if (rate)
		force |= DEFENCE_DROP_PACKET;
	d->drop_rate = rate;
	s->defences = force;
}

/* Tier: new connection, while the defence is in force. Is it this packet's turn to be dropped? */
static __always_inline int defence_drops_packet(void)
{
	struct defence *d = defence_get();

	if (!d || (__s32)__sync_fetch_and_sub(&d->drop_counter, 1) > 1)
		return 0;
	d->drop_counter = d->drop_rate;
	return 1;
}

static __always_inline __u32 defence_timeout(const struct settings *s, const struct conn *c)
{
	__u32 life = c->life, state = LIFE_STATE(life) & (STATES - 1);

	if (LIFE_FLAGS(life) & CONN_TEMPLATE)
		return c->created;
	if (LIFE_PROTO(life) == IPPROTO_TCP)
		return s->tcp_timeout[state];
	return LIFE_PROTO(life) == IPPROTO_SCTP ? s->sctp_timeout[state] : s->udp_timeout;
}

/* Was the entry idle for a minute, after a few packets of its client? Of those with n packets, one in n goes. */
static __always_inline int defence_drops_idle(const struct settings *s, struct defence *d, const struct conn *c,
					      __u32 now)
{
	__u32 packets = c->packets;

	if ((__s32)(c->expires + s->hz * IDLE_S - now - defence_timeout(s, c)) > 0)
		return 0;
	if (!packets || packets >= DEFENCE_PACKETS)
		return 0;
	if (--d->idle_counter[packets & (DEFENCE_PACKETS_ROOM - 1)] > 0)
		return 0;
	d->idle_counter[packets & (DEFENCE_PACKETS_ROOM - 1)] = packets;
	return 1;
}

static __always_inline int defence_one_packet(const struct conn *c)
{
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
	struct service *service = d ? bpf_map_lookup_elem(&services, &d->service) : NULL;

	return service && service->flags & SERVICE_ONE_PACKET;
}

/* IPVS's choice: half-open ones go at once, established and UDP ones when idle, templates while nothing proved them. */
static __always_inline int defence_drops(const struct settings *s, struct defence *d, const struct conn *c, __u32 now)
{
	__u32 life = c->life, state = LIFE_STATE(life), proto = LIFE_PROTO(life);

	if (LIFE_FLAGS(life) & CONN_TEMPLATE) {
		if (c->route) /* it holds connections */
			return 0;
		if (defence_one_packet(c))
			return defence_drops_idle(s, d, c, now);
		return state != TEMPLATE_ASSURED;
	}
	if (proto == IPPROTO_TCP && state != TCP_S_ESTABLISHED)
		return state == TCP_S_SYN_RECV || state == TCP_S_SYNACK;
	if (proto == IPPROTO_SCTP && state != SCTP_S_ESTABLISHED)
		return state == SCTP_S_INIT1 || state == SCTP_S_INIT;
	return defence_drops_idle(s, d, c, now);
}

/* The sweep's look at an entry that is alive. It expires now, is dead for packets, and is freed by the next walk. */
__noinline int defence_drop_entry(__u32 slot, __u32 now)
{
	struct settings *s = settings_get();
	struct defence *d = defence_get();
	struct conn *c = bpf_map_lookup_elem(&conns, &slot);

	if (!s || !d || !c || !defence_drops(s, d, c, now))
		return 0;
	c->expires = now;
	d->entries_dropped++;
	return 1;
}

#endif
