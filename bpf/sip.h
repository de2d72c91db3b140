/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The persistence engine "sip": a call, known by its Call-ID (RFC 3261, 20.8), keeps its server. Tier: new connection.
 *
 * The header is found as Linux finds it (nf_conntrack_sip.c, ip_vs_pe_sip.c): from the second line on, by its name or
 * its short form "i", in any case, folded lines followed; its value is a word, or two with "@" between, and a line's
 * end must follow. What Linux does at each byte is a table here, so the verifier sees one step and not the loop.
 */
#ifndef PIRANHA_SIP_H
#define PIRANHA_SIP_H

#include "conn.h"
#include "maps.h"
#include "packet.h"

#define SIP_MOST 16384 /* bytes of a datagram that are looked at */

/* What a byte is for the search. From SIP_COLON on, but for SIP_AT, bytes may be in a word. */
enum sip_class {
	SIP_OTHER,
	SIP_CR,
	SIP_LF,
	SIP_BLANK,
	SIP_AT,
	SIP_COLON,
	SIP_DASH,
	SIP_C,
	SIP_A,
	SIP_L,
	SIP_I,
	SIP_D,
	SIP_ALPHA,
	SIP_WORD,
	SIP_CLASSES = 16,
};

/* How far the search is: what was read last. */
enum sip_state {
	SIP_S_LINE,  /* within a line that is another header's */
	SIP_S_CR,    /* the first half of a line's end */
	SIP_S_BEGIN, /* a line's end; the first byte of the next one is to come */
	SIP_S_NAME,  /* "c" of "Call-ID", and so on */
	SIP_S_NAME_2,
	SIP_S_NAME_3,
	SIP_S_NAME_4,
	SIP_S_NAME_5,
	SIP_S_NAME_6,
	SIP_S_SHORT, /* "i" */
	SIP_S_NAMED, /* the name, and blanks */
	SIP_S_NAMED_CR,
	SIP_S_NAMED_LF,
	SIP_S_NAMED_FOLD,
	SIP_S_COLON, /* ":", and blanks */
	SIP_S_COLON_CR,
	SIP_S_COLON_LF,
	SIP_S_COLON_FOLD,
	SIP_S_WORD, /* the value's first word */
	SIP_S_AT,
	SIP_S_DOMAIN,
	SIP_S_FOUND,
	SIP_S_NONE, /* the header is wrong: Linux looks no further */
	SIP_STATES = 32,
};

/* The class of each byte. Letters are those of Latin-1, as the kernel has them. */
static const __u8 sip_class[256] = {
	0,  0,	0,  0,	0,  0,	0,  0,	0,  3,	2,  0,	0,  1,	0,  0,	/* 0x00 */
	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	/* 0x10 */
	3,  13, 13, 0,	0,  13, 0,  13, 13, 13, 13, 13, 0,  6,	13, 13, /* 0x20 */
	13, 13, 13, 13, 13, 13, 13, 13, 13, 13, 5,  0,	13, 0,	13, 13, /* 0x30 */
	4,  8,	12, 7,	11, 12, 12, 12, 12, 10, 12, 12, 9,  12, 12, 12, /* 0x40 */
	12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 13, 13, 13, 0,  13, /* 0x50 */
	13, 8,	12, 7,	11, 12, 12, 12, 12, 10, 12, 12, 9,  12, 12, 12, /* 0x60 */
	12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 13, 0,  13, 13, 0,	/* 0x70 */
	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	/* 0x80 */
	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	/* 0x90 */
	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	/* 0xa0 */
	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	0,  0,	/* 0xb0 */
	12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, /* 0xc0 */
	12, 12, 12, 12, 12, 12, 12, 0,	12, 12, 12, 12, 12, 12, 12, 12, /* 0xd0 */
	12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, /* 0xe0 */
	12, 12, 12, 12, 12, 12, 12, 0,	12, 12, 12, 12, 12, 12, 12, 12, /* 0xf0 */
};

/* Classes that are treated alike. */
#define SIP_NAMES(state)                                                                                               \
	[SIP_DASH] = state, [SIP_C] = state, [SIP_A] = state, [SIP_L] = state, [SIP_I] = state, [SIP_D] = state,       \
	[SIP_ALPHA] = state, [SIP_WORD] = state
#define SIP_WORDS(state)                                                                                               \
	[SIP_COLON] = state, [SIP_DASH] = state, [SIP_C] = state, [SIP_A] = state, [SIP_L] = state, [SIP_I] = state,   \
	[SIP_D] = state, [SIP_ALPHA] = state, [SIP_WORD] = state

