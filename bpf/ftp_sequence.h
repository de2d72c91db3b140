/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sequence numbers of an FTP control connection whose replies became longer or shorter: the server's are shifted, what
 * the client confirms is shifted back. Tier: control connections, in TC alone.
 */
#ifndef PIRANHA_FTP_SEQUENCE_H
#define PIRANHA_FTP_SEQUENCE_H

#include "ftp_text.h"
#include "packet.h"
#include "rewrite.h"

/* Add to a sequence number in the TCP header. */
static __always_inline int ftp_shift(struct __sk_buff *skb, const struct packet *p, __u32 offset, __u32 number,
				     __s32 by)
{
	__be32 from = bpf_htonl(number), to = bpf_htonl(number + by);

	return by && (bpf_l4_csum_replace(skb, transport_csum_offset(p), from, to, 4) ||
		      bpf_skb_store_bytes(skb, offset, &to, 4, 0));
}

/* How far a number of the server's own is shifted. */
static __always_inline __s32 ftp_shift_of(const struct ftp_control *k, __u32 number)
{
	return (__s32)(number - k->position) > 0 ? k->after : k->before;
}

static long ftp_option_visit(__u32 i, struct ftp_work **work)
{
	struct ftp_work *w = *work;
	__u8 kind = w->options[w->option & 63], length = w->options[(w->option + 1) & 63];

	if (kind == 1) { /* padding */
		w->option++;
		return 0;
	}
	if (!kind || length < 2) /* the end, or nonsense */
		return 1;
	if (kind == 5) { /* RFC 2018; its numbers are whole words for every sender that there is */
		w->sack = w->option & 1 ? 0 : w->option + 2;
		w->edges = (length - 2) / 4;
		return 1;
	}
	w->option += length;
	return w->option >= 40;
}

/* What the client confirms is in our numbers; the server knows its own. */
static __noinline int ftp_acknowledge(struct __sk_buff *skb, const struct packet *p, struct ftp_work *w,
				      struct ftp_control *k)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK;
	__be32 field;
	__u8 words;

	if (bpf_skb_load_bytes(skb, l4 + 12, &words, 1) || bpf_skb_load_bytes(skb, l4 + 8, &field, sizeof(field)))
		return -1;
	__u32 number = bpf_ntohl(field);
	if (p->tcp_flags & TCP_ACK && ftp_shift(skb, p, l4 + 8, number, -ftp_shift_of(k, number - k->before)))
		return -1;
	__u32 size = (words >> 4) * 4 - sizeof(struct tcphdr);

	if (!size || size > 40)
		return 0;
	__builtin_memset(w->options, 0, sizeof(w->options));
	size -= 1;
	asm volatile("" : "+r"(size));
	size &= 63;
	if (bpf_skb_load_bytes(skb, l4 + sizeof(struct tcphdr), w->options, size + 1))
		return -1;
	w->option = w->sack = w->edges = 0;
	bpf_loop(40, ftp_option_visit, &w, 0);
	if (!w->sack)
		return 0;
	for (__u32 i = 0; i < 8; i++) {
		__u32 at = l4 + sizeof(struct tcphdr) + (w->sack & 63) + i * 4;

		if (i >= w->edges || (w->sack & 63) + i * 4 + 4 > size + 1)
			break;
		if (bpf_skb_load_bytes(skb, at, &field, sizeof(field)))
			return -1;
		number = bpf_ntohl(field);
		if (ftp_shift(skb, p, at, number, -ftp_shift_of(k, number - k->before)))
			return -1;
	}
	return 0;
}

#endif
