/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address filter: eight kilobytes that tell whether an address can be a VIP or a real server. Tier: established. */
#ifndef PIRANHA_FILTER_H
#define PIRANHA_FILTER_H

#include "maps.h"
#include "packet.h"

/* User space computes the same (abi.py: filter_position). False positives cost a look-up, never a wrong answer. */
static __always_inline __u32 filter_look(const union addr *a, __u32 bits)
{
	__u64 h = (a->d[0] ^ a->d[1]) * 0x9e3779b97f4a7c15ull;
	__u32 position = (__u32)(h >> (64 - FILTER_BITS)) * 2;
	__u32 line = position / 512;
	struct filter_line *f = bpf_map_lookup_elem(&filter, &line);

	if (!f)
		return 0;
	return (f->word[(position / 64) & 7] >> (position & 63)) & bits;
}

/* Tier: established. May the packet be to a VIP, or from a server whose replies we translate? */
static __always_inline int packet_concerns(const struct settings *s, const struct packet *p, __u32 *to_vip,
					   __u32 *from_rs)
{
	*to_vip = filter_look(&p->daddr, FILTER_VIP);
	if (s->flags & (SETTING_MARKS | SETTING_MARK_ANY))
		*to_vip |= p->mark || s->flags & SETTING_MARK_ANY;
	*from_rs = s->flags & SETTING_MASQ ? filter_look(&p->saddr, FILTER_SERVER) : 0;
	return *to_vip || *from_rs;
}

#endif
