/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SCTP states of an association as IPVS has them (Linux net/netfilter/ipvs/ip_vs_proto_sctp.c describes the same
 * machine): three views as for TCP; one packet is one event, that of its first chunk. Tier: established.
 */
#ifndef PIRANHA_SCTP_STATE_H
#define PIRANHA_SCTP_STATE_H

#include "abi.h"
#include "packet.h"

enum sctp_event {
	SCTP_EVENT_DATA, /* and whatever else keeps an association going */
	SCTP_EVENT_INIT,
	SCTP_EVENT_INIT_ACK,
	SCTP_EVENT_COOKIE_ECHO,
	SCTP_EVENT_COOKIE_ACK,
	SCTP_EVENT_SHUTDOWN,
	SCTP_EVENT_SHUTDOWN_ACK,
	SCTP_EVENT_SHUTDOWN_COMPLETE,
	SCTP_EVENT_ERROR,
	SCTP_EVENT_ABORT,
};
#define SCTP_EVENTS 16 /* room for them in the table: a power of two */

/* Four bits for each chunk type below 16, the event that it is. Types without bits here are data. */
#define SCTP_IS(chunk, event) ((__u64)(event) << (chunk) * 4)
#define SCTP_EVENTS_OF_CHUNKS                                                                                          \
	(SCTP_IS(SCTP_INIT, SCTP_EVENT_INIT) | SCTP_IS(SCTP_INIT_ACK, SCTP_EVENT_INIT_ACK) |                           \
	 SCTP_IS(SCTP_ABORT, SCTP_EVENT_ABORT) | SCTP_IS(SCTP_SHUTDOWN, SCTP_EVENT_SHUTDOWN) |                         \
	 SCTP_IS(SCTP_SHUTDOWN_ACK, SCTP_EVENT_SHUTDOWN_ACK) | SCTP_IS(SCTP_ERROR, SCTP_EVENT_ERROR) |                 \
	 SCTP_IS(SCTP_COOKIE_ECHO, SCTP_EVENT_COOKIE_ECHO) | SCTP_IS(SCTP_COOKIE_ACK, SCTP_EVENT_COOKIE_ACK) |         \
	 SCTP_IS(SCTP_SHUTDOWN_COMPLETE, SCTP_EVENT_SHUTDOWN_COMPLETE))

#define NO SCTP_S_NONE
#define I1 SCTP_S_INIT1
#define IN SCTP_S_INIT
#define CS SCTP_S_COOKIE_SENT
#define CR SCTP_S_COOKIE_REPLIED
#define CW SCTP_S_COOKIE_WAIT
#define CO SCTP_S_COOKIE
#define CE SCTP_S_COOKIE_ECHOED
#define ES SCTP_S_ESTABLISHED
#define SS SCTP_S_SHUTDOWN_SENT
#define SR SCTP_S_SHUTDOWN_RECEIVED
#define SA SCTP_S_SHUTDOWN_ACK_SENT
#define RJ SCTP_S_REJECTED
#define CL SCTP_S_CLOSED

