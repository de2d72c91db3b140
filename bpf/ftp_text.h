/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is said on FTP's control connection: RFC 959 (PORT, PASV, 227) and RFC 2428 (EPRT, EPSV, 229). Tier: slow.
 *
 * Text is walked character by character in `bpf_loop`, with all state in a map: so the verifier looks at one character.
 */
#ifndef PIRANHA_FTP_TEXT_H
#define PIRANHA_FTP_TEXT_H

#include "conn.h"
#include "packet.h"

#define FTP_TEXT   512 /* characters of a packet that are looked at */
#define FTP_LINE   480 /* most in a reply that is changed: what is put in its place may be longer */
#define FTP_ANSWER 32  /* most that is put in: four numbers of three digits, two more, and five commas */

enum ftp_scan {
	FTP_SCAN_SEEK,	 /* for the character that the address stands behind */
	FTP_SCAN_SKIP,	 /* more of it */
	FTP_SCAN_BYTES,	 /* h1,h2,h3,h4,p1,p2 */
	FTP_SCAN_OPEN,	 /* the delimiter, whichever it is */
	FTP_SCAN_FAMILY, /* 1 or 2; in a reply it may be left out, and the address with it */
	FTP_SCAN_EMPTY,
	FTP_SCAN_CLOSE,
	FTP_SCAN_ADDRESS,
	FTP_SCAN_PORT,
	FTP_SCAN_DONE,
	FTP_SCAN_FAILED,
};

#define FTP_NO_GAP	 0xff
#define FTP_OTHER_FAMILY 0xff /* EPSV for the address family that this connection is not of */

struct ftp_work {
	/* The data connection that is announced. */
	struct packet key;
	struct flow flow;
	__u32 control; /* slot + 1 */
	__u32 dest;
	__u32 extra; /* CONN_* */
	__u32 made;  /* its slot */
	/* The entry without client's port that waits for it. */
	struct packet waiting_key;
	struct flow waiting;
	__u32 waits; /* its slot */
	/* The packet. */
	__u32 sequence;
	__u32 length;
	__u32 payload; /* offset of the text in the frame */
	__u32 size;    /* of the text */
	__u8 v6;
	__u8 found;  /* enum ftp_reply, or FTP_OTHER_FAMILY */
	__u8 wanted; /* enum ftp_reply */
	/* The scan. */
	__u8 state; /* enum ftp_scan */
	__u8 extended;
	__u8 reply;
	__u8 skip;
	__u8 delimiter;
	__u8 count;  /* numbers read */
	__u8 digits; /* of the running number */
	__u8 colons; /* in a row, before it */
	__u8 gap;    /* where :: stands, in groups from the start */
	__u8 byte[8];
	__u32 number;
	__be16 group[8];
	__u16 port;  /* host order */
	__u32 begin; /* of address and port in the text */
	__u32 end;
	char text[2 * FTP_TEXT];
	char answer[FTP_ANSWER];
	__u8 options[64];
	__u32 option; /* the next to look at */
	__u32 sack;   /* where its blocks are; 0 is none */
	__u32 edges;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ftp_work);
} ftp_works SEC(".maps");

static __always_inline struct ftp_work *ftp_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ftp_works, &zero);
}

/* Is it this word of four letters, or three digits and a blank? Case does not matter. */
static __always_inline int ftp_word(const char *text, const char *word)
{
	return (text[0] | 0x20) == (word[0] | 0x20) && (text[1] | 0x20) == (word[1] | 0x20) &&
	       (text[2] | 0x20) == (word[2] | 0x20) && (text[3] | 0x20) == (word[3] | 0x20);
}

static __always_inline int ftp_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- commands that ask for a passive connection: anywhere in the text ---- */

static long ftp_passive_visit(__u32 i, struct ftp_work **work)
{
	struct ftp_work *w = *work;
	const char *s = &w->text[i & (FTP_TEXT - 1)];

	if (!w->v6 && ftp_word(s, "PASV") && s[4] == '\r' && s[5] == '\n') {
		w->found = FTP_PASV;
		return 1;
	}
	if (!ftp_word(s, "EPSV") || (s[4] != ' ' && s[4] != '\r'))
		return 0;
	w->found = FTP_EPSV;
	if (s[4] == ' ' && (i + 7 > w->size || s[5] != (w->v6 ? '2' : '1') || s[6] != '\r'))
		w->found = FTP_OTHER_FAMILY;
	return 1;
}

