/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lease on the VIPs, as the gate (gate.bpf.c) and the XDP entry of the data plane share it: one pinned map, made by
 * whichever is loaded first. docs/design/lease.md.
 */
#ifndef PIRANHA_GATE_H
#define PIRANHA_GATE_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

/* One cache line. Mirrored in src/piranha/pulse/gate.py; a test compares. */
struct gate_lease {
	__u64 until_ns; /* of boot time; 0: no lease. The kernel moves it on, pulse claims and drops */
	/* The same end in jiffies, written by renewals: a clock that costs XDP nothing. 0: ask until_ns. */
	__u64 until_jiffies;
	__u64 lease_ns;
	__u64 lease_jiffies;
	__u32 active_word; /* the first four bytes of an active heartbeat, as they lie on the wire */
	__be16 heartbeat_port;
	__u8 enabled; /* 0: the gate lets everything through, whatever the lease */
	__u8 pad;
	__u32 owner; /* user id of the process whose heartbeats count */
	__u32 pad2;
	__u64 renewals;
	__u64 renewed_ns;
};
_Static_assert(sizeof(struct gate_lease) == 64, "gate_lease is one cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gate_lease);
} gate_lease SEC(".maps");

static __always_inline struct gate_lease *gate_lease_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gate_lease, &zero);
}

/* Tier: established. Does the lease hold for certain? False may also mean that the exact clock has to be asked. */
static __always_inline int gate_open_surely(const struct gate_lease *lease)
{
	return lease->until_ns && bpf_jiffies64() < lease->until_jiffies;
}

/* Tier: established. XDP cannot tell whom a shut gate keeps out: it leaves all packets to TC, where the gate is first.
 */
static __always_inline int gate_stands_aside(void)
{
	const struct gate_lease *lease = gate_lease_get();

	return lease && lease->enabled && !gate_open_surely(lease);
}

#endif
