/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a packet: Ethernet, IPv4 or IPv6, TCP, UDP or SCTP. Tier: established.
 *
 * Nothing is kept as a pointer: helpers invalidate packet pointers, so a packet is offsets and copies,
 * and whoever wants to touch it asks for a pointer with fresh bounds.
 */
#ifndef PIRANHA_PACKET_H
#define PIRANHA_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/* The hook that a copy of the code is compiled for; always a constant, so that the other branch folds away. */
#define HOOK_XDP 0
#define HOOK_TC	 1

#define L3_OFFSET      ETH_HLEN
#define L4_OFFSET_MASK 0x1ff
#define MAX_EXTENSIONS 6
#define MAX_LENGTH     0xffff /* what 16 bits of length can say */
#define AF_INET	       2
#define AF_INET6       10
#define IP_FRAGMENT    0x3fff /* more-fragments bit and offset */
#define IP_DF	       0x4000

#define NEXTHDR_HOP	 0
#define NEXTHDR_ROUTING	 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_DEST	 60

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Which half of a connection a packet is of, as the state tables have them. */
enum view { VIEW_CLIENT, VIEW_SERVER, VIEW_ONE_WAY, VIEWS };

/* RFC 9260, chapter 3: the common header, then one chunk or more, each padded to a whole word. */
enum sctp_chunk_type {
	SCTP_DATA = 0,
	SCTP_INIT = 1,
	SCTP_INIT_ACK = 2,
	SCTP_ABORT = 6,
	SCTP_SHUTDOWN = 7,
	SCTP_SHUTDOWN_ACK = 8,
	SCTP_ERROR = 9,
	SCTP_COOKIE_ECHO = 10,
	SCTP_COOKIE_ACK = 11,
	SCTP_SHUTDOWN_COMPLETE = 14,
};

struct sctp_chunk_header {
	__u8 type;
	__u8 flags;
	__be16 length; /* this header included, padding not */
};

struct sctp_header {
	__be16 source;
	__be16 dest;
	__be32 tag;
	__u32 check;			/* least byte first */
	struct sctp_chunk_header chunk; /* the first one */
};
#define SCTP_COMMON_HEADER 12

/* RFC 8200, section 4.5; the system's header for it pulls in the C library. */
struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 place; /* offset in units of 8 bytes : 13, reserved : 2, more fragments : 1 */
	__be32 id;
};

struct packet {
	union addr saddr;
	union addr daddr;
	__be16 sport;
	__be16 dport;
	__u32 l4;     /* offset of the transport header from the start of the frame */
	__u32 length; /* IP packet, headers included */
	__u32 mark;   /* of the socket buffer; 0 in XDP */
	__u8 proto;
	__u8 v6;
	union {
		__u8 tcp_flags;
		__u8 chunk; /* SCTP: type of the first one */
	};
	__u8 ttl;
	__u8 tos;
	__u8 flags; /* PACKET_* */
};

#define PACKET_DF	 0x01 /* may not be fragmented; always so for IPv6 */
#define PACKET_FRAGMENT	 0x02 /* one of several; the first of them has the transport header, whole */
#define PACKET_CUT	 0x04 /* too long for its way: it leaves in fragments */
#define PACKET_LATER	 0x08 /* a fragment, not the first: nobody is told of its fate */
#define PACKET_QUOTED	 0x40 /* by an ICMP error: nothing is known of it but addresses, protocol and ports */
#define PACKET_ANNOUNCED 0x10 /* no packet, but the flow of FTP data that is going to be */

/* Results of packet_parse. */
enum {
	PARSED,		   /* TCP, UDP or SCTP with ports */
	PARSED_UNFINISHED, /* the same, but SCTP without a checksum: it is left to the device that sends */
	PARSED_ICMP,	   /* ICMP or ICMPv6 */
	NOT_OURS,	   /* not IP, or a protocol that is never switched */
	FRAGMENT, /* addresses and length are known; `l4` is the transport header (IPv4) or the fragment header (IPv6)
		   */
	MALFORMED,
	TRUNCATED, /* headers reach behind the bytes at hand */
};

