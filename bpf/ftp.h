/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FTP through masquerading, as Linux net/netfilter/ipvs/ip_vs_ftp.c has it: data connections are made from what is said
 * on the control connection, and belong to it.
 *
 * Passive: the server's reply names an address and port of its own; the client is told the virtual address, and an
 * entry without client's port (CONN_NO_CPORT) waits for it. Active: the client names its address and port; the entry
 * lets the server's connection out from the virtual address, port below. A reply that became longer or shorter shifts
 * the server's sequence numbers for the rest of the control connection.
 *
 * Tier: control connections, in TC alone; but for what is said to be of new connections.
 */
#ifndef PIRANHA_FTP_H
#define PIRANHA_FTP_H

#include "conn.h"
#include "csum.h"
#include "ftp_port.h"
#include "ftp_sequence.h"
#include "ftp_text.h"
#include "maps.h"
#include "packet.h"
#include "rewrite.h"

/* Of lb.bpf.c. */
int connection_new(struct packet *p, struct flow *f, __u32 *slot);

static __always_inline void ftp_listen(const struct settings *s, struct conn *c, struct dest *d, __u32 now)
{
	conn_enter(c, d, c->life, IPPROTO_TCP, TCP_S_LISTEN, 0);
	c->expires = now + s->tcp_timeout[TCP_S_LISTEN];
}

/*
 * Tier: new connection. Is the packet of a data connection that was announced: one that is being opened, or the first
 * of a passive one, which tells the client's port? Then `control`, `dest` and `extra` say what to make of it.
 */
__noinline int ftp_announced(struct packet *p)
{
	struct settings *s = settings_get();
	struct ftp_work *w = ftp_work();

	if (!p || !s || !w)
		return 0;
	w->waits = NO_SLOT;
	if (p->flags & PACKET_ANNOUNCED)
		return 1;
	w->waiting_key = *p;
	w->waiting_key.sport = 0;
	flow_client(&w->waiting, s, &w->waiting_key);
	struct conn *c = conn_find(&w->waiting, &w->waiting_key, &w->waits);

	if (!c || conn_expired(c, now_jiffies()) || !(LIFE_FLAGS(c->life) & CONN_NO_CPORT))
		return 0;
	w->control = c->control;
	w->dest = c->dest;
	w->extra = CONN_KEEP_PORT;
	return 1;
}

/* The announced connection was made, in `slot`; the entry that waited for it has done its work. */
__noinline int ftp_made(__u32 slot)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &slot);
	struct dest *d = c ? bpf_map_lookup_elem(&dests, &c->dest) : NULL;
	struct settings *s = settings_get();
	struct ftp_work *w = ftp_work();

	if (!s || !w || !c || !d)
		return 0;
	ftp_listen(s, c, d, now_jiffies());
	if (w->waits != NO_SLOT)
		conn_end(&w->waiting, w->waits);
	return 0;
}

/*
 * Announce the data connection of flow `w->key`; `slot` is that of its control connection `c`. 1: it is to be made; 0:
 * it is there, and listens again.
 */
static __noinline int ftp_announce(struct ftp_work *w, const struct conn *c, __u32 slot, __u32 extra)
{
	struct settings *s = settings_get();
	__u32 now = now_jiffies();

	if (!s)
		return 0;
	flow_client(&w->flow, s, &w->key);
	struct conn *data = conn_find(&w->flow, &w->key, &w->made);

	if (data && LIFE_FLAGS(data->life) & CONN_TEMPLATE) /* of a persistent service at this very port: it decides */
		return 0;
	if (data && !conn_over(data, now) && data->dest == c->dest) {
		struct dest *d = bpf_map_lookup_elem(&dests, &data->dest);

		if (d)
			ftp_listen(s, data, d, now);
		return 0;
	}
	if (data)
		conn_end(&w->flow, w->made);
	w->key.flags = PACKET_ANNOUNCED;
	w->control = slot + 1;
	w->dest = c->dest;
	w->extra = extra;
	return 1;
}

/* Make what was announced, if so. `announced` and the result: a negative reason, else fine. */
static __always_inline int ftp_open(int announced)
{
	struct ftp_work *w = ftp_work();

	return announced > 0 && w ? connection_new(&w->key, &w->flow, &w->made) : announced;
}

/* ---- reading and changing packets ---- */

