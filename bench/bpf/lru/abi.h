/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The peer's ABI: everything as in bpf/abi.h but the connection. A hash map keeps the key beside the value, so what
 * every packet needs comes first in the value, and what only replies need comes last, where other packets do not touch
 * it.
 */
#ifndef BENCH_LRU_ABI_H
#define BENCH_LRU_ABI_H

#define conn conn_of_arrays
#include "../../../bpf/abi.h"
#undef conn

struct conn {
	__u32 life;
	__u32 dest;
	__u32 expires;
	__u32 packets;
	__u32 control;
	__u32 route;
	__u32 created;
	__be16 cport;
	__be16 vport;
	union addr caddr;
	union addr vaddr;
};

/* A flow as one side sends it; both directions have an entry under their own key. */
struct conn_key {
	union addr from;
	union addr to;
	__be16 from_port;
	__be16 to_port;
	__u32 proto;
};

_Static_assert(sizeof(struct conn) == 64, "as large as the entry of the flat table");
_Static_assert(sizeof(struct conn_key) == 40, "no hidden padding");

#endif