/* Loads by hand: the compiler takes the 32-bit fields at their word and would cut the pointers that they become. */
#define CTX_POINTER(ctx, type, field)                                                                                  \
	({                                                                                                             \
		void *pointer_;                                                                                        \
		asm volatile("%0 = *(u32 *)(%1 + %2)"                                                                  \
			     : "=r"(pointer_)                                                                          \
			     : "r"(ctx), "i"(__builtin_offsetof(type, field)));                                        \
		pointer_;                                                                                              \
	})

static __always_inline void *packet_data(void *ctx, const int hook)
{
	return hook == HOOK_XDP ? CTX_POINTER(ctx, struct xdp_md, data) : CTX_POINTER(ctx, struct __sk_buff, data);
}

static __always_inline void *packet_end(void *ctx, const int hook)
{
	return hook == HOOK_XDP ? CTX_POINTER(ctx, struct xdp_md, data_end)
				: CTX_POINTER(ctx, struct __sk_buff, data_end);
}

static __always_inline __u32 packet_ifindex(void *ctx, const int hook)
{
	return hook == HOOK_XDP ? ((struct xdp_md *)ctx)->ingress_ifindex : ((struct __sk_buff *)ctx)->ifindex;
}

/* Bytes of the whole frame, fragments of a non-linear buffer included. */
static __always_inline __u32 packet_frame_length(void *ctx, const int hook, void *data, void *end)
{
	return hook == HOOK_XDP ? (__u32)(end - data) : ((struct __sk_buff *)ctx)->len;
}

/* Copy bytes of the frame, wherever they lie. Negative when it ends before. */
static __always_inline long packet_load(void *ctx, const int hook, __u32 offset, void *to, __u32 size)
{
	return hook == HOOK_XDP ? bpf_xdp_load_bytes(ctx, offset, to, size) : bpf_skb_load_bytes(ctx, offset, to, size);
}

static __always_inline void addr_set_v4(union addr *a, __be32 v4)
{
	a->d[0] = 0;
	a->w[2] = bpf_htonl(0xffff);
	a->w[3] = v4;
}

static __always_inline int addr_is_v4(const union addr *a)
{
	return a->d[0] == 0 && a->w[2] == bpf_htonl(0xffff);
}

static __always_inline int addr_equal(const union addr *a, const union addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}

/* Walk IPv6 extension headers from `*l4`. Returns the upper protocol, or a negative parse result. */
static __always_inline int packet_skip_extensions(void *data, void *end, __u8 next, __u32 *l4)
{
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		if (next != NEXTHDR_HOP && next != NEXTHDR_ROUTING && next != NEXTHDR_DEST && next != NEXTHDR_FRAGMENT)
			return next;
		if (next == NEXTHDR_FRAGMENT)
			return -FRAGMENT;
		__u32 offset = *l4 & L4_OFFSET_MASK;
		__u8 *header = data + offset;
		if ((void *)(header + 8) > end)
			return -TRUNCATED;
		next = header[0];
		offset += 8 + header[1] * 8;
		if (offset > L4_OFFSET_MASK - 64)
			return -MALFORMED;
		*l4 = offset;
	}
	return -MALFORMED;
}