/* clang-format off */
/* Columns: data, INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE, ERROR, ABORT. */
static const __u8 sctp_next[VIEWS][STATES][SCTP_EVENTS] = {
	{
		/* client to server, both directions seen */
		/* NONE */              { ES, I1, CW, CR, ES, SR, CL, CL, CL, CL },
		/* INIT1 */             { I1, IN, CW, IN, I1, I1, IN, CL, I1, CL },
		/* INIT */              { IN, IN, CW, IN, IN, IN, IN, CL, IN, CL },
		/* COOKIE_SENT */       { CS, CS, CS, CR, CS, CS, CS, CS, CS, CL },
		/* COOKIE_REPLIED */    { CR, CR, CR, CR, CR, CR, CR, CR, CR, CL },
		/* COOKIE_WAIT */       { CW, CW, CO, CW, CW, CW, CW, CW, CW, RJ },
		/* COOKIE */            { CO, CO, CO, CO, CO, CO, CO, CO, CO, CL },
		/* COOKIE_ECHOED */     { CE, CE, CE, CE, ES, CE, CE, CE, CL, CL },
		/* ESTABLISHED */       { ES, ES, ES, ES, ES, SR, ES, ES, ES, CL },
		/* SHUTDOWN_SENT */     { SS, SS, SS, SS, SS, SS, CL, SS, SS, CL },
		/* SHUTDOWN_RECEIVED */ { SR, SR, SR, SR, SR, SR, SR, SR, SR, CL },
		/* SHUTDOWN_ACK_SENT */ { SA, SA, SA, SA, SA, SA, CL, CL, SA, CL },
		/* REJECTED */          { RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		/* CLOSED */            { CL, IN, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	{
		/* server to client */
		/* NONE */              { ES, CW, CS, CE, ES, SS, SA, CL, CL, CL },
		/* INIT1 */             { I1, CW, CS, CE, ES, SS, SA, I1, CL, RJ },
		/* INIT */              { IN, CW, CS, CE, ES, SS, SA, IN, CL, CL },
		/* COOKIE_SENT */       { CS, CW, CS, CE, ES, SS, SA, CS, CL, CL },
		/* COOKIE_REPLIED */    { CR, CW, CR, CE, ES, SS, SA, CR, CL, CL },
		/* COOKIE_WAIT */       { CW, CW, CW, CE, ES, SS, CW, CW, CW, CL },
		/* COOKIE */            { CO, CW, CO, CE, ES, SS, CO, CO, CO, CL },
		/* COOKIE_ECHOED */     { CE, CW, CE, CE, ES, SS, CE, CE, CE, CL },
		/* ESTABLISHED */       { ES, ES, ES, ES, ES, SS, ES, ES, ES, CL },
		/* SHUTDOWN_SENT */     { SS, CW, SS, SS, SS, SS, SA, SS, SS, CL },
		/* SHUTDOWN_RECEIVED */ { SR, CW, SR, SR, SR, SR, SA, SR, SR, CL },
		/* SHUTDOWN_ACK_SENT */ { SA, CW, SA, SA, SA, SA, SA, SA, SA, CL },
		/* REJECTED */          { RJ, CW, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		/* CLOSED */            { CL, CW, CL, CL, CL, CL, CL, CL, CL, CL },
	},
	{
		/* client to server, the only direction seen */
		/* NONE */              { ES, I1, CE, ES, ES, SR, CL, CL, CL, CL },
		/* INIT1 */             { I1, IN, CE, ES, I1, I1, IN, CL, I1, CL },
		/* INIT */              { IN, IN, CE, ES, IN, IN, IN, CL, IN, CL },
		/* COOKIE_SENT */       { CS, IN, CE, ES, ES, CS, CS, CL, CS, CL },
		/* COOKIE_REPLIED */    { CR, IN, CE, ES, ES, CR, CR, CL, CR, CL },
		/* COOKIE_WAIT */       { ES, IN, CE, ES, CW, CW, CW, CW, CW, RJ },
		/* COOKIE */            { CO, CO, CO, CO, ES, CO, CO, CO, CO, CL },
		/* COOKIE_ECHOED */     { CE, CE, CE, CE, ES, CE, CE, CE, CE, CL },
		/* ESTABLISHED */       { ES, ES, ES, ES, ES, SR, CL, ES, ES, CL },
		/* SHUTDOWN_SENT */     { SS, SS, SS, SS, SS, SS, CL, SS, SS, CL },
		/* SHUTDOWN_RECEIVED */ { SR, SR, SR, SR, SR, SR, SR, CL, SR, CL },
		/* SHUTDOWN_ACK_SENT */ { SA, SA, SA, SA, SA, SA, CL, CL, SA, CL },
		/* REJECTED */          { RJ, IN, RJ, RJ, RJ, RJ, RJ, RJ, RJ, CL },
		/* CLOSED */            { CL, IN, CL, CL, CL, CL, CL, CL, CL, CL },
	},
};
/* clang-format on */

#undef NO
#undef I1
#undef IN
#undef CS
#undef CR
#undef CW
#undef CO
#undef CE
#undef ES
#undef SS
#undef SR
#undef SA
#undef RJ
#undef CL

/*
 * The chunk that counts: the first, but an ABORT right behind a cookie counts before it (RFC 9260, 3.3.7: control
 * chunks may come before an ABORT). Such a chunk may lie anywhere in the packet, so it is fetched.
 */
static __always_inline __u8 sctp_chunk(void *ctx, const int hook, const struct packet *p)
{
	__u32 at = (p->l4 & L4_OFFSET_MASK) + SCTP_COMMON_HEADER;
	struct sctp_chunk_header chunk;

	if (p->chunk != SCTP_COOKIE_ECHO && p->chunk != SCTP_COOKIE_ACK)
		return p->chunk;
	if (packet_load(ctx, hook, at, &chunk, sizeof(chunk)))
		return p->chunk;
	__u32 length = bpf_ntohs(chunk.length);
	if (length < sizeof(chunk) || packet_load(ctx, hook, at + (length + 3) / 4 * 4, &chunk, sizeof(chunk)))
		return p->chunk;
	return chunk.type == SCTP_ABORT ? SCTP_ABORT : p->chunk;
}

static __always_inline __u8 sctp_state_next(__u8 state, __u8 chunk, enum view view)
{
	__u64 events = SCTP_EVENTS_OF_CHUNKS;
	__u32 event = chunk < 16 ? events >> chunk * 4 & (SCTP_EVENTS - 1) : SCTP_EVENT_DATA;

	return sctp_next[view][state & (STATES - 1)][event];
}

static __always_inline int sctp_state_active(__u8 state)
{
	return state == SCTP_S_ESTABLISHED;
}

#endif
