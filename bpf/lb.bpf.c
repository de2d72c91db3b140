/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data plane: one source, compiled for two hooks. XDP is the fast path, TC the complete one; they share every map.
 * docs/architecture.md, "the path of a packet".
 */
#include "conn.h"
#include "defence.h"
#include "filter.h"
#include "forward.h"
#include "fragment.h"
#include "ftp.h"
#include "gate.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "persist.h"
#include "route.h"
#include "sched_registry.gen.h"
#include "server.h"
#include "service.h"
#include "sip.h"
#include "sweep.h"
#include "tunnel_icmp.h"
#include "workbench.h"

char LICENSE[] SEC("license") = "GPL";

/* A variable of the type, so that the reasons' names are in the object's BTF, where user space finds them. */
volatile const enum reason reasons_known = REASON_COUNT;

/* A packet of a promiscuous device may be another host's: only frames to our own address are ours. */
static __always_inline int addressed_to_us(void *ctx, const int hook, const struct settings *s)
{
	if (hook == HOOK_TC)
		return ((struct __sk_buff *)ctx)->pkt_type == 0 /* PACKET_HOST */;
	void *data = packet_data(ctx, hook), *end = packet_end(ctx, hook);

	if (data + 8 > end)
		return 0;
	__u64 mac = *(__u64 *)data & bpf_cpu_to_be64(0xffffffffffff0000ull);

	for (int i = 0; i < OWN_MACS && s->mac[i]; i++)
		if (s->mac[i] == mac)
			return 1;
	return 0;
}

static __always_inline void one_packet_make(struct conn *c, const struct packet *p, __u32 chosen, const struct dest *d,
					    __u32 extra)
{
	c->caddr = p->saddr;
	c->vaddr = p->daddr;
	c->cport = p->sport;
	c->vport = p->dport;
	c->life = LIFE(p->proto, 0, CONN_INACTIVE | (d->method & CONN_METHOD) | extra);
	c->dest = chosen;
}

/* May this packet begin a connection? IPVS's rule for each protocol. */
static __always_inline int may_begin(const struct settings *s, const struct packet *p)
{
	if (p->proto == IPPROTO_SCTP)
		return p->chunk == SCTP_INIT || p->flags & PACKET_QUOTED ||
		       (s->rules & RULE_SLOPPY_SCTP && p->chunk != SCTP_ABORT);
	if (p->proto != IPPROTO_TCP)
		return 1;
	if (!(p->flags & PACKET_QUOTED) &&
	    (p->tcp_flags & TCP_RST || !(p->tcp_flags & TCP_SYN || s->rules & RULE_SLOPPY_TCP)))
		return 0;
	return p->sport != bpf_htons(FTP_DATA_PORT); /* active FTP data of a client is never scheduled */
}

/* The destination of a persistent service: that of the client's template, which is made when there is none. */
static __always_inline int template_choose(const struct settings *s, struct workbench *w, const struct service *service,
					   struct packet *p)
{
	struct flow *f = &w->template_flow;
	__u32 now = now_jiffies(), sip = service->flags & SERVICE_SIP;

	template_key(&w->template_key, p, service, w->service.mark);
	flow_client(f, s, &w->template_key);
	if (sip && call_take(p, f))
		return -REASON_NO_CALL_ID;
	struct conn *t = conn_find(f, &w->template_key, &w->template_slot);

	if (t && sip && !call_matches(w->template_slot)) /* two calls with one tag: one chance in thirty million */
		return -REASON_CREATION_RACE;
	if (t && (!template_valid(s, t, now) || (w->wanted && t->dest != w->wanted))) {
		template_retire(t, f, w->template_slot);
		t = NULL;
	}
	if (!t) {
		w->chosen = w->wanted ? w->wanted : sched_choose(service, p);
		struct dest *d = bpf_map_lookup_elem(&dests, &w->chosen);

		if (w->chosen == NO_DEST || !d)
			return -REASON_NO_DESTINATION;
		int made = conn_create(s, f, &w->template_key, w->chosen, d, CONN_TEMPLATE | (sip ? CONN_CALL : 0), 0,
				       &w->reverse, &w->template_slot);
		if (made)
			return made;
		if (sip && call_keep(w->template_slot)) {
			conn_end(f, w->template_slot);
			return -REASON_TABLE_FULL;
		}
		t = conn_made(f, w->template_slot);
		if (!t)
			return -REASON_TABLE_FULL;
		t->created = service->persistent; /* its life, whatever the service becomes */
	}
	t->expires = now + t->created;
	t->packets++;
	w->control = w->template_slot + 1;
	return t->dest;
}