/* Copy what a packet says into `w->text`. Returns how many characters it says, which may be more than are copied. */
static __noinline __u32 ftp_read(struct __sk_buff *skb, const struct packet *p, struct ftp_work *w)
{
	__u32 l4 = p->l4 & L4_OFFSET_MASK;
	__u8 words;

	w->v6 = p->v6;
	w->size = 0;
	if (p->flags & PACKET_FRAGMENT || bpf_skb_load_bytes(skb, l4 + 12, &words, 1))
		return 0;
	w->payload = l4 + (words >> 4) * 4;
	__u32 size = p->length - (w->payload - L3_OFFSET);
	if (!size || size > MAX_LENGTH)
		return 0;
	__u32 last = (size < FTP_TEXT ? size : FTP_TEXT) - 1;

	asm volatile("" : "+r"(last)); /* the mask is for the verifier */
	last &= FTP_TEXT - 1;
	if (bpf_skb_load_bytes(skb, w->payload, w->text, last + 1))
		return 0;
	w->size = last + 1;
	return size;
}

/* The sum over the text, added to `sum` or taken away from it. */
static __always_inline __s64 ftp_sum(struct ftp_work *w, __u32 sum, const int away)
{
	__u32 size = w->size, words;

#pragma unroll
	for (int i = 0; i < 3; i++)
		w->text[(size + i) & (2 * FTP_TEXT - 1)] = 0;
	words = size + 3;
	asm volatile("" : "+r"(words));
	words &= FTP_TEXT - 4;
	return away ? bpf_csum_diff((void *)w->text, words, NULL, 0, sum)
		    : bpf_csum_diff(NULL, 0, (void *)w->text, words, sum);
}

static __always_inline int ftp_store(struct __sk_buff *skb, __u32 offset, const char *from, __u32 size,
				     const __u32 most)
{
	__u32 last = size - 1;

	asm volatile("" : "+r"(last));
	last &= most - 1;
	return bpf_skb_store_bytes(skb, offset, from, last + 1, 0);
}

/* The IP packet became `grown` longer. */
static __always_inline int ftp_resize_header(struct __sk_buff *skb, struct packet *p, __s32 grown)
{
	__u32 header = (p->l4 & L4_OFFSET_MASK) - L3_OFFSET;
	__u32 check = transport_csum_offset(p);
	__be16 from = bpf_htons(p->length - header), to = bpf_htons(p->length + grown - header);

	if (bpf_l4_csum_replace(skb, check, from, to, BPF_F_PSEUDO_HDR | 2))
		return -1;
	from = bpf_htons(p->length);
	to = bpf_htons(p->length + grown);
	p->length += grown;
	if (!p->v6)
		return bpf_l3_csum_replace(skb, L3_OFFSET + 10, from, to, 2) ||
		       bpf_skb_store_bytes(skb, L3_OFFSET + 2, &to, 2, 0);
	to = bpf_htons(p->length - sizeof(struct ipv6hdr));
	return bpf_skb_store_bytes(skb, L3_OFFSET + 4, &to, 2, BPF_F_RECOMPUTE_CSUM);
}

/* Put the first `length` characters of `w->answer` in the place of the address that was read. */
static __noinline int ftp_replace(struct __sk_buff *skb, struct packet *p, struct ftp_work *w, __u32 length)
{
	__u32 begin = w->begin & (FTP_TEXT - 1), end = w->end & (FTP_TEXT - 1), size = w->size;
	__s32 grown = (__s32)length - (__s32)(end - begin);
	__s64 sum = ftp_sum(w, 0, 1);

	if (sum < 0 || !length || end < begin || size > FTP_LINE)
		return -1;
	if (grown) {
		if (bpf_skb_change_tail(skb, L3_OFFSET + p->length + grown, 0))
			return -1;
		if (size > end && ftp_store(skb, w->payload + begin + length, &w->text[end], size - end, FTP_TEXT))
			return -1;
	}
	if (ftp_store(skb, w->payload + begin, w->answer, length, FTP_ANSWER))
		return -1;
	__u32 last = size + grown - 1;

	asm volatile("" : "+r"(last));
	last &= FTP_TEXT - 1;
	if (bpf_skb_load_bytes(skb, w->payload, w->text, last + 1))
		return -1;
	w->size = last + 1;
	sum = ftp_sum(w, sum, 0);
	if (sum < 0 || bpf_l4_csum_replace(skb, transport_csum_offset(p), 0, sum, 0))
		return -1;
	return grown ? ftp_resize_header(skb, p, grown) : 0;
}

/* ---- the server's half ---- */

/* The flow of a data connection of `c`, but for its ports. */
static __always_inline void ftp_key(struct ftp_work *w, const struct packet *p, const struct conn *c)
{
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->key.saddr = c->caddr;
	w->key.daddr = c->vaddr;
	w->key.proto = IPPROTO_TCP;
	w->key.v6 = p->v6;
}

