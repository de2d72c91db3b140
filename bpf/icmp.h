/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ICMP: errors that we send, and errors of known connections that we translate. Tier: slow; TC only, XDP hands
 * such packets on.
 */
#ifndef PIRANHA_ICMP_H
#define PIRANHA_ICMP_H

#include <linux/pkt_cls.h>

#include "csum.h"
#include "maps.h"
#include "packet.h"

/* RFC 792 and RFC 4443; the system's headers for these pull in the C library. */
#define ICMP_DEST_UNREACH   3
#define ICMP_PORT_UNREACH   3
#define ICMP_FRAG_NEEDED    4
#define ICMP_SOURCE_QUENCH  4
#define ICMP_TIME_EXCEEDED  11
#define ICMP_PARAMETERPROB  12
#define ICMPV6_DEST_UNREACH 1
#define ICMPV6_PORT_UNREACH 4
#define ICMPV6_PKT_TOOBIG   2
#define ICMPV6_TIME_EXCEED  3
#define ICMPV6_PARAMPROB    4

struct icmp_bucket {
	__u32 tokens;
	__u32 filled; /* jiffies */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct icmp_bucket);
} icmp_budget SEC(".maps");

enum icmp_error { ICMP_ERR_PORT, ICMP_ERR_TTL, ICMP_ERR_TOO_BIG };

static __always_inline int icmp_allowed(const struct settings *s, __u32 now)
{
	__u32 zero = 0;
	struct icmp_bucket *b = bpf_map_lookup_elem(&icmp_budget, &zero);

	if (!b || !s->hz)
		return 0;
	__u32 since = now - b->filled;
	__u64 earned = (__u64)since * s->icmp_rate / s->hz;
	if (earned) {
		b->tokens = b->tokens + earned > s->icmp_burst ? s->icmp_burst : b->tokens + earned;
		b->filled = now;
	}
	if (!b->tokens)
		return 0;
	b->tokens--;
	return 1;
}

#define ICMP_HEADER 8
#define ICMP_QUOTE  60 /* most bytes of the offending packet: IPv6 header and TCP header */

struct icmp_head {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 info;
};

struct icmp_message {
	struct icmp_head head;
	__u8 quote[ICMP_QUOTE];
};

static __always_inline __u64 sum_words(const void *from, const int bytes)
{
	const __u16 *word = from;
	__u64 sum = 0;

#pragma unroll
	for (int i = 0; i < bytes / 2; i++)
		sum += word[i];
	return sum;
}

/* Headers of an error of `length` bytes. */
static __always_inline void icmp_header_v4(struct iphdr *ip, const union addr *from, const union addr *to, __u32 length)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	*(__u8 *)ip = 0x45;
	ip->tot_len = bpf_htons(sizeof(*ip) + length);
	ip->ttl = 64;
	ip->protocol = IPPROTO_ICMP;
	ip->saddr = from->w[3];
	ip->daddr = to->w[3];
	ip->check = ~csum_fold(sum_words(ip, sizeof(*ip)));
}

static __always_inline void icmp_header_v6(struct ipv6hdr *ip, const union addr *from, const union addr *to,
					   __u32 length)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	*(__be32 *)ip = bpf_htonl(0x60000000u);
	ip->payload_len = bpf_htons(length);
	ip->nexthdr = IPPROTO_ICMPV6;
	ip->hop_limit = 64;
	__builtin_memcpy(&ip->saddr, from, 16);
	__builtin_memcpy(&ip->daddr, to, 16);
}

static __always_inline __u64 icmp_pseudo_v6(const union addr *from, const union addr *to, __u32 length)
{
	return sum_words(from, 16) + sum_words(to, 16) + bpf_htons(length) + bpf_htons(IPPROTO_ICMPV6);
}