static __always_inline int packet_parse_transport(struct packet *p, void *data, void *end)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK;
	__u32 payload = p->length - (l4 - L3_OFFSET); /* the caller saw that this does not wrap */
	void *header = data + l4;

	if (p->proto == IPPROTO_TCP) {
		struct tcphdr *tcp = header;

		if (payload < sizeof(*tcp))
			return MALFORMED;
		if ((void *)(tcp + 1) > end)
			return TRUNCATED;
		__u32 doff = (((__u8 *)tcp)[12] >> 4) * 4;
		if (doff < sizeof(*tcp) || doff > payload)
			return MALFORMED;
		p->sport = tcp->source;
		p->dport = tcp->dest;
		p->tcp_flags = ((__u8 *)tcp)[13];
		return PARSED;
	}
	if (p->proto == IPPROTO_UDP) {
		struct udphdr *udp = header;

		if (payload < sizeof(*udp))
			return MALFORMED;
		if ((void *)(udp + 1) > end)
			return TRUNCATED;
		__u32 length = bpf_ntohs(udp->len);
		/* A super-packet holds more than 16 bits of length can say: 0 then. */
		if (!length && payload > MAX_LENGTH)
			length = payload;
		if (length < sizeof(*udp) || (length > payload && !(p->flags & PACKET_FRAGMENT)))
			return MALFORMED;
		p->sport = udp->source;
		p->dport = udp->dest;
		p->tcp_flags = 0;
		return PARSED;
	}
	if (p->proto == IPPROTO_SCTP) {
		struct sctp_header *sctp = header;

		if (payload < sizeof(*sctp))
			return MALFORMED;
		if ((void *)(sctp + 1) > end)
			return TRUNCATED;
		p->sport = sctp->source;
		p->dport = sctp->dest;
		p->chunk = sctp->chunk.type;
		return sctp->check ? PARSED : PARSED_UNFINISHED;
	}
	if (p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) {
		if (payload < 8)
			return MALFORMED;
		return PARSED_ICMP;
	}
	return NOT_OURS;
}

static __always_inline int packet_parse(struct packet *p, void *data, void *end, __u32 frame_length)
{
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return NOT_OURS;
	__u32 available = frame_length - L3_OFFSET;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return available < sizeof(*ip) ? MALFORMED : TRUNCATED;
		__u8 first = *(__u8 *)ip;
		__u32 header = (first & 0xf) * 4;
		if (first >> 4 != 4 || header < sizeof(*ip))
			return MALFORMED;
		p->v6 = 0;
		p->proto = ip->protocol;
		p->ttl = ip->ttl;
		p->tos = ip->tos;
		p->flags = ip->frag_off & bpf_htons(IP_DF) ? PACKET_DF : 0;
		addr_set_v4(&p->saddr, ip->saddr);
		addr_set_v4(&p->daddr, ip->daddr);
		p->length = bpf_ntohs(ip->tot_len);
		if (!p->length && available > MAX_LENGTH) /* super-packet */
			p->length = available;
		if (p->length < header || p->length > available)
			return MALFORMED;
		p->l4 = L3_OFFSET + header;
		if (ip->frag_off & bpf_htons(IP_FRAGMENT))
			return FRAGMENT;
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = data + L3_OFFSET;

		if ((void *)(ip + 1) > end)
			return available < sizeof(*ip) ? MALFORMED : TRUNCATED;
		if (*(__u8 *)ip >> 4 != 6)
			return MALFORMED;
		p->v6 = 1;
		p->ttl = ip->hop_limit;
		p->tos = (__u8)(bpf_ntohs(*(__be16 *)ip) >> 4);
		p->flags = PACKET_DF;
		__builtin_memcpy(&p->saddr, &ip->saddr, 16);
		__builtin_memcpy(&p->daddr, &ip->daddr, 16);
		if (addr_is_v4(&p->saddr) || addr_is_v4(&p->daddr)) /* never legal on a wire; it would pass for IPv4 */
			return MALFORMED;
		p->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
		if (p->length == sizeof(*ip) && available > MAX_LENGTH)
			p->length = available;
		if (p->length > available)
			return MALFORMED;
		p->l4 = L3_OFFSET + sizeof(*ip);
		int proto = packet_skip_extensions(data, end, ip->nexthdr, &p->l4);
		if (proto < 0)
			return -proto;
		p->proto = proto;
		if (p->length < p->l4 - L3_OFFSET)
			return MALFORMED;
	} else {
		return NOT_OURS;
	}
	return packet_parse_transport(p, data, end);
}

#endif