/* Tier: new connection. Make a data connection of FTP, to the destination of its control connection. */
static __always_inline int connection_announced(const struct settings *s, struct workbench *w, const struct packet *p,
						const struct flow *f, __u32 *slot)
{
	struct ftp_work *ftp = ftp_work();
	struct dest *d = ftp ? bpf_map_lookup_elem(&dests, &ftp->dest) : NULL;

	if (!d)
		return -REASON_DESTINATION_REMOVED;
	int made = conn_create(s, f, p, ftp->dest, d, ftp->extra, ftp->control, &w->reverse, slot);

	if (!made)
		ftp_made(*slot);
	return made;
}

/*
 * Tier: new connection. Choose a destination for `p` and make its connection. 0, or a negative reason:
 * -REASON_NO_SERVICE and -REASON_NO_CONNECTION leave the packet to the local stack.
 */
__noinline int connection_new(struct packet *p, struct flow *f, __u32 *slot)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	__u32 extra = 0;
	int chosen;

	if (!p || !f || !slot || !s || !w)
		return -REASON_NO_SERVICE;
	w->control = 0;
	if (ftp_awaits(s, p) && !(p->flags & PACKET_QUOTED) && ftp_announced(p))
		return connection_announced(s, w, p, f, slot);
	struct service *service = service_find(s, p, &w->service);
	if (!service)
		return -REASON_NO_SERVICE;
	if (!may_begin(s, p))
		return -REASON_NO_CONNECTION;
	if (s->defences & DEFENCE_DROP_PACKET && defence_drops_packet())
		return -REASON_DEFENCE_DROP;
	/* FTP's service takes data connections by persistence alone; what it does not take is not its own. */
	int data = service->key.port == bpf_htons(FTP_PORT) && p->dport != service->key.port;
	if (data && !(service->flags & SERVICE_PERSISTENT))
		return -REASON_NO_SERVICE;
	if (service->flags & SERVICE_PERSISTENT) {
		chosen = template_choose(s, w, service, p);
		if (p->dport != service->key.port)
			extra = CONN_KEEP_PORT;
	} else {
		chosen = w->wanted ? w->wanted : sched_choose(service, p);
		if (chosen == (int)NO_DEST)
			chosen = -REASON_NO_DESTINATION;
	}
	if (chosen < 0)
		return data && chosen == -REASON_NO_DESTINATION ? -REASON_NO_SERVICE : chosen;
	w->chosen = chosen;
	struct dest *d = bpf_map_lookup_elem(&dests, &w->chosen);
	if (!d)
		return -REASON_NO_DESTINATION;
	if (service->flags & SERVICE_ONE_PACKET && p->proto == IPPROTO_UDP) {
		one_packet_make(&w->one_packet, p, w->chosen, d, extra);
		w->one_packet.control = w->control;
		*slot = ONE_PACKET_SLOT;
	} else {
		if (d->method == METHOD_MASQ && ftp_controls_port(s, p))
			extra |= CONN_FTP;
		int made = conn_create(s, f, p, w->chosen, d, extra, w->control, &w->reverse, slot);

		if (made)
			return made;
	}
	struct dest_stats *stats = bpf_map_lookup_elem(&dest_stats, &w->chosen);
	if (stats)
		stats->conns++;
	return 0;
}

/*
 * Tier: new connection; TC only. Nobody serves `p`. With cache_bypass a marked packet to somebody else's address gets a
 * connection all the same, to where it was going. As connection_new.
 */
__noinline int connection_bypass(struct __sk_buff *skb, struct packet *p, struct flow *f, __u32 *slot)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	__u32 nobody = 0;
	struct dest *d = bpf_map_lookup_elem(&dests, &nobody);

	if (!p || !f || !slot || !s || !w || !d || !(s->rules & RULE_CACHE_BYPASS) || !w->service.mark ||
	    route_lookup(skb, &w->route, &p->saddr, &p->daddr, skb->ifindex) < 0)
		return -REASON_NO_DESTINATION;
	struct service *service = service_of_key(&w->service);
	if (service && service->flags & SERVICE_ONE_PACKET && p->proto == IPPROTO_UDP) {
		one_packet_make(&w->one_packet, p, nobody, d, 0);
		w->one_packet.control = 0;
		*slot = ONE_PACKET_SLOT;
		return 0;
	}
	return conn_create(s, f, p, nobody, d, 0, 0, &w->reverse, slot);
}