static __always_inline void icmp_kind(struct icmp_head *m, const struct packet *p, enum icmp_error error, __u32 mtu)
{
	if (p->v6) {
		m->type = error == ICMP_ERR_PORT  ? ICMPV6_DEST_UNREACH
			  : error == ICMP_ERR_TTL ? ICMPV6_TIME_EXCEED
						  : ICMPV6_PKT_TOOBIG;
		m->code = error == ICMP_ERR_PORT ? ICMPV6_PORT_UNREACH : 0;
		m->info = error == ICMP_ERR_TOO_BIG ? bpf_htonl(mtu) : 0;
	} else {
		m->type = error == ICMP_ERR_TTL ? ICMP_TIME_EXCEEDED : ICMP_DEST_UNREACH;
		m->code = error == ICMP_ERR_PORT ? ICMP_PORT_UNREACH : error == ICMP_ERR_TTL ? 0 : ICMP_FRAG_NEEDED;
		m->info = error == ICMP_ERR_TOO_BIG ? bpf_htonl(mtu & 0xffff) : 0;
	}
}

/* Bytes of the transport header that an error quotes. An INIT is known by the tag in its chunk, behind the two headers.
 */
static __always_inline __u32 icmp_quoted_transport(const struct packet *p, __u32 header)
{
	if (p->proto == IPPROTO_UDP)
		return sizeof(struct udphdr);
	if (p->proto == IPPROTO_SCTP)
		return p->length < header + sizeof(struct sctp_header) + 4 ? sizeof(struct sctp_header)
									   : sizeof(struct sctp_header) + 4;
	return sizeof(struct tcphdr);
}

/*
 * Turn the packet into an ICMP error about itself and send it back where it came from. Returns a TC verdict.
 *
 * The quote is the IP header and the transport header without options: enough for the sender to find its socket, and
 * never shorter than what a partial checksum of a local sender still needs.
 */
__noinline int icmp_send(struct __sk_buff *skb, struct packet *p, enum icmp_error error, __u32 mtu)
{
	struct settings *s = settings_get();
	struct icmp_message m = {};

	if (!p || !s)
		return TC_ACT_SHOT;
	__u32 plain = L3_OFFSET + (p->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__u32 quote = plain - L3_OFFSET + icmp_quoted_transport(p, plain - L3_OFFSET);
	__u32 outer = plain - L3_OFFSET + ICMP_HEADER;
	__u8 mac[12];

	if (p->l4 != plain || quote > ICMP_QUOTE) { /* options or extension headers: there is no room for them */
		reason_count(REASON_ICMP_OMITTED);
		return TC_ACT_SHOT;
	}
	if (!icmp_allowed(s, (__u32)bpf_jiffies64())) {
		reason_count(REASON_ICMP_LIMITED);
		return TC_ACT_SHOT;
	}
	icmp_kind(&m.head, p, error, mtu);
	if (bpf_skb_load_bytes(skb, L3_OFFSET, m.quote, quote) || bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) ||
	    bpf_skb_change_tail(skb, L3_OFFSET + quote, 0) || bpf_skb_adjust_room(skb, outer, BPF_ADJ_ROOM_MAC, 0))
		goto failed;
	__u32 length = ICMP_HEADER + quote;
	if (p->v6) {
		struct ipv6hdr ip;

		icmp_header_v6(&ip, &p->daddr, &p->saddr, length);
		m.head.check = ~csum_fold(sum_words(&m, sizeof(m)) + icmp_pseudo_v6(&p->daddr, &p->saddr, length));
		if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0) ||
		    bpf_skb_store_bytes(skb, L3_OFFSET + sizeof(ip), &m, ICMP_HEADER, 0))
			goto failed;
	} else {
		struct iphdr ip;

		icmp_header_v4(&ip, &p->daddr, &p->saddr, length);
		m.head.check = ~csum_fold(sum_words(&m, sizeof(m)));
		if (bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), 0) ||
		    bpf_skb_store_bytes(skb, L3_OFFSET + sizeof(ip), &m, ICMP_HEADER, 0))
			goto failed;
	}
	if (bpf_skb_store_bytes(skb, 0, mac + 6, 6, 0) || bpf_skb_store_bytes(skb, 6, mac, 6, 0))
		goto failed;
	reason_count(REASON_ICMP_SENT);
	return bpf_redirect(skb->ifindex, 0);
failed:
	reason_count(REASON_REWRITE_FAILED);
	return TC_ACT_SHOT;
}

/* ---- errors about known connections ---- */

struct icmp_quoted {
	struct packet flow; /* the packet that the quoted one answers, or would be answered by: ends exchanged */
	__u32 ip;	    /* offset of the quoted IP header */
	__u32 ports;	    /* offset of its ports */
};

