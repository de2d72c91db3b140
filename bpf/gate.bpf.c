/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The gate: while no active heartbeat has left this host for the time of the lease, nothing on it answers for a VIP.
 * It needs no process: what renews the lease is the heartbeat itself, seen on its way out. docs/design/lease.md.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "gate.h"

#define TC_NEXT		  TC_ACT_UNSPEC
#define VLAN_ID		  0x0fff
#define IP_OFFSET	  0x1fff
#define ARP_REQUEST	  1
#define NDP_FIRST	  133 /* router solicitation; all of 133 to 137 are neighbour discovery (RFC 4861) */
#define NDP_SOLICITATION  135
#define NDP_ADVERTISEMENT 136
#define NDP_LAST	  137

char LICENSE[] SEC("license") = "GPL";

/* IPv4 is ::ffff:a.b.c.d. */
union gate_address {
	__be32 w[4];
	__u64 d[2];
};

/* What pulse shows; their names are in pulse/gate.py. */
enum gate_counter {
	GATE_ARP_DROPPED,
	GATE_NDP_DROPPED,
	GATE_IPV4_DROPPED,
	GATE_IPV6_DROPPED,
	GATE_ANNOUNCEMENTS_DROPPED, /* ours: a VIP as sender while the gate is shut */
	GATE_LATE_HEARTBEATS,	    /* active ones that left after the end of the lease */
	GATE_FOREIGN_HEARTBEATS,    /* active ones of another user */
	GATE_COUNTERS,
};
volatile const enum gate_counter gate_counters_known = GATE_COUNTERS;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 32768);
	__type(key, union gate_address);
	__type(value, __u32);
} gate_vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GATE_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} gate_counters SEC(".maps");

/* RFC 826, for IPv4 on Ethernet. */
struct arp {
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

/* RFC 4861: solicitation and advertisement begin alike. */
struct neighbour_message {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 flags;
	union gate_address target;
};

struct ipv4_heartbeat {
	struct iphdr ip;
	struct udphdr udp;
	__u32 word;
};

struct ipv6_heartbeat {
	struct ipv6hdr ip;
	struct udphdr udp;
	__u32 word;
};

static __always_inline void count(__u32 counter)
{
	__u64 *n = bpf_map_lookup_elem(&gate_counters, &counter);

	if (n)
		(*n)++;
}

static __always_inline int drop(__u32 counter)
{
	count(counter);
	return TC_ACT_SHOT;
}

/* Offsets are from the network header: what lies before it differs from device to device. */
static __always_inline int load(struct __sk_buff *skb, __u32 offset, void *to, __u32 size)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, size, BPF_HDR_START_NET);
}

static __always_inline int is_vip(const union gate_address *address)
{
	return bpf_map_lookup_elem(&gate_vips, address) != NULL;
}

static __always_inline int is_vip_v4(__be32 v4)
{
	union gate_address address = {.w = {0, 0, bpf_htonl(0xffff), v4}};

	return is_vip(&address);
}

/*
 * The exact answer. A host that was suspended finds until_jiffies still ahead, for jiffies stood still: then the first
 * one to ask corrects it for all.
 */
static __always_inline int gate_open(struct gate_lease *lease)
{
	if (bpf_ktime_get_boot_ns() < lease->until_ns)
		return 1;
	if (lease->until_jiffies)
		lease->until_jiffies = 0;
	return 0;
}

/* An expired lease stays expired, and one that pulse drops meanwhile stays dropped. */
static __always_inline void lease_renew(struct gate_lease *lease)
{
	/* Before the exact clock: a processor taken away in between must not make it end later. */
	__u64 jiffies = bpf_jiffies64();
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 until = *(volatile __u64 *)&lease->until_ns, next = now + lease->lease_ns;

	if (now >= until) {
		lease->until_jiffies = 0;
		count(GATE_LATE_HEARTBEATS);
		return;
	}
	if (next > until && __sync_val_compare_and_swap(&lease->until_ns, until, next) != until)
		return;
	if (next > until)
		lease->until_jiffies = jiffies + lease->lease_jiffies;
	lease->renewed_ns = now;
	lease->renewals++;
}

static __always_inline void heartbeat_leaves(struct __sk_buff *skb, struct gate_lease *lease, __be16 port, __u32 word)
{
	if (port != lease->heartbeat_port || word != lease->active_word)
		return;
	if (bpf_get_socket_uid(skb) != lease->owner) {
		count(GATE_FOREIGN_HEARTBEATS);
		return;
	}
	lease_renew(lease);
}

