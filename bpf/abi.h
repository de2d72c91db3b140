/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel programs and user space share. Every struct here has a mirror in
 * src/piranha/dataplane/ebpf/abi.py, which is checked against this object's BTF before it is loaded.
 *
 * Commit rule: user space prepares a record that nobody points to, then publishes it with one aligned
 * 32 or 64 bit store. Nothing that a packet can reach is changed in place but single words.
 */
#ifndef PIRANHA_ABI_H
#define PIRANHA_ABI_H

#include <linux/types.h>

#define CONN_WAYS  16 /* connection entries that share one line of tags */
#define REV_WAYS   8  /* reverse index words that share one line */
#define SLOT_WORDS 16

/* One address type for both families; IPv4 is ::ffff:a.b.c.d. */
union addr {
	__u8 b[16];
	__be32 w[4];
	__u64 d[2];
};

/* Tags: 0 is a free way; bit 0 is set in every tag; bit 1 says that the entry is being written. */
#define TAG_VALID   1u
#define TAG_WRITING 2u

struct conn_line {
	__u32 tag[CONN_WAYS];
};

/* Words of the reverse index (masqueraded connections, found by the server's reply): tag in the high half,
 * slot of the connection in the low half; 0 is free. */
struct rev_line {
	__u64 word[REV_WAYS];
};

/* Bypass is no destination's method: the packet goes where its sender wanted it to (cache_bypass). */
enum method { METHOD_MASQ, METHOD_DIRECT, METHOD_TUNNEL, METHOD_BYPASS };

/* IPVS's numbers. */
enum tunnel { TUNNEL_IPIP, TUNNEL_GUE, TUNNEL_GRE };
#define TUNNEL_CSUM 0x01
/* "Remote checksum" saves a sender from finishing the inner checksum. Ours are finished: then it is a full one. */
#define TUNNEL_REMCSUM 0x02

#define CONN_METHOD	0x0003 /* enum method, fixed when the connection is made */
#define CONN_INACTIVE	0x0004 /* counted in the destination's `inactive` */
#define CONN_REVERSE	0x0008 /* has a word in the reverse index */
#define CONN_TEMPLATE	0x0010 /* persistence: not a connection, but what binds a client to a destination */
#define CONN_KEEP_PORT	0x0020 /* the server gets the packet's own port, whatever the destination's is */
#define CONN_SYNCED	0x0040 /* made by connection sync, not by a packet of ours */
#define CONN_RETIRED	0x0080 /* a template that binds no more */
#define CONN_FTP	0x0100 /* control connection of FTP: TC reads what is said on it (ftp.h) */
#define CONN_PORT_BELOW 0x0200 /* the server's port is the one below the destination's: active data of FTP */
#define CONN_NO_CPORT	0x0400 /* passive data of FTP: waits for a client's first packet, which tells its port */
#define CONN_CALL	0x0800 /* a template of a SIP call: `calls` has its Call-ID */

/* One connection, one cache line. `life` is one word so that a change of state is one compare-and-exchange. */
struct conn {
	union addr caddr;
	union addr vaddr;
	__be16 cport;
	__be16 vport;
	__u32 life;    /* protocol : 8, state : 8, flags : 16, from the low end */
	__u32 dest;    /* index into `dests` */
	__u32 expires; /* low half of jiffies */
	__u32 packets; /* of the client */
	__u32 control; /* slot + 1 of the template, or of FTP's control connection, that made this connection */
	/* A connection: index into `client_routes` : 16, second it was confirmed : 16; 0 is none.
	 * A template: how many connections it holds; it is not freed before they are. */
	__u32 route;
	__u32 created; /* low half of jiffies; of a template: its life in jiffies */
};

#define LIFE_PROTO(l) ((l) & 0xff)
#define LIFE_STATE(l) (((l) >> 8) & 0xff)
#define LIFE_FLAGS(l) ((l) >> 16)
#define LIFE(p, s, f) ((__u32)(p) | (__u32)(s) << 8 | (__u32)(f) << 16)

