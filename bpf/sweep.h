/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sweep: frees expired connections, so that counts and the table are right without a packet. Tier: slow.
 *
 * A kernel timer walks the table piece by piece and goes on when every daemon is dead; where the kernel refuses the
 * timer, lvsd runs `sweep` itself. Both may run at once: an entry is freed exactly once (conn.h).
 */
#ifndef PIRANHA_SWEEP_H
#define PIRANHA_SWEEP_H

#include "conn.h"
#include "defence.h"
#include "maps.h"

#define SWEEP_MAX_LINES 65536
#define CLOCK_MONOTONIC 1

struct ticker {
	struct bpf_timer timer;
	__u64 period_ns;
	__u32 next_line;
	__u32 lines;	 /* a tick looks at this many */
	__u32 live;	 /* seen alive in the running walk */
	__u32 last_live; /* in the walk before */
	__u64 expired;
	__u64 ticks;
	__u64 walks;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ticker);
} ticker SEC(".maps");

struct sweep_walk {
	__u32 line;
	__u32 total;
	__u32 now;
	__u32 live;
	__u32 expired;
	__u32 dropped;
	__u32 thin; /* drop_entry is in force */
};

static long sweep_line(__u32 i, struct sweep_walk *w)
{
	__u32 at = w->line + i;

	if (at >= w->total)
		at -= w->total;
	struct conn_line *line = bpf_map_lookup_elem(&conn_tags, &at);

	if (!line)
		return 1;
	__u32 thin = w->thin && !(bpf_get_prandom_u32() & (DEFENCE_LINES_OF - 1));
	for (__u32 way = 0; way < CONN_WAYS; way++) {
		__u32 tag = line->tag[way];

		if (!tag)
			continue;
		__u32 slot = at * CONN_WAYS + way;
		struct conn *c = bpf_map_lookup_elem(&conns, &slot);
		if (!c)
			continue;
		if (conn_expired(c, w->now - GRACE) && conn_expire(slot, tag, GRACE))
			w->expired++;
		else if (thin && (tag & (TAG_VALID | TAG_WRITING)) == TAG_VALID && !conn_expired(c, w->now) &&
			 defence_drop_entry(slot, w->now))
			w->dropped++;
		else
			w->live++;
	}
	return 0;
}

static __always_inline void sweep_run(struct sweep_walk *w, __u32 lines)
{
	if (lines > SWEEP_MAX_LINES)
		lines = SWEEP_MAX_LINES;
	if (lines > w->total)
		lines = w->total;
	bpf_loop(lines, sweep_line, w, 0);
}

static int ticker_tick(void *map, __u32 *key, struct ticker *t)
{
	struct settings *s = settings_get();

	if (s && s->conn_lines) {
		struct sweep_walk w = {.line = t->next_line,
				       .total = s->conn_lines,
				       .now = now_jiffies(),
				       .thin = s->defences & DEFENCE_DROP_ENTRY};

		sweep_run(&w, t->lines);
		t->expired += w.expired;
		t->live += w.live;
		t->next_line += t->lines;
		if (t->next_line >= s->conn_lines) {
			t->next_line -= s->conn_lines;
			if (t->next_line >= s->conn_lines)
				t->next_line = 0;
			t->last_live = t->live;
			t->live = 0;
			defence_weigh(s, t->last_live);
			t->walks++;
		}
	}
	t->ticks++;
	bpf_timer_start(&t->timer, t->period_ns, 0);
	return 0;
}

/* Start the timer, or move a running one to this program. `result` is 0 or the kernel's error. */
SEC("syscall")
int ticker_start(struct ticker_args *args)
{
	__u32 zero = 0;
	struct ticker *t = bpf_map_lookup_elem(&ticker, &zero);

	if (!t)
		return 1;
	t->period_ns = args->period_ms * 1000000ull;
	t->lines = args->lines;
	long result = bpf_timer_init(&t->timer, &ticker, CLOCK_MONOTONIC);
	if (!result || result == -16 /* EBUSY: it exists */)
		result = bpf_timer_set_callback(&t->timer, ticker_tick);
	if (!result)
		result = bpf_timer_start(&t->timer, t->period_ns, 0);
	args->result = result;
	return 0;
}

/* Walk `lines` lines from `first_line`; says what was found. */
SEC("syscall")
int sweep(struct sweep_args *args)
{
	struct settings *s = settings_get();

	if (!s || args->first_line >= s->conn_lines)
		return 1;
	struct sweep_walk w = {.line = args->first_line,
			       .total = s->conn_lines,
			       .now = now_jiffies(),
			       .thin = s->defences & DEFENCE_DROP_ENTRY};

	sweep_run(&w, args->lines);
	args->live = w.live;
	args->expired = w.expired;
	args->now = w.now;
	return 0;
}

/* Decide anew which defences are in force. */
SEC("syscall")
int weigh(struct weigh_args *args)
{
	struct settings *s = settings_get();
	__u32 zero = 0;
	struct ticker *t = bpf_map_lookup_elem(&ticker, &zero);

	if (!s || !t)
		return 1;
	defence_weigh(s, args->live == 0xffffffffu ? t->last_live : args->live);
	return 0;
}

#endif
