/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Room to work in, one for each CPU: the stack of 512 bytes is too small for all that a packet may need. */
#ifndef PIRANHA_WORKBENCH_H
#define PIRANHA_WORKBENCH_H

#include "conn.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "route.h"

#define WORKBENCH_CHUNK 256
#define SHIM_WORDS	3 /* most that stands between the outer and inner IP header of a tunnel */

/* What every fragment of a packet that is cut begins with. */
struct cut_head {
	__u8 pad[2]; /* so that IP headers are aligned */
	struct ethhdr eth;
	union {
		struct iphdr v4;
		struct {
			struct ipv6hdr v6;
			struct fragment_header fragment;
		};
	};
};

/* A super-packet that is cut up: what its segments have in common, and the one under way. */
struct segments {
	__be32 head[64]; /* the segment's IP and TCP headers */
	struct packet packet;
	struct dest dest;
	union addr source; /* of the tunnel */
	__u32 ifindex;
	__u32 length; /* of all data */
	__u32 step;
	__u32 at; /* where the segment's data begins */
	__u32 sequence;
	__u32 headers;	/* bytes of them */
	__u32 slice_at; /* data that is being summed */
	__u32 slice_left;
	__u32 slice_sum;
	__u16 id;
	__u8 flags;
	__u8 failed;
};

struct workbench {
	struct packet template_key;
	struct flow template_flow;
	struct flow reverse;
	struct route route;
	struct service_key service;
	__u32 control;
	__u32 template_slot;
	__u32 chosen;		      /* destination */
	struct conn one_packet;	      /* a one-packet connection lives as long as its packet */
	struct fragment_key fragment; /* of the fragment under way */
	struct fragment remembered;
	struct packet quoted;	     /* by an error from inside a tunnel */
	struct icmp_quoted answered; /* by any other error */
	struct flow answered_flow;
	struct packet outgoing; /* what a server's packet of no connection would be answered by */
	struct flow outgoing_flow;
	__u32 wanted; /* destination of the connection to be made; 0 lets the scheduler choose */
	__be32 shim[SHIM_WORDS];
	__be32 chunk[WORKBENCH_CHUNK / 4]; /* of a packet that is read whole */
	struct cut_head cut;
	struct segments segments;
	__u32 cut_mtu; /* most that each fragment may have */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct workbench);
} workbench SEC(".maps");
#define ONE_PACKET_SLOT 0xfffffffeu

static __always_inline struct workbench *workbench_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&workbench, &zero);
}

static __always_inline struct conn *one_packet_conn(void)
{
	struct workbench *w = workbench_get();

	return w ? &w->one_packet : NULL;
}

#endif