/* Tier: established, where a pair is configured: a packet in by TC. Attached before every other program. */
SEC("tc")
int gate_ingress(struct __sk_buff *skb)
{
	struct gate_lease *lease = gate_lease_get();

	if (!lease || !lease->enabled)
		return TC_NEXT;
	/* A tagged frame comes again on its VLAN's device; the tag 0 is only a priority. */
	if (skb->vlan_present && skb->vlan_tci & VLAN_ID)
		return TC_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		__be32 target;

		if (gate_open_surely(lease) || gate_open(lease))
			return TC_NEXT;
		if (load(skb, __builtin_offsetof(struct iphdr, daddr), &target, sizeof(target)) || !is_vip_v4(target))
			return TC_NEXT;
		return drop(GATE_IPV4_DROPPED);
	}
	if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		struct arp arp;

		if (gate_open(lease) || load(skb, 0, &arp, sizeof(arp)))
			return TC_NEXT;
		if (arp.protocol_type != bpf_htons(ETH_P_IP) || arp.operation != bpf_htons(ARP_REQUEST) ||
		    arp.hardware_length != ETH_ALEN || arp.protocol_length != sizeof(arp.target))
			return TC_NEXT;
		/* The peer's announcement asks nothing, and our own caches need it. */
		if (arp.sender == arp.target || !is_vip_v4(arp.target))
			return TC_NEXT;
		return drop(GATE_ARP_DROPPED);
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct neighbour_message message;
		struct ipv6hdr ip;

		if (load(skb, 0, &ip, sizeof(ip)))
			return TC_NEXT;
		int discovery = ip.nexthdr == IPPROTO_ICMPV6;

		if ((!discovery && gate_open_surely(lease)) || gate_open(lease))
			return TC_NEXT;
		if (is_vip((union gate_address *)&ip.daddr))
			return drop(GATE_IPV6_DROPPED);
		if (discovery && !load(skb, sizeof(ip), &message, sizeof(message)) &&
		    message.type == NDP_SOLICITATION && is_vip(&message.target))
			return drop(GATE_NDP_DROPPED);
	}
	return TC_NEXT;
}

/* Tier: established, where a pair is configured: a packet out. What came in from a wire is neither ours nor a claim. */
SEC("tc")
int gate_egress(struct __sk_buff *skb)
{
	struct gate_lease *lease = gate_lease_get();

	if (!lease || !lease->enabled || skb->ingress_ifindex)
		return TC_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct ipv4_heartbeat h;

		if (load(skb, 0, &h, sizeof(h)) || *(__u8 *)&h.ip != 0x45 || h.ip.protocol != IPPROTO_UDP ||
		    h.ip.frag_off & bpf_htons(IP_OFFSET))
			return TC_NEXT;
		heartbeat_leaves(skb, lease, h.udp.dest, h.word);
	} else if (skb->protocol == bpf_htons(ETH_P_ARP)) {
		struct arp arp;

		if (gate_open(lease) || load(skb, 0, &arp, sizeof(arp)) || arp.protocol_type != bpf_htons(ETH_P_IP))
			return TC_NEXT;
		if (is_vip_v4(arp.sender))
			return drop(GATE_ANNOUNCEMENTS_DROPPED);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct neighbour_message message;
		struct ipv6_heartbeat h;

		if (load(skb, 0, &h, sizeof(h)))
			return TC_NEXT;
		if (h.ip.nexthdr == IPPROTO_UDP) {
			heartbeat_leaves(skb, lease, h.udp.dest, h.word);
			return TC_NEXT;
		}
		if (h.ip.nexthdr != IPPROTO_ICMPV6 || gate_open(lease) ||
		    load(skb, sizeof(h.ip), &message, sizeof(message.type)))
			return TC_NEXT;
		if (message.type < NDP_FIRST || message.type > NDP_LAST)
			return TC_NEXT;
		if (is_vip((union gate_address *)&h.ip.saddr))
			return drop(GATE_ANNOUNCEMENTS_DROPPED);
		if (message.type == NDP_ADVERTISEMENT && !load(skb, sizeof(h.ip), &message, sizeof(message)) &&
		    is_vip(&message.target))
			return drop(GATE_ANNOUNCEMENTS_DROPPED);
	}
	return TC_NEXT;
}
