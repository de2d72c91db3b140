/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peer reads no FTP: what packets of other connections pay for it in ours is not paid here. */
#ifndef PIRANHA_FTP_H
#define PIRANHA_FTP_H

#include "conn.h"
#include "ftp_port.h"
#include "packet.h"

struct ftp_work {
	__u32 control;
	__u32 dest;
	__u32 extra;
};

static __always_inline struct ftp_work *ftp_work(void)
{
	return NULL;
}

static __always_inline int ftp_announced(struct packet *p)
{
	return 0;
}

static __always_inline void ftp_made(__u32 slot)
{
}

static __always_inline int ftp_open(int announced)
{
	return announced;
}

static __always_inline int ftp_from_client(struct __sk_buff *skb, struct packet *p, __u32 slot)
{
	return 0;
}

static __always_inline int ftp_from_server(struct __sk_buff *skb, struct packet *p, __u32 slot)
{
	return 0;
}

#endif