static __always_inline int icmp_is_error(struct __sk_buff *skb, const struct packet *p)
{
	__u8 type;

	if (bpf_skb_load_bytes(skb, p->l4 & L4_OFFSET_MASK, &type, 1))
		return 0;
	if (p->v6)
		return p->proto == IPPROTO_ICMPV6 && type >= ICMPV6_DEST_UNREACH && type <= ICMPV6_PARAMPROB;
	return p->proto == IPPROTO_ICMP && (type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH ||
					    type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB);
}

static __always_inline int icmp_read_quote(struct __sk_buff *skb, const struct packet *p, struct icmp_quoted *q)
{
	__be16 ports[2];

	q->ip = (p->l4 & L4_OFFSET_MASK) + ICMP_HEADER;
	if (p->v6) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)))
			return -1;
		q->flow.proto = ip.nexthdr;
		__builtin_memcpy(&q->flow.saddr, &ip.daddr, 16);
		__builtin_memcpy(&q->flow.daddr, &ip.saddr, 16);
		q->ports = q->ip + sizeof(ip);
	} else {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, q->ip, &ip, sizeof(ip)))
			return -1;
		if (ip.frag_off & bpf_htons(0x1fff))
			return -1;
		q->flow.proto = ip.protocol;
		addr_set_v4(&q->flow.saddr, ip.daddr);
		addr_set_v4(&q->flow.daddr, ip.saddr);
		q->ports = q->ip + (*(__u8 *)&ip & 0xf) * 4;
	}
	if (q->flow.proto != IPPROTO_TCP && q->flow.proto != IPPROTO_UDP && q->flow.proto != IPPROTO_SCTP)
		return -1;
	if (bpf_skb_load_bytes(skb, q->ports, ports, sizeof(ports)))
		return -1;
	q->flow.v6 = p->v6;
	q->flow.sport = ports[1];
	q->flow.dport = ports[0];
	return 0;
}

/*
 * Replace one end of the quoted packet by `addr`, `port`, and the error's own source (side 0) or destination (side 1)
 * by `outer`; every checksum follows. The quoted transport checksum stays: it is not verified by anybody.
 */
static __always_inline int icmp_translate(struct __sk_buff *skb, const struct packet *p, const struct icmp_quoted *q,
					  const int quoted_side, const union addr *addr, __be16 port, const int side,
					  const union addr *outer)
{
	const union addr *old = quoted_side ? &q->flow.saddr : &q->flow.daddr;
	__be16 old_port = quoted_side ? q->flow.sport : q->flow.dport;
	__u32 check = (p->l4 & L4_OFFSET_MASK) + 2;
	__u64 inner = csum_diff_addr(old, addr);
	__u64 own = csum_diff_addr(side ? &p->daddr : &p->saddr, outer);
	__u64 ports = csum_diff16(old_port, port);

	if (p->v6) {
		if (bpf_l4_csum_replace(skb, check, 0, csum_fold(inner + ports), 0) ||
		    bpf_l4_csum_replace(skb, check, 0, csum_fold(own), BPF_F_PSEUDO_HDR) ||
		    bpf_skb_store_bytes(skb, q->ip + (quoted_side ? 24 : 8), addr, 16, 0) ||
		    bpf_skb_store_bytes(skb, L3_OFFSET + (side ? 24 : 8), outer, 16, 0))
			return -1;
	} else {
		/* The quoted IP header sums to the same as before, so only the port shows in the ICMP checksum. */
		if (bpf_l4_csum_replace(skb, check, 0, csum_fold(ports), 0) ||
		    bpf_l3_csum_replace(skb, q->ip + 10, 0, csum_fold(inner), 0) ||
		    bpf_l3_csum_replace(skb, L3_OFFSET + 10, 0, csum_fold(own), 0) ||
		    bpf_skb_store_bytes(skb, q->ip + (quoted_side ? 16 : 12), &addr->w[3], 4, 0) ||
		    bpf_skb_store_bytes(skb, L3_OFFSET + (side ? 16 : 12), &outer->w[3], 4, 0))
			return -1;
	}
	return bpf_skb_store_bytes(skb, q->ports + (quoted_side ? 2 : 0), &port, 2, 0);
}

#endif
