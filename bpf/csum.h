/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Internet checksum arithmetic (RFC 1071, incremental update RFC 1624). Tier: established. */
#ifndef PIRANHA_CSUM_H
#define PIRANHA_CSUM_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What changes in a checksum when `from` becomes `to`. Words that are equal add nothing. */
static __always_inline __u64 csum_diff_addr(const union addr *from, const union addr *to)
{
	return (__u64)(__u32)~from->w[0] + to->w[0] + (__u32)~from->w[1] + to->w[1] + (__u32)~from->w[2] + to->w[2] +
	       (__u32)~from->w[3] + to->w[3];
}

static __always_inline __u64 csum_diff16(__u16 from, __u16 to)
{
	return (__u64)(__u16)~from + to;
}

static __always_inline void csum_apply(__sum16 *sum, __u64 diff)
{
	*sum = ~csum_fold((__u64)(__u16) ~*sum + diff);
}

#endif