enum tcp_state {
	TCP_S_NONE,
	TCP_S_ESTABLISHED,
	TCP_S_SYN_SENT,
	TCP_S_SYN_RECV,
	TCP_S_FIN_WAIT,
	TCP_S_TIME_WAIT,
	TCP_S_CLOSE,
	TCP_S_CLOSE_WAIT,
	TCP_S_LAST_ACK,
	TCP_S_LISTEN,
	TCP_S_SYNACK,
	TCP_S_COUNT,
};
#define UDP_S_NORMAL	 0
#define TEMPLATE_ASSURED 1

/* What a client asked for on FTP's control connection. */
enum ftp_reply { FTP_NOTHING, FTP_PASV, FTP_EPSV };

/* One control connection is found by its flow, the first bytes of its entry: addresses and ports. */
struct ftp_key {
	__be32 flow[9];
};

/*
 * What its entry has no room for. Our replies are longer or shorter than the server's, so its sequence numbers are
 * shifted: by `before` up to and with `position`, the server's own number of the latest changed segment, by `after`
 * behind it.
 */
struct ftp_control {
	__u32 position;
	__s32 before;
	__s32 after;
	__u32 children; /* data connections */
	__u8 expected;	/* enum ftp_reply: asked for, and not yet answered */
	__u8 latest;	/* the reply at `position`, should it come again */
	__u8 pad[2];
};

enum sctp_state {
	SCTP_S_NONE,
	SCTP_S_INIT1,
	SCTP_S_INIT,
	SCTP_S_COOKIE_SENT,
	SCTP_S_COOKIE_REPLIED,
	SCTP_S_COOKIE_WAIT,
	SCTP_S_COOKIE,
	SCTP_S_COOKIE_ECHOED,
	SCTP_S_ESTABLISHED,
	SCTP_S_SHUTDOWN_SENT,
	SCTP_S_SHUTDOWN_RECEIVED,
	SCTP_S_SHUTDOWN_ACK_SENT,
	SCTP_S_REJECTED,
	SCTP_S_CLOSED,
	SCTP_S_COUNT,
};

#define DEST_PRESENT 0x01 /* in its service's table; a removed one keeps its record while connections use it */
#define DEST_LOCAL   0x04 /* the address is this host's own */
#define DEST_MASQUERADED                                                                                               \
	0x08 /* is or was masqueraded: replies of such connections may come; user space alone reads it */

/*
 * A real server as target of one service, one cache line. active and inactive are changed by packets only. Number 0 is
 * nobody's: bypassed connections have it.
 */
struct dest {
	union addr addr;
	__be16 port;
	__u8 method;
	__u8 flags;
	__s32 weight;
	__u32 active;
	__u32 inactive;
	__u32 nexthop; /* index into `nexthops`; 0 is "not resolved yet" */
	__u32 service;
	__u32 upper;
	__u32 lower;
	__u32 serial;	    /* order of arrival; a scheduler's list is newest first */
	__u32 overload;	    /* over the upper threshold and not yet below the lower one; set and cleared by packets */
	__u32 persistent;   /* templates */
	__be16 tunnel_port; /* of GUE */
	__u8 tunnel_type;   /* enum tunnel */
	__u8 tunnel_flags;  /* TUNNEL_CSUM, TUNNEL_REMCSUM */
};

#define NEXTHOP_READY 0x01 /* both MAC addresses are known */
#define NEXTHOP_XDP   0x02 /* ready, and its device takes frames from XDP */

/* How to reach one real server; written by user space, never changed once published. */
struct nexthop {
	__u32 ifindex;
	__u32 mtu;
	__u8 dmac[6];
	__u8 smac[6];
	__u8 flags;
	__u8 pad[3];
	union addr gateway; /* neighbour to ask for: a router or the server itself */
	union addr source;  /* outer source of a tunnel */
	__u64 learned; /* MTU that a router on the way told of : 32, jiffies then : 32 (high half); set by packets */
};

/* How to reach a client; written by the packet path after a look-up in the kernel's routing table. */
struct client_route {
	__u32 ifindex; /* 0 is free */
	__u8 dmac[6];
	__u8 smac[6];
	__u32 confirmed; /* low half of jiffies */
	__u32 mtu;
	__u32 lock;
	__u32 flags; /* NEXTHOP_XDP */
};