static __always_inline __u8 ftp_passive(struct ftp_work *w)
{
	w->found = FTP_NOTHING;
	if (w->size >= 6)
		bpf_loop(w->size - 5, ftp_passive_visit, &w, 0);
	return w->found;
}

/* ---- addresses and ports ---- */

static __always_inline int ftp_address_v4(struct ftp_work *w, char c)
{
	if (ftp_digit(c)) {
		w->number = w->number * 10 + (c - '0');
		w->digits = 1;
		return w->number > 255 ? FTP_SCAN_FAILED : FTP_SCAN_ADDRESS;
	}
	if (c != '.' && c != w->delimiter)
		return FTP_SCAN_FAILED;
	if (!w->digits || (c == '.' ? w->count >= 3 : w->count != 3))
		return FTP_SCAN_FAILED;
	w->byte[w->count & 7] = w->number;
	w->count++;
	w->number = w->digits = 0;
	return c == '.' ? FTP_SCAN_ADDRESS : FTP_SCAN_PORT;
}

static __always_inline int ftp_hex(char c)
{
	return ftp_digit(c) ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* RFC 4291, but for an IPv4 address at the end. */
static __always_inline int ftp_address_v6(struct ftp_work *w, char c)
{
	int value = ftp_hex(c);

	if (value >= 0) {
		/* One colon alone cannot begin an address. */
		if (w->digits >= 4 || w->count >= 8 || (w->colons == 1 && !w->count && w->gap == FTP_NO_GAP))
			return FTP_SCAN_FAILED;
		w->number = w->number << 4 | value;
		w->digits++;
		return FTP_SCAN_ADDRESS;
	}
	if (c != ':' && c != w->delimiter)
		return FTP_SCAN_FAILED;
	if (w->digits) {
		w->group[w->count & 7] = bpf_htons(w->number);
		w->count++;
		w->number = w->digits = w->colons = 0;
	} else if (c == w->delimiter && w->colons == 1) {
		return FTP_SCAN_FAILED;
	}
	if (c == w->delimiter)
		return w->gap == FTP_NO_GAP ? w->count == 8 ? FTP_SCAN_PORT : FTP_SCAN_FAILED
		       : w->count < 8	    ? FTP_SCAN_PORT
					    : FTP_SCAN_FAILED;
	w->colons++;
	if (w->colons < 2)
		return FTP_SCAN_ADDRESS;
	if (w->colons > 2 || w->gap != FTP_NO_GAP)
		return FTP_SCAN_FAILED;
	w->gap = w->count;
	return FTP_SCAN_ADDRESS;
}

static __always_inline int ftp_scan_step(struct ftp_work *w, char c, __u32 at)
{
	switch (w->state) {
	case FTP_SCAN_BYTES:
		if (ftp_digit(c)) {
			w->byte[w->count & 7] = w->byte[w->count & 7] * 10 + (c - '0');
			return FTP_SCAN_BYTES;
		}
		if (c == ',' && w->count < 5) {
			w->count++;
			w->byte[w->count & 7] = 0;
			return FTP_SCAN_BYTES;
		}
		w->end = at;
		w->port = w->byte[4] << 8 | w->byte[5];
		return w->count == 5 ? FTP_SCAN_DONE : FTP_SCAN_FAILED;
	case FTP_SCAN_OPEN:
		w->delimiter = c;
		return c >= 33 && c <= 126 ? FTP_SCAN_FAMILY : FTP_SCAN_FAILED;
	case FTP_SCAN_FAMILY:
		if (c == w->delimiter)
			return w->reply ? FTP_SCAN_EMPTY : FTP_SCAN_FAILED;
		return c == (w->v6 ? '2' : '1') ? FTP_SCAN_CLOSE : FTP_SCAN_FAILED;
	case FTP_SCAN_EMPTY:
		return c == w->delimiter ? FTP_SCAN_PORT : FTP_SCAN_FAILED;
	case FTP_SCAN_CLOSE:
		return c == w->delimiter ? FTP_SCAN_ADDRESS : FTP_SCAN_FAILED;
	case FTP_SCAN_ADDRESS:
		return w->v6 ? ftp_address_v6(w, c) : ftp_address_v4(w, c);
	case FTP_SCAN_PORT:
		if (ftp_digit(c)) {
			w->port = w->port * 10 + (c - '0');
			return FTP_SCAN_PORT;
		}
		w->end = at + 1;
		return c == w->delimiter && w->port ? FTP_SCAN_DONE : FTP_SCAN_FAILED;
	}
	return FTP_SCAN_FAILED;
}

static long ftp_scan_visit(__u32 i, struct ftp_work **work)
{
	struct ftp_work *w = *work;
	__u32 at = (i + 4) & (FTP_TEXT - 1); /* behind the word */
	char c = w->text[at];

	if (w->state == FTP_SCAN_SEEK && c == w->skip) {
		w->state = FTP_SCAN_SKIP;
		return 0;
	}
	if (w->state == FTP_SCAN_SEEK && (w->extended || !ftp_digit(c)))
		return 0;
	if (w->state == FTP_SCAN_SKIP && c == w->skip)
		return 0;
	if (w->state == FTP_SCAN_SEEK || w->state == FTP_SCAN_SKIP) {
		w->begin = at;
		w->state = w->extended ? FTP_SCAN_OPEN : FTP_SCAN_BYTES;
	}
	w->state = ftp_scan_step(w, c, at);
	return w->state >= FTP_SCAN_DONE;
}

/* Read address and port behind the first word. 1 when they are there: in `byte` or `group`, and `port`. */
static __noinline int ftp_scan(struct ftp_work *w, __u8 skip, __u8 extended, __u8 reply)
{
	w->state = FTP_SCAN_SEEK;
	w->skip = skip;
	w->extended = extended;
	w->reply = reply;
	w->count = w->digits = w->colons = 0;
	w->gap = FTP_NO_GAP;
	w->number = w->port = 0;
	w->byte[0] = 0;
	if (w->size > 4)
		bpf_loop(w->size - 4, ftp_scan_visit, &w, 0);
	return w->state == FTP_SCAN_DONE;
}

/* The address that was read. */
static __always_inline void ftp_scanned_address(struct ftp_work *w, union addr *a)
{
	__be32 v4;

	if (!w->v6) {
		__builtin_memcpy(&v4, w->byte, sizeof(v4));
		addr_set_v4(a, v4);
		return;
	}
	if (w->gap != FTP_NO_GAP) { /* what stands behind :: belongs to the end */
		__u8 shift = 8 - w->count;

#pragma unroll
		for (int i = 7; i >= 0; i--) {
			if (i >= w->gap + shift)
				w->group[i] = w->group[(i - shift) & 7];
			else if (i >= w->gap)
				w->group[i] = 0;
		}
	}
	__builtin_memcpy(a, w->group, sizeof(*a));
}

/* ---- what we say instead ---- */

/* Write a number and, but for 0, the character behind it. Returns where it ends. */
__noinline int ftp_put(__u32 at, __u32 value, char behind)
{
	struct ftp_work *w = ftp_work();
	__u32 scale = 10000;
	int begun = 0;

	if (!w)
		return 0;
	for (int i = 0; i < 5; i++) {
		__u32 digit = value / scale % 10;

		if (digit || begun || scale == 1) {
			w->answer[at & (FTP_ANSWER - 1)] = '0' + digit;
			at++;
			begun = 1;
		}
		scale /= 10;
	}
	if (behind) {
		w->answer[at & (FTP_ANSWER - 1)] = behind;
		at++;
	}
	return at & (FTP_ANSWER - 1);
}

/* The virtual address in the server's place. Returns its length. */
static __always_inline __u32 ftp_compose(struct ftp_work *w, int pasv, const union addr *vaddr)
{
	if (!pasv) {
		w->answer[0] = w->answer[1] = w->answer[2] = '|';
		return ftp_put(3, w->port, '|');
	}
	__u32 at = ftp_put(0, vaddr->b[12], ',');

	at = ftp_put(at, vaddr->b[13], ',');
	at = ftp_put(at, vaddr->b[14], ',');
	at = ftp_put(at, vaddr->b[15], ',');
	at = ftp_put(at, w->port >> 8, ',');
	return ftp_put(at, w->port & 0xff, 0);
}

#endif
