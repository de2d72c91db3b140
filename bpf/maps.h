/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every map of the data plane. Sizes written here are floors; the loader sets those that the configuration decides. */
#ifndef PIRANHA_MAPS_H
#define PIRANHA_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

#define MMAPPED_ARRAY(name, entries, type_)                                                                            \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__uint(max_entries, entries);                                                                          \
		__type(key, __u32);                                                                                    \
		__type(value, type_);                                                                                  \
	} name SEC(".maps")

MMAPPED_ARRAY(settings, 1, struct settings);
MMAPPED_ARRAY(filter, FILTER_LINES, struct filter_line);
MMAPPED_ARRAY(conn_tags, 64, struct conn_line);
MMAPPED_ARRAY(conns, 64 * CONN_WAYS, struct conn);
MMAPPED_ARRAY(rev_tags, 64, struct rev_line);
MMAPPED_ARRAY(dests, 64, struct dest);
MMAPPED_ARRAY(nexthops, 64, struct nexthop);
MMAPPED_ARRAY(client_routes, 4096, struct client_route);
MMAPPED_ARRAY(services, 64, struct service);
MMAPPED_ARRAY(slots, 64, struct slot_line);
MMAPPED_ARRAY(mark_rules, MARK_RULES, struct mark_rule);
/* What a service's former destinations counted; user space alone writes it. */
MMAPPED_ARRAY(service_stats, 64, struct dest_stats);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct service_key);
	__type(value, __u32);
} service_ids SEC(".maps");

/* By the slot of a template of the persistence engine sip. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

/* The masqueraded destination of each address and port; of several the one that was added last. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct server_key);
	__type(value, __u32);
} servers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct dest_stats);
} dest_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

/* What the fragments of one packet have in common (RFC 791, RFC 8200). */
struct fragment_key {
	union addr saddr;
	union addr daddr;
	__be32 id;  /* of IPv4: 16 bits */
	__u8 proto; /* of IPv4 */
	__u8 pad[3];
};

/* Where the first of them went. */
struct fragment {
	union addr vaddr;
	__u32 dest;
	__u32 expires; /* low half of jiffies */
	__u8 side;     /* SIDE_SOURCE: from the server; SIDE_DESTINATION: to it */
	__u8 method;   /* enum method */
	__u8 pad[2];
};

#define FRAGMENTS 8192 /* packets in pieces, at one time; the longest unused gives way */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct ftp_key);
	__type(value, struct ftp_control);
} ftp_controls SEC(".maps");

static __always_inline void reason_count(__u32 reason)
{
	__u64 *n = bpf_map_lookup_elem(&reasons, &reason);

	if (n)
		(*n)++;
}

static __always_inline struct settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

#endif