struct service_key {
	union addr addr;
	__be16 port;
	__u8 proto;
	__u8 pad;
	__u32 mark; /* a firewall mark's service: proto and port are 0, addr the unspecified address of its family */
};

#define SERVICE_PRESENT	   0x01
#define SERVICE_PERSISTENT 0x02
#define SERVICE_ONE_PACKET 0x04
/* 0x08, 0x10, 0x20 are IPVS's scheduler flags (sched.h) */
#define SERVICE_SIP 0x40 /* persistence engine: templates are of calls */

#define CALL_ID_MOST 255

/* The Call-ID of a template, padded with zeros. */
struct call {
	__u8 length;
	__u8 id[CALL_ID_MOST];
} __attribute__((aligned(8)));

/* Where a masqueraded real server answers from; `proto` 0 is any: that of a firewall mark's service. */
struct server_key {
	union addr addr;
	__be16 port;
	__u8 proto;
	__u8 pad[5];
};

/*
 * `table` names the region of `slots` that this service schedules from: first word : 32, length : 32 (high half).
 * The region's first word is the cursor of rotating schedulers, then come `length` indices into `dests`, a
 * word of the scheduler's user-space half to its kernel half, and last one that only the former knows.
 */
struct service {
	__u64 table;
	struct service_key key;
	__u32 scheduler;
	__u32 flags;
	__u32 serial;
	__u32 index;	  /* its own, so that a pointer is enough */
	__u32 persistent; /* life of a template, jiffies */
	__u32 mask;	  /* of the clients' addresses: IPv4's in network order, or IPv6's length */
};

struct slot_line {
	__u32 word[SLOT_WORDS];
};

struct dest_stats {
	__u64 conns;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};

#define STATES	  16
#define FTP_PORTS 8
#define OWN_MACS  8

#define SETTING_MASQ	 0x01 /* at least one destination is masqueraded: look for replies */
#define SETTING_MARKS	 0x02 /* there are services of firewall marks */
#define SETTING_MARK_ANY 0x04 /* a mark's rule has no single address: every packet may be ours */
#define SETTING_FTP	 0x08 /* there are services that may carry FTP's control connections */
#define SETTING_CALLS	 0x20 /* there are services with the persistence engine sip */

/* IPVS's sysctls of the same names, as bits of `rules`. */
#define RULE_EXPIRE_NODEST	       0x01
#define RULE_EXPIRE_QUIESCENT_TEMPLATE 0x02
#define RULE_SLOPPY_TCP		       0x04
#define RULE_SLOPPY_SCTP	       0x08
#define RULE_PMTU_DISC		       0x10 /* a tunnel's outer header may not be cut where the packet inside may not */

#define RULE_SCHEDULE_ICMP 0x0100 /* an ICMP error begins the connection that it speaks of */
#define RULE_NAT_ICMP_SEND 0x0200 /* a masqueraded server that answers nobody is told so */
#define RULE_CACHE_BYPASS  0x0400 /* a marked packet that nobody can serve goes on to where it was going */

/* One clause of a `mark` block: packets to these addresses, protocol (0 is any) and ports get the mark. */
struct mark_rule {
	union addr addr;
	union addr mask;
	__u16 first_port; /* host order */
	__u16 last_port;
	__u32 mark;
	__u8 proto;
	__u8 pad[7];
};
#define MARK_RULES 1024

struct settings {
	__u64 key[6]; /* secret multipliers of the flow hash */
	__u32 conn_lines;
	__u32 rev_lines;
	__u32 hz;
	__u32 flags;
	__u32 tcp_timeout[STATES]; /* jiffies */
	__u32 sctp_timeout[STATES];
	__u32 udp_timeout;
	__u32 route_shift;	    /* jiffies >> route_shift counts periods of about a second */
	__u64 mac[OWN_MACS];	    /* of devices that run the XDP program, 6 bytes in the low end; 0 ends the list */
	__u32 xdp_device[OWN_MACS]; /* their indices, in the same order */
	__u32 icmp_rate;	    /* ICMP errors a second and CPU */
	__u32 icmp_burst;
	__u32 rules;
	__u32 conn_reuse_mode;
	__u32 mark_rules;	     /* how many are in force */
	__u32 defences;		     /* those in force; written by the sweep */
	__be16 ftp_ports[FTP_PORTS]; /* virtual ports of FTP's control connections; 0 ends the list */
};