/* Is it the reply `w->wanted`? Then it tells the virtual address now. 1 when it was changed, or a negative reason. */
static __noinline int ftp_reply(struct __sk_buff *skb, struct packet *p, struct ftp_work *w, struct conn *c)
{
	int pasv = w->wanted == FTP_PASV;

	if (ftp_read(skb, p, w) > FTP_LINE || !w->size)
		return 0;
	if (!ftp_word(w->text, pasv ? "227 " : "229 ") || !ftp_scan(w, '(', !pasv, 1))
		return 0;
	ftp_key(w, p, c);
	w->key.dport = bpf_htons(w->port);
	__u32 length = ftp_compose(w, pasv, &c->vaddr) & (FTP_ANSWER - 1);

	return ftp_replace(skb, p, w, length) ? -REASON_REWRITE_FAILED : 1;
}

/* A server's packet of the control connection in `slot`. 1: for ftp_open; 0; or a negative reason to drop it. */
__noinline int ftp_from_server(struct __sk_buff *skb, struct packet *p, __u32 slot)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &slot);
	struct ftp_control *k = c ? conn_ftp(c) : NULL;
	struct ftp_work *w = ftp_work();
	__be32 field;

	if (!skb || !p || !k || !w || p->tcp_flags & TCP_SYN)
		return 0;
	if (bpf_skb_load_bytes(skb, (p->l4 & L4_OFFSET_MASK) + 4, &field, sizeof(field)))
		return -REASON_REWRITE_FAILED;
	w->sequence = bpf_ntohl(field);
	w->length = p->length;
	w->wanted = FTP_NOTHING;
	if (!k->latest || (__s32)(w->sequence - k->position) > 0)
		w->wanted = k->expected;
	else if (w->sequence == k->position) /* it comes again */
		w->wanted = k->latest;
	int changed = 0;
	if (w->wanted && LIFE_STATE(c->life) == TCP_S_ESTABLISHED)
		changed = ftp_reply(skb, p, w, c);
	if (changed < 0)
		return changed;
	if (changed && !(k->latest && w->sequence == k->position)) {
		k->before = k->after;
		k->position = w->sequence;
		k->after += (__s32)(p->length - w->length);
		k->latest = w->wanted;
		k->expected = FTP_NOTHING;
	}
	if (ftp_shift(skb, p, (p->l4 & L4_OFFSET_MASK) + 4, w->sequence, ftp_shift_of(k, w->sequence)))
		return -REASON_REWRITE_FAILED;
	return changed ? ftp_announce(w, c, slot, CONN_KEEP_PORT | CONN_NO_CPORT) : 0;
}

/* ---- the client's half ---- */

/* The record of a control connection, made when it is needed; NULL when there is no room. */
static __always_inline struct ftp_control *ftp_remember(const struct conn *c)
{
	struct ftp_control *k = conn_ftp(c);

	if (!k) {
		struct ftp_control fresh = {};

		bpf_map_update_elem(&ftp_controls, c, &fresh, BPF_NOEXIST);
		k = conn_ftp(c);
	}
	return k;
}

/* A client's packet of the control connection in `slot`; results as ftp_from_server. */
__noinline int ftp_from_client(struct __sk_buff *skb, struct packet *p, __u32 slot)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &slot);
	struct ftp_control *k = c ? conn_ftp(c) : NULL;
	struct ftp_work *w = ftp_work();

	if (!skb || !p || !c || !w)
		return 0;
	if (p->tcp_flags & TCP_SYN) { /* a new connection in the place of a finished one */
		if (k)
			k->before = k->after = k->expected = k->latest = 0;
		return 0;
	}
	if (k && (k->before || k->after) && ftp_acknowledge(skb, p, w, k))
		return -REASON_REWRITE_FAILED;
	if (LIFE_STATE(c->life) != TCP_S_ESTABLISHED || !ftp_read(skb, p, w))
		return 0;
	__u8 passive = ftp_passive(w);

	if (passive == FTP_OTHER_FAMILY)
		return 0;
	if (passive) {
		k = ftp_remember(c);
		if (!k)
			return -REASON_TABLE_FULL;
		k->expected = passive;
		return 0;
	}
	int active = !w->v6 && ftp_word(w->text, "PORT") && ftp_scan(w, ' ', 0, 0);

	if (!active && !(ftp_word(w->text, "EPRT") && ftp_scan(w, ' ', 1, 0)))
		return 0;
	k = ftp_remember(c);
	if (!k)
		return -REASON_TABLE_FULL;
	k->expected = FTP_NOTHING;
	ftp_key(w, p, c);
	ftp_scanned_address(w, &w->key.saddr);
	w->key.sport = bpf_htons(w->port);
	w->key.dport = bpf_htons(bpf_ntohs(c->vport) - 1);
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);

	return ftp_announce(w, c, slot, d && conn_dport(c, d) != c->vport ? CONN_PORT_BELOW : CONN_KEEP_PORT);
}

#endif