static __always_inline int refuse_new(void *ctx, const int hook, struct packet *p, int reason)
{
	if (reason == -REASON_NO_SERVICE)
		return NO_MATCH;
	if (reason == -REASON_NO_CONNECTION) {
		reason_count(REASON_NO_CONNECTION);
		return verdict_pass(hook);
	}
	if (reason == -REASON_NO_DESTINATION) {
		if (hook == HOOK_XDP)
			return verdict_hand_on();
		reason_count(REASON_NO_DESTINATION);
		return icmp_send(ctx, p, ICMP_ERR_PORT, 0);
	}
	return verdict_drop(hook, -reason);
}

/* Is it what a client begins with, a SYN or an INIT? */
static __always_inline int packet_begins(const struct packet *p)
{
	return p->proto == IPPROTO_TCP ? p->tcp_flags & TCP_SYN : p->proto == IPPROTO_SCTP && p->chunk == SCTP_INIT;
}

/*
 * Tier: established. Is the connection that was found past, so that the packet begins a new one? Expired; a SYN on a
 * finished one (any conn_reuse_mode but 0 for TIME_WAIT and CLOSE, bit 1 also for FIN_WAIT where only the client is
 * seen), an INIT on a closed one (any conn_reuse_mode but 0); with expire_nodest_conn any packet for a removed
 * destination, and a SYN or INIT for a quiesced one.
 */
static __always_inline int connection_over(const struct settings *s, const struct packet *p, const struct conn *c,
					   const struct dest *d, __u32 now)
{
	if (conn_expired(c, now))
		return conn_over(c, now);
	if (s->rules & RULE_EXPIRE_NODEST && d && (!(d->flags & DEST_PRESENT) || (packet_begins(p) && d->weight <= 0)))
		return 1;
	if (p->proto == IPPROTO_SCTP)
		return p->chunk == SCTP_INIT && !c->control && s->conn_reuse_mode &&
		       LIFE_STATE(c->life) == SCTP_S_CLOSED;
	if (p->proto != IPPROTO_TCP || !(p->tcp_flags & TCP_SYN) || c->control)
		return 0;
	__u32 state = LIFE_STATE(c->life);
	if (LIFE_FLAGS(c->life) & CONN_FTP && conn_holds(c))
		return 0;
	if (s->conn_reuse_mode && (state == TCP_S_TIME_WAIT || state == TCP_S_CLOSE))
		return 1;
	return s->conn_reuse_mode & 2 && state == TCP_S_FIN_WAIT && (LIFE_FLAGS(c->life) & CONN_METHOD) != METHOD_MASQ;
}

/* A packet to a VIP. */
static __always_inline int from_client(void *ctx, const int hook, const struct settings *s, struct packet *p)
{
	__u32 now = now_jiffies(), slot = NO_SLOT;
	struct flow f;

	flow_client(&f, s, p);
	struct conn *c = conn_find(&f, p, &slot);

	struct dest *d = c ? bpf_map_lookup_elem(&dests, &c->dest) : NULL;

	if (c && connection_over(s, p, c, d, now)) {
		conn_end(&f, slot);
		c = NULL;
	}
	if (!c) {
		if (s->flags & SETTING_CALLS && p->proto == IPPROTO_UDP)
			sip_read(ctx, hook, p);
		int made = connection_new(p, &f, &slot);

		if (hook == HOOK_TC && made == -REASON_NO_DESTINATION && s->rules & RULE_CACHE_BYPASS)
			made = connection_bypass(ctx, p, &f, &slot);
		if (made)
			return refuse_new(ctx, hook, p, made);
		c = slot == ONE_PACKET_SLOT ? one_packet_conn() : conn_made(&f, slot);
		if (!c)
			return verdict_drop(hook, REASON_TABLE_FULL);
		d = bpf_map_lookup_elem(&dests, &c->dest);
	}
	if (!d || !(d->flags & DEST_PRESENT))
		return verdict_drop(hook, REASON_DESTINATION_REMOVED);
	return forward_to_server(ctx, hook, s, p, c, slot, d, now);
}