/* Defences in force. The state table of TCP is chosen by the first. */
#define DEFENCE_SECURE_TCP  0x01
#define DEFENCE_DROP_PACKET 0x02
#define DEFENCE_DROP_ENTRY  0x04

#define DEFENCE_ALWAYS	     3 /* of IPVS's modes; 0 is never, 1 and 2 are "while room is short" */
#define DEFENCE_PACKETS	     9 /* a connection of so many packets is worth keeping */
#define DEFENCE_PACKETS_ROOM 16

/* IPVS's sysctls of the same names, and what became of them. */
struct defence {
	__u32 drop_entry;
	__u32 drop_packet;
	__u32 secure_tcp;
	__u32 amemthresh; /* room is short when it is for fewer connections */
	__u32 am_droprate;
	__u32 capacity; /* connections that the table was made for */
	__u32 room;	/* for so many there was at the last look */
	__u32 drop_rate;
	__s32 drop_counter;
	__s32 idle_counter[DEFENCE_PACKETS_ROOM]; /* by the packets of the connection */
	__u32 pad;
	__u64 entries_dropped;
};

/* Addresses that concern us, two bits each (VIP, real server), by hash: lets other packets leave at once. */
#define FILTER_BITS   15
#define FILTER_VIP    1
#define FILTER_SERVER 2
struct filter_line {
	__u64 word[8];
};
#define FILTER_LINES ((1 << FILTER_BITS) * 2 / 512)

/* Why a packet was refused, handed on, or answered by us. Names are the words that people read. */
enum reason {
	REASON_MALFORMED,
	REASON_FRAGMENT,
	REASON_NO_SERVICE,
	REASON_NO_CONNECTION,
	REASON_NO_DESTINATION,
	REASON_TABLE_FULL,
	REASON_CREATION_RACE,
	REASON_DESTINATION_REMOVED,
	REASON_NO_ROUTE,
	REASON_TOO_BIG,
	REASON_TTL_EXPIRED,
	REASON_REWRITE_FAILED,
	REASON_ICMP_RELAYED,
	REASON_ICMP_SENT,
	REASON_ICMP_LIMITED,
	REASON_XDP_HANDED_ON,
	REASON_UNSUPPORTED,
	REASON_ICMP_OMITTED,
	REASON_DEFENCE_DROP,
	REASON_NO_CALL_ID,
	REASON_COUNT,
};
#define REASONS 32

/* Arguments and results of the syscall programs. */
struct sweep_args {
	__u32 first_line;
	__u32 lines;
	__u32 live;
	__u32 expired;
	__u32 now; /* low half of jiffies */
};

struct weigh_args {
	__u32 live; /* entries alive; 0xffffffff: as the ticker's last walk found */
};

struct ticker_args {
	__u32 period_ms;
	__u32 lines;
	__s32 result;
	__u32 pad;
};

_Static_assert(sizeof(struct conn_line) == 64, "one cache line");
_Static_assert(sizeof(struct rev_line) == 64, "one cache line");
_Static_assert(sizeof(struct conn) == 64, "one cache line");
_Static_assert(sizeof(struct ftp_key) == __builtin_offsetof(struct conn, life), "a connection begins with its flow");
_Static_assert(sizeof(struct dest) == 64, "one cache line");
_Static_assert(sizeof(struct nexthop) == 64, "one cache line");
_Static_assert(sizeof(struct client_route) == 32, "half a cache line");
_Static_assert(sizeof(struct service_key) == 24, "no hidden padding");
_Static_assert(sizeof(struct server_key) == 24, "no hidden padding");
_Static_assert(sizeof(struct service) == 56, "no hidden padding");

#endif
