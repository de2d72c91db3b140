/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a packet leaves. Towards real servers user space has resolved the next hop; towards clients the kernel's
 * routing table is asked once a second and connection, and the answer is kept in `client_routes`.
 */
#ifndef PIRANHA_ROUTE_H
#define PIRANHA_ROUTE_H

#include "conn.h"
#include "maps.h"
#include "packet.h"

#define CLIENT_ROUTES 4096
#define ROUTE_STALE_S 10 /* a record that nobody confirmed for this long may be overwritten */

struct route {
	union addr gateway;
	__u32 ifindex;
	__u32 mtu;    /* 0 is unknown */
	__u8 dmac[8]; /* 6 are used; the stack is read in aligned words */
	__u8 smac[8];
	__u32 flags; /* NEXTHOP_READY, NEXTHOP_XDP */
};

static __always_inline int device_takes_xdp(const struct settings *s, __u32 ifindex)
{
#pragma unroll
	for (int i = 0; i < OWN_MACS; i++)
		if (s->xdp_device[i] == ifindex)
			return 1;
	return 0;
}

#define LEARNED_LIFE_S 600 /* as Linux's mtu_expires */
#define IPV4_PATH_MTU  552 /* nobody is believed who tells of less: Linux's min_pmtu */
#define IPV6_PATH_MTU  1280

/* Tier: established. What the way to a server takes; 0 is unknown. */
static __always_inline __u32 nexthop_mtu(const struct settings *s, struct nexthop *nh, __u32 now)
{
	__u64 learned = nh->learned;

	if (!learned)
		return nh->mtu;
	if (now - (__u32)(learned >> 32) < s->hz * LEARNED_LIFE_S)
		return learned;
	__sync_val_compare_and_swap(&nh->learned, learned,
				    0); /* or it would be true again when the clock comes round */
	return nh->mtu;
}

/* Tier: slow. A router on the way says what it takes. */
static __always_inline void nexthop_learn(__u32 hop, __u32 mtu, int v6, __u32 now)
{
	struct nexthop *nh = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
	__u32 least = v6 ? IPV6_PATH_MTU : IPV4_PATH_MTU;

	if (mtu < least)
		mtu = least;
	if (nh && (!nh->mtu || mtu < nh->mtu))
		nh->learned = (__u64)now << 32 | mtu;
}

/*
 * Ask the kernel. Not inlined: its parameters would weigh on everybody's stack. 0: complete; 1: the neighbour is not
 * known yet (ifindex and gateway are); negative: no route.
 */
static __noinline int route_lookup(void *ctx, struct route *r, const union addr *src, const union addr *dst,
				   __u32 ifindex)
{
	struct bpf_fib_lookup fib = {};

	fib.ifindex = ifindex;
	if (!addr_is_v4(dst)) {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, src, 16);
		__builtin_memcpy(fib.ipv6_dst, dst, 16);
	} else {
		fib.family = AF_INET;
		fib.ipv4_src = src->w[3];
		fib.ipv4_dst = dst->w[3];
	}
	long result = bpf_fib_lookup(ctx, &fib, sizeof(fib), 0);

	/* Too big for the device: the caller compares with the MTU itself and knows how to say so. */
	if (result == BPF_FIB_LKUP_RET_FRAG_NEEDED && fib.mtu_result)
		result = BPF_FIB_LKUP_RET_SUCCESS;
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return -1;
	r->ifindex = fib.ifindex;
	r->mtu = result ? 0 : fib.mtu_result;
	if (fib.family == AF_INET6)
		__builtin_memcpy(&r->gateway, fib.ipv6_dst, 16);
	else
		addr_set_v4(&r->gateway, fib.ipv4_dst);
	if (result)
		return 1;
	__builtin_memcpy(r->dmac, fib.dmac, 6);
	__builtin_memcpy(r->smac, fib.smac, 6);
	r->flags = NEXTHOP_READY;
	return 0;
}

static __always_inline int mac_equal(const __u8 *a, const __u8 *b)
{
	return *(__u32 *)a == *(__u32 *)b && *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

/* Keep `r` for this and other connections. Returns the record's index, or 0 when its place is taken. */
static __always_inline __u32 client_route_keep(const struct settings *s, const struct route *r, __u32 now)
{
	__u32 mix = (*(__u32 *)r->dmac ^ *(__u16 *)(r->dmac + 4) << 16 ^ r->mtu << 8 ^ r->ifindex * 0x9e3779b1u) *
		    0x85ebca6bu;
	__u32 index = 1 + (mix >> 16) % (CLIENT_ROUTES - 1);
	struct client_route *k = bpf_map_lookup_elem(&client_routes, &index);

	if (!k)
		return 0;
	if (k->ifindex == r->ifindex && k->mtu == r->mtu && mac_equal(k->dmac, r->dmac) &&
	    mac_equal(k->smac, r->smac)) {
		k->confirmed = now;
		return index;
	}
	if (k->ifindex && now - k->confirmed < s->hz * ROUTE_STALE_S)
		return 0;
	if (__sync_val_compare_and_swap(&k->lock, 0, 1))
		return 0;
	__builtin_memcpy(k->dmac, r->dmac, 6);
	__builtin_memcpy(k->smac, r->smac, 6);
	k->flags = r->flags;
	k->mtu = r->mtu;
	k->confirmed = now;
	k->ifindex = r->ifindex;
	__sync_lock_test_and_set(&k->lock, 0);
	return index;
}

/* Tier: established. The way back to the client of `c`; results as route_lookup. */
static __always_inline int route_to_client(void *ctx, const struct settings *s, struct conn *c, struct route *r,
					   __u32 ifindex, __u32 now)
{
	__u32 period = (now >> s->route_shift) & 0xffff;
	__u32 kept = c->route;

	if (kept >> 16 && (kept & 0xffff) == period) {
		__u32 index = kept >> 16;
		struct client_route *k = bpf_map_lookup_elem(&client_routes, &index);

		if (k && k->ifindex) {
			r->ifindex = k->ifindex;
			r->mtu = k->mtu;
			r->flags = k->flags;
			__builtin_memcpy(r->dmac, k->dmac, 6);
			__builtin_memcpy(r->smac, k->smac, 6);
			return 0;
		}
	}
	int result = route_lookup(ctx, r, &c->vaddr, &c->caddr, ifindex);

	if (result)
		return result;
	if (device_takes_xdp(s, r->ifindex))
		r->flags |= NEXTHOP_XDP;
	__u32 index = client_route_keep(s, r, now);
	if (index)
		c->route = index << 16 | period;
	return 0;
}

#endif
