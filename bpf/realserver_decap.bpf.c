// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A real server's end of the tunnel, for kernels without ipip and ip6tnl devices: takes the outer IPv4 or
 * IPv6 header off a packet whose inner IPv4 or IPv6 header is addressed to one of our VIPs. Attached to the
 * ingress of a real server's network devices; on a director this program is never loaded.
 *
 * What is not such a packet goes to the stack untouched. What is one, but wrong, is dropped and counted:
 * nothing is decapsulated that the kernel's own tunnel devices would refuse.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define MAX_VIPS    1024
#define IP_FRAGMENT 0x3fff /* more-fragments bit and offset */
#define ECN_CE	    3

/* Since Linux 6.3, newer than some of the headers we build with: the inner family becomes the packet's. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

/* IPv4 is ::ffff:a.b.c.d, as in the data plane. */
struct vip {
	__u8 b[16];
};

enum decap_count {
	DECAP_DONE,
	DECAP_OUTER_CHECKSUM,
	DECAP_LENGTH,
	DECAP_CONGESTION, /* marked on the way, but the inner packet cannot carry the mark (RFC 6040) */
	DECAP_KERNEL,	  /* the kernel refused to take the header off */
	DECAP_COUNTS,
};

/* An outer header that was found good: its length, what it carries, and how much of it. */
struct outer {
	__u32 header_bytes;
	__u32 payload_bytes;
	__u8 protocol;
	__u8 ecn;
	__u8 checksum_wrong;
	__u8 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_VIPS);
	__type(key, struct vip);
	__type(value, __u32);
} decap_vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DECAP_COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} decap_counts SEC(".maps");

static __always_inline int decap_end(__u32 reason, int verdict)
{
	__u64 *count = bpf_map_lookup_elem(&decap_counts, &reason);

	if (count)
		(*count)++;
	return verdict;
}

static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* Tier: established. 0 when the packet carries another one whole, -1 when it is none of our business. */
static __always_inline int outer_read4(struct __sk_buff *skb, struct outer *outer)
{
	struct iphdr ip;
	__u32 total;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	if (ip.version != 4 || ip.ihl != 5 || (ip.frag_off & bpf_htons(IP_FRAGMENT)))
		return -1;
	total = bpf_ntohs(ip.tot_len);
	if (total < sizeof(ip) || total > skb->len - ETH_HLEN)
		return -1;
	outer->header_bytes = sizeof(ip);
	outer->payload_bytes = total - sizeof(ip);
	outer->protocol = ip.protocol;
	outer->ecn = ip.tos & ECN_CE;
	outer->checksum_wrong = checksum_fold(bpf_csum_diff(0, 0, (__be32 *)&ip, sizeof(ip), 0)) != 0;
	return 0;
}

/* Tier: established. As outer_read4; extension headers make it none of our business. */
static __always_inline int outer_read6(struct __sk_buff *skb, struct outer *outer)
{
	struct ipv6hdr ip;
	__u32 payload;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)))
		return -1;
	payload = bpf_ntohs(ip.payload_len);
	if (ip.version != 6 || payload > skb->len - ETH_HLEN - sizeof(ip))
		return -1;
	outer->header_bytes = sizeof(ip);
	outer->payload_bytes = payload;
	outer->protocol = ip.nexthdr;
	outer->ecn = (ip.flow_lbl[0] >> 4) & ECN_CE;
	outer->checksum_wrong = 0;
	return 0;
}

/* Tier: established. The inner destination; 1 when the inner lengths contradict, -1 when it is no such packet. */
static __always_inline int inner_read4(struct __sk_buff *skb, const struct outer *outer, struct vip *vip)
{
	struct iphdr ip;
	__u32 total;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + outer->header_bytes, &ip, sizeof(ip)) || ip.version != 4)
		return -1;
	__builtin_memset(vip, 0, 10);
	vip->b[10] = vip->b[11] = 0xff;
	__builtin_memcpy(&vip->b[12], &ip.daddr, sizeof(ip.daddr));
	total = bpf_ntohs(ip.tot_len);
	return ip.ihl < 5 || total < ip.ihl * 4 || total > outer->payload_bytes;
}

static __always_inline int inner_read6(struct __sk_buff *skb, const struct outer *outer, struct vip *vip)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + outer->header_bytes, &ip, sizeof(ip)) || ip.version != 6)
		return -1;
	__builtin_memcpy(vip, &ip.daddr, sizeof(*vip));
	return bpf_ntohs(ip.payload_len) + sizeof(ip) > outer->payload_bytes;
}

/* Tier: established. */
SEC("tc")
int realserver_decap(struct __sk_buff *skb)
{
	struct outer outer = {};
	struct vip vip = {};
	__be16 inner_proto;
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;
	int bad;

	if (skb->pkt_type != PACKET_HOST)
		return TC_ACT_UNSPEC;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (outer_read4(skb, &outer))
			return TC_ACT_UNSPEC;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (outer_read6(skb, &outer))
			return TC_ACT_UNSPEC;
	} else {
		return TC_ACT_UNSPEC;
	}

	if (outer.protocol == IPPROTO_IPIP) {
		inner_proto = bpf_htons(ETH_P_IP);
		bad = inner_read4(skb, &outer, &vip);
	} else if (outer.protocol == IPPROTO_IPV6) {
		inner_proto = bpf_htons(ETH_P_IPV6);
		bad = inner_read6(skb, &outer, &vip);
	} else {
		return TC_ACT_UNSPEC;
	}
	if (bad < 0 || !bpf_map_lookup_elem(&decap_vips, &vip))
		return TC_ACT_UNSPEC;
	if (bad)
		return decap_end(DECAP_LENGTH, TC_ACT_SHOT);
	if (outer.checksum_wrong)
		return decap_end(DECAP_OUTER_CHECKSUM, TC_ACT_SHOT);

	if (inner_proto != skb->protocol)
		flags |= inner_proto == bpf_htons(ETH_P_IP) ? ADJ_ROOM_DECAP_L3_IPV4 : ADJ_ROOM_DECAP_L3_IPV6;
	if (bpf_skb_adjust_room(skb, -(__s32)outer.header_bytes, BPF_ADJ_ROOM_MAC, flags))
		return decap_end(DECAP_KERNEL, TC_ACT_SHOT);
	/* The stack goes by skb->protocol; this is for whoever captures packets. */
	bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &inner_proto, sizeof(inner_proto), 0);
	if (outer.ecn == ECN_CE && !bpf_skb_ecn_set_ce(skb))
		return decap_end(DECAP_CONGESTION, TC_ACT_SHOT);
	return decap_end(DECAP_DONE, TC_ACT_UNSPEC);
}

char LICENSE[] SEC("license") = "GPL";