/* Tier: new connection; TC only. The connection of a call that a server begins with `p`; NULL: it is none. */
static __always_inline struct conn *call_out(void *ctx, struct packet *p, __u32 *slot)
{
	struct workbench *w = workbench_get();

	sip_read(ctx, HOOK_TC, p);
	if (!w || server_calls(ctx, p))
		return NULL;
	int made = connection_new(&w->outgoing, &w->outgoing_flow, slot);
	w->wanted = 0;
	if (made)
		return NULL;
	return *slot == ONE_PACKET_SLOT ? &w->one_packet : conn_made(&w->outgoing_flow, *slot);
}

/* A packet of a real server. */
static __always_inline int from_server(void *ctx, const int hook, const struct settings *s, struct packet *p)
{
	__u32 now = now_jiffies(), slot = NO_SLOT;
	struct conn *c = conn_find_reply(s, p, &slot);

	if (!c || conn_over(c, now)) {
		c = hook == HOOK_TC && s->flags & SETTING_CALLS && p->proto == IPPROTO_UDP ? call_out(ctx, p, &slot)
											   : NULL;
		if (!c)
			return server_stray(ctx, hook, s, p);
	}
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);

	if (!d)
		return NO_MATCH;
	return forward_to_client(ctx, hook, s, p, c, slot, d, now);
}

/*
 * With schedule_icmp, an error about an answer that nobody gave makes the connection that it speaks of. As
 * connection_new, which see; `f` is the flow of the quoted packet.
 */
static __always_inline int icmp_begin(const struct packet *p, struct icmp_quoted *q, struct flow *f, __u32 *slot)
{
	q->flow.flags = PACKET_QUOTED;
	q->flow.mark = p->mark;
	return connection_new(&q->flow, f, slot);
}

/* An ICMP error about a connection of ours, from the client's side (to the VIP) or the server's (to the client). */
__noinline int relay_icmp(struct __sk_buff *skb, struct packet *p)
{
	struct settings *s = settings_get();
	struct workbench *w = workbench_get();
	struct conn *c;
	__u32 slot;

	if (!s || !p || !w)
		return TC_ACT_UNSPEC;
	struct icmp_quoted *q = &w->answered;
	struct flow *f = &w->answered_flow;

	__builtin_memset(q, 0, sizeof(*q));
	if (!addressed_to_us(skb, HOOK_TC, s) || !icmp_is_error(skb, p) || icmp_read_quote(skb, p, q))
		return TC_ACT_UNSPEC;
	if (!addr_equal(&p->daddr, &q->flow.daddr)) /* an error goes to the source of what it quotes */
		return TC_ACT_UNSPEC;
	__u32 now = now_jiffies();
	flow_client(f, s, &q->flow);
	c = conn_find(f, &q->flow, &slot);
	if (s->rules & RULE_SCHEDULE_ICMP && (!c || conn_expired(c, now)) && !conn_find_reply(s, &q->flow, &slot)) {
		if (c)
			conn_end(f, slot);
		int made = icmp_begin(p, q, f, &slot);
		if (made == -REASON_NO_SERVICE || made == -REASON_NO_CONNECTION)
			return TC_ACT_UNSPEC;
		if (made)
			return verdict_drop(HOOK_TC, -made);
		c = slot == ONE_PACKET_SLOT ? one_packet_conn() : conn_made(f, slot);
	}
	if (c && (slot == ONE_PACKET_SLOT || !conn_expired(c, now))) {
		struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);
		__u32 method = LIFE_FLAGS(c->life) & CONN_METHOD;

		if (!d || !(d->flags & DEST_PRESENT))
			return verdict_drop(HOOK_TC, REASON_DESTINATION_REMOVED);
		__u32 hop = d->nexthop, local = d->flags & DEST_LOCAL;
		struct nexthop *nh = hop ? bpf_map_lookup_elem(&nexthops, &hop) : NULL;
		if (!local && p->ttl <= 1) /* an error is never answered by an error */
			return verdict_drop(HOOK_TC, REASON_TTL_EXPIRED);
		if (!local && hop_limit_decrement(skb, HOOK_TC, p))
			return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
		if (method == METHOD_MASQ &&
		    icmp_translate(skb, p, q, SIDE_SOURCE, &d->addr, conn_dport(c, d), SIDE_DESTINATION, &d->addr))
			return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
		if (method == METHOD_TUNNEL && !local) {
			if (!nh)
				return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
			int failed = tunnel_wrap(skb, HOOK_TC, s, p, d, &nh->source);

			if (failed)
				return verdict_drop(HOOK_TC, failed);
		}
		reason_count(REASON_ICMP_RELAYED);
		stats_in(c->dest, p->length);
		return local ? TC_ACT_UNSPEC : transmit_to_server(skb, HOOK_TC, p, d, nh);
	}
	if (!(s->flags & SETTING_MASQ))
		return TC_ACT_UNSPEC;
	c = conn_find_reply(s, &q->flow, &slot);
	if (!c || conn_expired(c, now))
		return TC_ACT_UNSPEC;
	struct route *r = &w->route;
	int found = route_to_client(skb, s, c, r, skb->ifindex, now);

	if (found < 0)
		return verdict_drop(HOOK_TC, REASON_NO_ROUTE);
	if (p->ttl <= 1)
		return verdict_drop(HOOK_TC, REASON_TTL_EXPIRED);
	if (hop_limit_decrement(skb, HOOK_TC, p) ||
	    icmp_translate(skb, p, q, SIDE_DESTINATION, &c->vaddr, c->vport, SIDE_SOURCE, &c->vaddr))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	reason_count(REASON_ICMP_RELAYED);
	stats_out(c->dest, p->length);
	if (found)
		return transmit_neighbour(r->ifindex, &r->gateway);
	return transmit_frame(skb, HOOK_TC, r->ifindex, r->dmac, r->smac);
}

