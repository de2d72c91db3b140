/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `sync_in` and lvsd share; mirrored in src/piranha/dataplane/ebpf/arrivals.py. */
#ifndef PIRANHA_SYNC_H
#define PIRANHA_SYNC_H

#include "abi.h"

#define SYNC_BATCH 4096

enum sync_outcome {
	SYNC_MADE,     /* a new entry */
	SYNC_UPDATED,  /* an entry that was here */
	SYNC_REPLACED, /* a new entry in the place of one to another destination */
	SYNC_STALE,    /* the end of a connection that was replaced since: nothing was done */
	SYNC_KNOWN,    /* `keep`: the entry was here and stays as it is */
	SYNC_NO_DEST,
	SYNC_FULL,
	SYNC_RACE, /* a packet made the connection at that moment */
	SYNC_OUTCOMES,
};

struct sync_record {
	union addr caddr;
	union addr vaddr;
	__be16 cport;
	__be16 vport;
	__u32 life; /* as in struct conn; of the flags INACTIVE, TEMPLATE, KEEP_PORT and CALL count */
	__u32 dest;
	__u32 timeout; /* jiffies from now */
	__u32 span;    /* of a template: its life in jiffies */
	__u16 outcome; /* out: enum sync_outcome */
	__u16 keep;    /* 1: leave an entry that is here as it is */
	__u32 slot;    /* out, of an entry that was made or updated */
	__u32 pad;
};

struct sync_args {
	__u32 count;
};

_Static_assert(sizeof(struct sync_record) == 64, "one cache line");

#endif
