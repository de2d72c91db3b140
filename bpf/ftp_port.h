/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections may be FTP's, by their ports. Tier: new connection. */
#ifndef PIRANHA_FTP_PORT_H
#define PIRANHA_FTP_PORT_H

#include "abi.h"
#include "packet.h"

/* FTP's service, by its port, may take data connections too. */
#define FTP_PORT	21
#define FTP_DATA_PORT	20
#define FIRST_FREE_PORT 1024 /* ports from here on need no privilege */

/* May the packet be of a data connection whose client's port was not known? */
static __always_inline int ftp_awaits(const struct settings *s, const struct packet *p)
{
	return s->flags & SETTING_FTP && p->proto == IPPROTO_TCP;
}

/* Is a masqueraded connection of this packet one of control? */
static __always_inline int ftp_controls_port(const struct settings *s, const struct packet *p)
{
	int found = 0;

	if (!ftp_awaits(s, p))
		return 0;
	for (int i = 0; i < FTP_PORTS; i++)
		found |= p->dport && s->ftp_ports[i] == p->dport;
	return found;
}

#endif