static __always_inline int balance(void *ctx, const int hook, const struct settings *s, struct packet *p, int parsed)
{
	if (parsed == NOT_OURS)
		return verdict_pass(hook);
	if (parsed == MALFORMED) {
		reason_count(REASON_MALFORMED);
		return verdict_pass(hook);
	}
	if (parsed == PARSED_ICMP) /* XDP hands all of it on, TC has looked before */
		return verdict_pass(hook);
	__u32 to_vip, from_rs;

	if (!packet_concerns(s, p, &to_vip, &from_rs))
		return verdict_pass(hook);
	if (!addressed_to_us(ctx, hook, s))
		return verdict_pass(hook);
	if (parsed == TRUNCATED || parsed == FRAGMENT) /* in TC, both were dealt with before */
		return hook == HOOK_XDP ? verdict_hand_on() : verdict_pass(hook);
	if (hook == HOOK_XDP && parsed == PARSED_UNFINISHED)
		return verdict_hand_on();
	if (to_vip) {
		int verdict = from_client(ctx, hook, s, p);

		if (verdict != NO_MATCH)
			return verdict;
		if (!from_rs)
			reason_count(REASON_NO_SERVICE);
	}
	if (from_rs) {
		int verdict = from_server(ctx, hook, s, p);

		if (verdict != NO_MATCH)
			return verdict;
	}
	return verdict_pass(hook);
}

SEC("xdp")
int lb_xdp(struct xdp_md *ctx)
{
	void *data = packet_data(ctx, HOOK_XDP), *end = packet_end(ctx, HOOK_XDP);
	struct settings *s = settings_get();
	struct packet p;

	if (!s || !s->conn_lines || gate_stands_aside())
		return XDP_PASS;
	int parsed = packet_parse(&p, data, end, end - data);

	p.mark = 0;
	return balance(ctx, HOOK_XDP, s, &p, parsed);
}

#define LINEAR_V4  (ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))
#define LINEAR_ALL 256

/* Parse, and when the headers are not at hand, fetch them and parse again. */
static __always_inline int parse_skb(struct __sk_buff *skb, struct packet *p)
{
	int parsed = TRUNCATED;

	for (int i = 0; i < 2 && parsed == TRUNCATED; i++) {
		void *data = packet_data(skb, HOOK_TC), *end = packet_end(skb, HOOK_TC);

		if (i || (data + LINEAR_V4 > end && skb->len >= LINEAR_V4)) {
			__u32 want = skb->len < LINEAR_ALL ? skb->len : LINEAR_ALL;

			if (bpf_skb_pull_data(skb, want))
				return MALFORMED;
			data = packet_data(skb, HOOK_TC);
			end = packet_end(skb, HOOK_TC);
		}
		parsed = packet_parse(p, data, end, skb->len);
	}
	/* TC's output knows what is left to the device. */
	return parsed == PARSED_UNFINISHED ? PARSED : parsed == TRUNCATED ? MALFORMED : parsed;
}