static const __u8 sip_next[SIP_STATES][SIP_CLASSES] = {
	[SIP_S_LINE] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN},
	[SIP_S_CR] = {[SIP_LF] = SIP_S_BEGIN, [SIP_C] = SIP_S_NAME, [SIP_I] = SIP_S_SHORT},
	/* Linux does not see that a line's first byte may end it. */
	[SIP_S_BEGIN] = {[SIP_C] = SIP_S_NAME, [SIP_I] = SIP_S_SHORT},
	[SIP_S_NAME] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_A] = SIP_S_NAME_2},
	[SIP_S_NAME_2] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_L] = SIP_S_NAME_3},
	[SIP_S_NAME_3] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_L] = SIP_S_NAME_4},
	[SIP_S_NAME_4] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_DASH] = SIP_S_NAME_5},
	[SIP_S_NAME_5] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_I] = SIP_S_NAME_6},
	[SIP_S_NAME_6] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_D] = SIP_S_NAMED},
	[SIP_S_SHORT] = {[SIP_OTHER] = SIP_S_NONE,
			 [SIP_CR] = SIP_S_NAMED_CR,
			 [SIP_LF] = SIP_S_NAMED_LF,
			 [SIP_BLANK] = SIP_S_NAMED,
			 [SIP_AT] = SIP_S_NONE,
			 [SIP_COLON] = SIP_S_COLON,
			 [SIP_DASH] = SIP_S_NONE,
			 [SIP_WORD] = SIP_S_NONE},
	[SIP_S_NAMED] = {[SIP_OTHER] = SIP_S_NONE,
			 [SIP_CR] = SIP_S_NAMED_CR,
			 [SIP_LF] = SIP_S_NAMED_LF,
			 [SIP_BLANK] = SIP_S_NAMED,
			 [SIP_AT] = SIP_S_NONE,
			 [SIP_COLON] = SIP_S_COLON,
			 SIP_NAMES(SIP_S_NONE)},
	[SIP_S_NAMED_CR] = {[SIP_OTHER] = SIP_S_NONE,
			    [SIP_CR] = SIP_S_NONE,
			    [SIP_LF] = SIP_S_NAMED_LF,
			    [SIP_BLANK] = SIP_S_NAMED_FOLD,
			    [SIP_AT] = SIP_S_NONE,
			    SIP_WORDS(SIP_S_NONE)},
	[SIP_S_NAMED_LF] = {[SIP_OTHER] = SIP_S_NONE,
			    [SIP_CR] = SIP_S_NONE,
			    [SIP_LF] = SIP_S_NONE,
			    [SIP_BLANK] = SIP_S_NAMED_FOLD,
			    [SIP_AT] = SIP_S_NONE,
			    SIP_WORDS(SIP_S_NONE)},
	[SIP_S_NAMED_FOLD] = {[SIP_OTHER] = SIP_S_NONE,
			      [SIP_CR] = SIP_S_NONE,
			      [SIP_LF] = SIP_S_NONE,
			      [SIP_BLANK] = SIP_S_NAMED_FOLD,
			      [SIP_AT] = SIP_S_NONE,
			      [SIP_COLON] = SIP_S_COLON,
			      SIP_NAMES(SIP_S_NONE)},
	[SIP_S_COLON] = {[SIP_CR] = SIP_S_COLON_CR,
			 [SIP_LF] = SIP_S_COLON_LF,
			 [SIP_BLANK] = SIP_S_COLON,
			 SIP_WORDS(SIP_S_WORD)},
	[SIP_S_COLON_CR] = {[SIP_OTHER] = SIP_S_NONE,
			    [SIP_CR] = SIP_S_NONE,
			    [SIP_LF] = SIP_S_COLON_LF,
			    [SIP_BLANK] = SIP_S_COLON_FOLD,
			    [SIP_AT] = SIP_S_NONE,
			    SIP_WORDS(SIP_S_NONE)},
	[SIP_S_COLON_LF] = {[SIP_OTHER] = SIP_S_NONE,
			    [SIP_CR] = SIP_S_NONE,
			    [SIP_LF] = SIP_S_NONE,
			    [SIP_BLANK] = SIP_S_COLON_FOLD,
			    [SIP_AT] = SIP_S_NONE,
			    SIP_WORDS(SIP_S_NONE)},
	[SIP_S_COLON_FOLD] =
		{[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, [SIP_BLANK] = SIP_S_COLON_FOLD, SIP_WORDS(SIP_S_WORD)},
	[SIP_S_WORD] = {[SIP_OTHER] = SIP_S_NONE,
			[SIP_CR] = SIP_S_FOUND,
			[SIP_LF] = SIP_S_FOUND,
			[SIP_BLANK] = SIP_S_NONE,
			[SIP_AT] = SIP_S_AT,
			SIP_WORDS(SIP_S_WORD)},
	[SIP_S_AT] = {[SIP_CR] = SIP_S_CR, [SIP_LF] = SIP_S_BEGIN, SIP_WORDS(SIP_S_DOMAIN)},
	[SIP_S_DOMAIN] = {[SIP_OTHER] = SIP_S_NONE,
			  [SIP_CR] = SIP_S_FOUND,
			  [SIP_LF] = SIP_S_FOUND,
			  [SIP_BLANK] = SIP_S_NONE,
			  [SIP_AT] = SIP_S_NONE,
			  SIP_WORDS(SIP_S_DOMAIN)},
};

