/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hash functions of IPVS's sh, dh and mh, bit for bit, so that a client gets the same server on either data plane.
 * Tier: new connection. Their mirror is src/piranha/dataplane/ebpf/hashing.py.
 */
#ifndef PIRANHA_SCHED_HASH_H
#define PIRANHA_SCHED_HASH_H

#include "sched.h"

#define HASH_BITS	8 /* of sh and dh */
#define HASH_BUCKETS	(1 << HASH_BITS)
#define GOLDEN_RATIO_32 0x61C88647u
#define MH_KEY		2654435761ull /* both halves of the key that clients are hashed with */

/* An address as one number: IPv4 as it is, of IPv6 the exclusive or of its four words. */
static __always_inline __u32 addr_fold(const union addr *a, int v6)
{
	return bpf_ntohl(v6 ? a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3] : a->w[3]);
}

/* What sh and mh hash of a client: its address, and its port where the service's flag says so. */
static __always_inline __u32 client_fold(const struct sched_input *in, const struct packet *packet)
{
	__u32 port = in->flags & SCHED_FLAG_2 ? bpf_ntohs(packet->sport) : 0;

	return addr_fold(&packet->saddr, packet->v6) + port;
}

static __always_inline __u32 hash_bucket(__u32 value)
{
	return value * GOLDEN_RATIO_32 >> (32 - HASH_BITS);
}

static __always_inline __u64 rotate_left(__u64 v, int n)
{
	return v << n | v >> (64 - n);
}

struct sip {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v2 += s->v3;
	s->v1 = rotate_left(s->v1, 13) ^ s->v0;
	s->v3 = rotate_left(s->v3, 16) ^ s->v2;
	s->v0 = rotate_left(s->v0, 32);
	s->v2 += s->v1;
	s->v0 += s->v3;
	s->v1 = rotate_left(s->v1, 17) ^ s->v2;
	s->v3 = rotate_left(s->v3, 21) ^ s->v0;
	s->v2 = rotate_left(s->v2, 32);
}

/* SipHash-1-3 of one 32-bit word, both halves of the key being `key`: what hsiphash is on 64-bit kernels. */
static __always_inline __u32 sip_hash(__u32 word, __u64 key)
{
	__u64 block = 4ull << 56 | word; /* the length in bytes in the top byte */
	struct sip s = {
		.v0 = 0x736f6d6570736575ull ^ key,
		.v1 = 0x646f72616e646f6dull ^ key,
		.v2 = 0x6c7967656e657261ull ^ key,
		.v3 = 0x7465646279746573ull ^ key,
	};

	s.v3 ^= block;
	sip_round(&s);
	s.v0 ^= block;
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The usable destination of one entry, or NO_DEST. */
static __always_inline __u32 slot_usable(__u32 at)
{
	__u32 index;
	struct dest *d = slot_dest(at, &index);

	return d && dest_usable(d) ? index : NO_DEST;
}

#endif
