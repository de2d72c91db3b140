/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP states of a connection as IPVS has them (Linux net/netfilter/ipvs/ip_vs_proto_tcp.c describes the same machine):
 * three views, because a director sees both directions of a masqueraded connection and only the client's half of
 * others. Tier: established.
 */
#ifndef PIRANHA_TCP_STATE_H
#define PIRANHA_TCP_STATE_H

#include "abi.h"
#include "packet.h"

enum tcp_event { EVENT_SYN, EVENT_FIN, EVENT_ACK, EVENT_RST };

#define NO TCP_S_NONE
#define ES TCP_S_ESTABLISHED
#define SS TCP_S_SYN_SENT
#define SR TCP_S_SYN_RECV
#define FW TCP_S_FIN_WAIT
#define TW TCP_S_TIME_WAIT
#define CL TCP_S_CLOSE
#define CW TCP_S_CLOSE_WAIT
#define LA TCP_S_LAST_ACK
#define LI TCP_S_LISTEN
#define SA TCP_S_SYNACK

/* clang-format off */
/*                          SYN FIN ACK RST */
static const __u8 tcp_next[2 * VIEWS * STATES * 4] = {
	/* client to server, both directions seen */
	/* NONE */          SR, CL, ES, CL,
	/* ESTABLISHED */   ES, CW, ES, CL,
	/* SYN_SENT */      ES, SS, SS, CL,
	/* SYN_RECV */      SR, TW, ES, SR,
	/* FIN_WAIT */      SR, TW, FW, CL,
	/* TIME_WAIT */     SR, TW, TW, CL,
	/* CLOSE */         SR, CL, CL, CL,
	/* CLOSE_WAIT */    SR, CW, CW, CL,
	/* LAST_ACK */      SR, LA, CL, LA,
	/* LISTEN */        SR, LI, LI, LI,
	/* SYNACK */        SR, TW, ES, SR,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* server to client */
	/* NONE */          SS, TW, ES, CL,
	/* ESTABLISHED */   ES, FW, ES, CL,
	/* SYN_SENT */      SS, SS, SS, SS,
	/* SYN_RECV */      SR, TW, ES, CL,
	/* FIN_WAIT */      SS, FW, FW, CL,
	/* TIME_WAIT */     SS, TW, TW, TW,
	/* CLOSE */         SS, CL, CL, CL,
	/* CLOSE_WAIT */    SS, TW, CW, CL,
	/* LAST_ACK */      SS, LA, LA, CL,
	/* LISTEN */        LI, LI, ES, CL,
	/* SYNACK */        SR, TW, ES, CL,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* client to server, the only direction seen */
	/* NONE */          SR, CL, ES, CL,
	/* ESTABLISHED */   ES, FW, ES, CL,
	/* SYN_SENT */      ES, SS, SS, CL,
	/* SYN_RECV */      SR, TW, ES, SR,
	/* FIN_WAIT */      SR, FW, FW, CL,
	/* TIME_WAIT */     SR, TW, TW, CL,
	/* CLOSE */         SR, CL, CL, CL,
	/* CLOSE_WAIT */    SR, CW, CW, CL,
	/* LAST_ACK */      SR, LA, CL, LA,
	/* LISTEN */        SR, LI, LI, LI,
	/* SYNACK */        SR, TW, ES, CL,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* client to server, both directions seen; with secure_tcp an ACK is no proof */
	/* NONE */           SR, CL, ES, CL,
	/* ESTABLISHED */    ES, CW, ES, CL,
	/* SYN_SENT */       ES, SS, SS, CL,
	/* SYN_RECV */       SR, TW, SR, SR,
	/* FIN_WAIT */       SR, TW, FW, CL,
	/* TIME_WAIT */      SR, TW, TW, CL,
	/* CLOSE */          SR, CL, CL, CL,
	/* CLOSE_WAIT */     SR, CW, CW, CL,
	/* LAST_ACK */       SR, LA, CL, LA,
	/* LISTEN */         SR, LI, LI, LI,
	/* SYNACK */         SA, SA, SA, CL,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* server to client; with secure_tcp */
	/* NONE */           SS, TW, ES, CL,
	/* ESTABLISHED */    ES, FW, ES, CL,
	/* SYN_SENT */       SS, SS, SS, SS,
	/* SYN_RECV */       SA, TW, ES, CL,
	/* FIN_WAIT */       SS, FW, FW, CL,
	/* TIME_WAIT */      SS, TW, TW, TW,
	/* CLOSE */          SS, CL, CL, CL,
	/* CLOSE_WAIT */     SS, TW, CW, CL,
	/* LAST_ACK */       SS, LA, LA, CL,
	/* LISTEN */         LI, LI, ES, CL,
	/* SYNACK */         SA, TW, ES, CL,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
	/* client to server, the only direction seen; with secure_tcp */
	/* NONE */           SA, CL, ES, CL,
	/* ESTABLISHED */    ES, FW, ES, CL,
	/* SYN_SENT */       ES, SS, SS, CL,
	/* SYN_RECV */       SR, TW, ES, SR,
	/* FIN_WAIT */       SA, FW, FW, CL,
	/* TIME_WAIT */      SA, TW, TW, CL,
	/* CLOSE */          SA, CL, CL, CL,
	/* CLOSE_WAIT */     SA, CW, CW, CL,
	/* LAST_ACK */       SA, LA, CL, LA,
	/* LISTEN */         SA, LI, LI, LI,
	/* SYNACK */         SA, TW, ES, CL,
	NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO,
};
/* clang-format on */

#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

/* One segment is one event: RST before SYN before FIN before ACK; a segment with none of them closes. `secure` is 0 or
 * 1: the table of the defence secure_tcp. */
static __always_inline __u8 tcp_state_next(__u8 state, __u8 flags, enum view view, __u32 secure)
{
	__u32 event;

	if (flags & TCP_RST)
		event = EVENT_RST;
	else if (flags & TCP_SYN)
		event = EVENT_SYN;
	else if (flags & TCP_FIN)
		event = EVENT_FIN;
	else if (flags & TCP_ACK)
		event = EVENT_ACK;
	else
		return TCP_S_CLOSE;
	return tcp_next[((secure * VIEWS + view) * STATES + (state & (STATES - 1))) * 4 + event];
}

static __always_inline int tcp_state_active(__u8 state)
{
	return state == TCP_S_ESTABLISHED || state == TCP_S_SYN_SENT || state == TCP_S_SYN_RECV ||
	       state == TCP_S_SYNACK;
}

#endif