/* A frame of its own: the stack of the TC program is shared with the ICMP code, and one call costs it nothing. */
__noinline int balance_skb(struct __sk_buff *skb, struct packet *p, int parsed)
{
	struct settings *s = settings_get();

	if (!s || !p)
		return TC_ACT_UNSPEC;
	return balance(skb, HOOK_TC, s, p, parsed);
}

/* Tier: slow. */
static __always_inline int balance_fragment(struct __sk_buff *skb, struct packet *p)
{
	int parsed = fragment_open(skb, p);

	if (parsed == FRAGMENT)
		return fragment_follow(skb, p);
	int verdict = balance_skb(skb, p, parsed);

	if (parsed == PARSED && verdict != TC_ACT_SHOT)
		fragment_remember(p);
	return verdict;
}

SEC("tc")
int lb_tc(struct __sk_buff *skb)
{
	struct settings *s = settings_get();
	struct packet p;

	/* A tagged frame belongs to the VLAN's own device, where it comes again without the tag. */
	if (!s || !s->conn_lines || skb->vlan_present)
		return TC_ACT_UNSPEC;
	int parsed = parse_skb(skb, &p);

	p.mark = skb->mark;
	if (parsed == PARSED_ICMP) {
		int verdict = tunnel_icmp(skb, &p);

		return verdict == NO_MATCH ? relay_icmp(skb, &p) : verdict;
	}
	if (parsed == FRAGMENT)
		return balance_fragment(skb, &p);
	return balance_skb(skb, &p, parsed);
}

/* Replies of the local node: masqueraded connections whose server is this host. */
__noinline int reply_of_local(struct __sk_buff *skb, struct packet *p)
{
	struct settings *s = settings_get();
	__u32 now = now_jiffies(), slot = NO_SLOT;

	if (!skb || !p || !s)
		return TC_ACT_UNSPEC;
	struct conn *c = conn_find_reply(s, p, &slot);

	if (!c || conn_over(c, now))
		return TC_ACT_UNSPEC;
	struct dest *d = bpf_map_lookup_elem(&dests, &c->dest);

	if (!d || !(d->flags & DEST_LOCAL))
		return TC_ACT_UNSPEC;
	__u32 dest = c->dest;

	conn_touch(skb, HOOK_TC, s, c, d, p, VIEW_SERVER, now);
	if (LIFE_FLAGS(c->life) & CONN_FTP) {
		int failed = ftp_open(ftp_from_server(skb, p, slot));

		if (failed < 0)
			return verdict_drop(HOOK_TC, -failed);
	}
	stats_out(dest, p->length);
	if (rewrite(skb, HOOK_TC, p, SIDE_SOURCE, &c->vaddr, c->vport))
		return verdict_drop(HOOK_TC, REASON_REWRITE_FAILED);
	return TC_ACT_UNSPEC;
}

/* Tier: slow. */
__noinline int fragment_of_local(struct __sk_buff *skb, struct packet *p)
{
	struct settings *s = settings_get();

	if (!skb || !p || !s)
		return TC_ACT_UNSPEC;
	int parsed = fragment_open(skb, p);

	if (parsed == FRAGMENT)
		return fragment_follow_out(skb, p);
	if (parsed != PARSED)
		return TC_ACT_UNSPEC;
	int verdict = reply_of_local(skb, p);

	fragment_remember(p);
	return verdict;
}

SEC("tc")
int lb_tc_egress(struct __sk_buff *skb)
{
	struct settings *s = settings_get();
	struct packet p;

	if (!s || !(s->flags & SETTING_MASQ) || skb->vlan_present)
		return TC_ACT_UNSPEC;
	int parsed = parse_skb(skb, &p);

	if ((parsed != PARSED && parsed != FRAGMENT) || !filter_look(&p.saddr, FILTER_SERVER))
		return TC_ACT_UNSPEC;
	return parsed == FRAGMENT ? fragment_of_local(skb, &p) : reply_of_local(skb, &p);
}