struct sip_work {
	struct call call; /* what was found, padded with zeros */
	__u32 length;	  /* bytes of the payload that names it; 0: there is no call */
	__u32 at;	  /* how many were looked at */
	__u32 state;
	__u32 pad;
	__u8 payload[SIP_MOST + 8]; /* a word may reach behind the last byte */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sip_work);
} sip_works SEC(".maps");

static __always_inline struct sip_work *sip_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sip_works, &zero);
}

/* Bytes of `word` that are 0 have their highest bit set in the result. */
static __always_inline __u64 sip_zeros(__u64 word)
{
	return (word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull;
}

static long sip_visit(__u32 i, struct sip_work **work)
{
	struct sip_work *w = *work;
	__u32 at = w->at, state = w->state & (SIP_STATES - 1);

	if (at >= w->length || at >= SIP_MOST)
		return 1;
	if (state == SIP_S_LINE) { /* most bytes lie in others' headers: eight at once */
		__u64 word = *(__u64 *)(w->payload + at);

		if (!(sip_zeros(word ^ 0x0d0d0d0d0d0d0d0dull) | sip_zeros(word ^ 0x0a0a0a0a0a0a0a0aull))) {
			w->at = at + 8;
			return 0;
		}
	}
	__u8 byte = w->payload[at];
	__u32 next = sip_next[state][sip_class[byte] & (SIP_CLASSES - 1)];

	w->at = at + 1;
	w->state = next;
	if (next == SIP_S_FOUND || next == SIP_S_NONE)
		return 1;
	if (next == SIP_S_WORD && state != SIP_S_WORD)
		__builtin_memset(&w->call, 0, sizeof(w->call));
	if (next >= SIP_S_WORD) {
		__u32 length = w->call.length;

		if (length >= CALL_ID_MOST) {
			w->state = SIP_S_NONE;
			return 1;
		}
		w->call.id[length] = byte;
		w->call.length = length + 1;
	}
	return 0;
}

/* Find the call of the payload that was copied. 0, or negative: there is none. */
__noinline int sip_find(void)
{
	struct sip_work *w = sip_work();

	if (!w)
		return -1;
	w->at = 0;
	w->state = SIP_S_LINE;
	bpf_loop(SIP_MOST, sip_visit, &w, 0);
	return w->state == SIP_S_FOUND ? 0 : -1;
}

/*
 * Read the call of a datagram, for whoever may want to know it: `length` stays 0 where it has none. It is looked for
 * here, and not where it is wanted, because the stack is at its end there.
 */
static __always_inline void sip_read(void *ctx, const int hook, const struct packet *p)
{
	struct sip_work *w = sip_work();
	__u32 from = (p->l4 & L4_OFFSET_MASK) + sizeof(struct udphdr), end = L3_OFFSET + p->length;
	__u32 length = end > from ? end - from : 0;

	if (!w)
		return;
	w->length = 0;
	if (length > SIP_MOST)
		length = SIP_MOST;
	barrier_var(length); /* or the compiler knows what the verifier is to be shown */
	if (length < 1 || length > SIP_MOST || packet_load(ctx, hook, from, w->payload, length))
		return;
	w->length = length;
	if (sip_find())
		w->length = 0;
}

#define CALL_WORDS (sizeof(struct call) / sizeof(__u64))

static __always_inline __u64 call_hash(const struct settings *s, const struct call *call)
{
	const __u64 *word = (const __u64 *)call;
	__u64 h = s->key[5];

	for (__u32 i = 0; i < CALL_WORDS; i++) {
		h = (h ^ word[i]) * s->key[0];
		h ^= h >> 32;
	}
	return h;
}

static __always_inline int call_is_known(void)
{
	struct sip_work *w = sip_work();

	return w && w->length;
}

/*
 * Make `f`, the flow of a template of packet `p`, that of its call too. Negative: no call, so no template. (An error
 * that only quotes the packet says nothing of it.)
 */
__noinline int call_take(struct packet *p, struct flow *f)
{
	struct settings *s = settings_get();
	struct sip_work *w = sip_work();

	if (!w || !s || !p || !f || p->proto != IPPROTO_UDP || p->flags & PACKET_QUOTED || !w->length)
		return -1;
	w->length = 0; /* nobody takes it for the next packet's */
	flow_mix(f, s, call_hash(s, &w->call));
	return 0;
}

/* Is the template in `slot` of the call that was taken? */
__noinline int call_matches(__u32 slot)
{
	struct sip_work *w = sip_work();
	struct call *kept = bpf_map_lookup_elem(&calls, &slot);
	__u64 differ = 0;

	if (!w || !kept)
		return 0;
	const __u64 *a = (const __u64 *)&w->call, *b = (const __u64 *)kept;
	for (__u32 i = 0; i < CALL_WORDS; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/* Note the call that was taken for the new template in `slot`. */
__noinline int call_keep(__u32 slot)
{
	struct sip_work *w = sip_work();

	return w ? bpf_map_update_elem(&calls, &slot, &w->call, BPF_ANY) : -1;
}

#endif
