"""The global directives of `lvs.cf`, in the order in which the original's GUI wrote them; piranha's own follow."""

from __future__ import annotations

from piranha.config.directive import DAY_S, FORWARDING, MOST_SECONDS, SCSI, UNUSED, Directive, Scope, directive_of
from piranha.config.directive import ValueType as T
from piranha.model.configuration import (
    DataPlaneChoice,
    HeartbeatAuth,
    HookChoice,
    ProfileChoice,
    ReservationConflictAction,
    ServiceMode,
    TableEdits,
)


def _global(name: str, type_: T, example: str, meaning: str, **rest: object) -> Directive:
    return directive_of(Scope.GLOBAL, name, type_, example, meaning, rest)


_MOST_JIFFIES_S = 2**31 // 1000  # the kernel counts them in jiffies, at most 1000 a second


def _rule(name: str, example: str, meaning: str) -> Directive:
    rest: dict[str, object] = {"original": False}
    return directive_of(Scope.GLOBAL, name, T.BOOLEAN, example, f"{meaning} IPVS: `net.ipv4.vs.{name}`.", rest)


def _number(name: str, example: str, meaning: str, *, least: int = 0, most: int = 2**31 - 1) -> Directive:
    rest: dict[str, object] = {"original": False, "least": least, "most": most}
    return directive_of(Scope.GLOBAL, name, T.INTEGER, example, f"{meaning} IPVS: `net.ipv4.vs.{name}`.", rest)


def _defence(name: str, meaning: str) -> Directive:
    modes = "0 never; 1 while room for connections is short (`amemthresh`); 3 always; 2 is read as 1"
    return _number(name, "1", f"{meaning}: {modes}.", most=3)


GLOBAL: tuple[Directive, ...] = (
    _global("serial_no", T.INTEGER, "1", "Edit counter; every change through piranha adds 1.", least=0, most=2**63 - 1),
    _global("primary", T.HOST, "192.0.2.1", "Public address of the primary director."),
    _global(
        "primary_private",
        T.HOST,
        "10.0.0.1",
        "Address of the primary director on the second heartbeat link. Left out, both directors use their public "
        "addresses and `backup_private` is ignored.",
        default_text="`primary`",
    ),
    _global("primary_shared", T.TEXT, "/dev/sdb", "Shared SCSI device of the primary director.", inert=SCSI),
    _global(
        "service",
        T.WORD,
        "lvs",
        "Which half of the file runs: `lvs` the `virtual` blocks, `fos` the `failover` blocks.",
        words={mode.value: mode for mode in ServiceMode},
    ),
    _global("rsh_command", T.TEXT, "ssh", "Command that fetches the load when `load_monitor = uptime`."),
    _global(
        "backup_active",
        T.BOOLEAN,
        "1",
        "Whether there is a backup director. Without `backup` it counts as 0.",
    ),
    _global(
        "backup",
        T.HOST,
        "192.0.2.2",
        "Public address of the backup director; `0.0.0.0` says that there is none.",
    ),
    _global(
        "backup_private",
        T.HOST,
        "10.0.0.2",
        "Address of the backup director on the second heartbeat link.",
        default_text="`backup`",
    ),
    _global("backup_shared", T.TEXT, "/dev/sdb", "Shared SCSI device of the backup director.", inert=SCSI),
    _global("heartbeat", T.BOOLEAN, "1", "Written by every GUI, never consulted."),
    _global("heartbeat_port", T.PORT, "539", "UDP port of the heartbeats.", least=1, most=65535),
    _global(
        "keepalive", T.TIME, "6", "Time between two heartbeats; not given, the profile's.", least=0.001, most=DAY_S
    ),
    _global(
        "deadtime",
        T.TIME,
        "18",
        "Silence after which the partner is dead; not given, the profile's.",
        least=0.001,
        most=DAY_S,
    ),
    _global(
        "network",
        T.WORD,
        "direct",
        "Forwarding method of all virtual servers: `nat` masquerades, `direct` routes directly, `tunnel` wraps in IP.",
        words=FORWARDING,
    ),
    _global(
        "nat_router",
        T.DEVICE_ADDRESS,
        "10.0.0.254 eth1:1",
        "Floating address that the real servers use as gateway when `network = nat`; it moves with the active role.",
    ),
    _global("nat_nmask", T.MASK, "255.255.255.0", "Netmask of `nat_router`."),
    _global("debug_level", T.TEXT, "NONE", "Read and ignored.", inert=UNUSED),
    _global(
        "monitor_links", T.INTEGER, "1", "Watch the carrier of this director's own interfaces: 1 on, 0 off.", least=0
    ),
    _global("syncdaemon", T.BOOLEAN, "1", "Copy the connection table to the partner all the time."),
    _global("syncd_iface", T.TEXT, "eth0", "Interface of the connection synchronisation's multicast."),
    _global("syncd_id", T.INTEGER, "0", "Number of the synchronisation group.", least=0, most=255),
    _global(
        "tcp_timeout",
        T.TIME,
        "900",
        "Time after which an idle established TCP connection is forgotten; 0 keeps the data plane's value.",
        least=0,
        most=MOST_SECONDS,
    ),
    _global(
        "tcpfin_timeout",
        T.TIME,
        "120",
        "Time after which a closing TCP connection is forgotten; 0 keeps the data plane's value.",
        least=0,
        most=MOST_SECONDS,
    ),
    _global(
        "udp_timeout",
        T.TIME,
        "300",
        "Time after which a silent UDP connection is forgotten; 0 keeps the data plane's value.",
        least=0,
        most=MOST_SECONDS,
    ),
    _global(
        "hard_shutdown",
        T.BOOLEAN,
        "1",
        "In the original 1 let one dying nanny take everything down.",
        inert="checks are not processes of their own any more, so that none can take the others down",
    ),
    _global(
        "ipvsadm",
        T.TEXT,
        "/sbin/ipvsadm",
        "Path of the tool that the original switched with.",
        inert="the data plane is programmed without ipvsadm",
    ),
    _global("active_cmd", T.TEXT, '"/usr/local/bin/now-active"', "Command run when this director becomes active."),
    _global("inactive_cmd", T.TEXT, '"/usr/local/bin/now-backup"', "Command run when it becomes backup, and at start."),
    _global(
        "reservation_conflict_action",
        T.WORD,
        "nothing",
        "What to do when the shared SCSI device is reserved by the partner.",
        words={action.value: action for action in ReservationConflictAction},
        inert=SCSI,
    ),
    _global("sync", T.BOOLEAN, "0", "Switch of an old file synchronisation.", inert=UNUSED),
    _global(
        "dataplane",
        T.WORD,
        "auto",
        "What switches the packets: `ebpf`, `ipvs`, or `auto` for eBPF wherever BPF works.",
        words={choice.value: choice for choice in DataPlaneChoice},
        original=False,
    ),
    _global(
        "interfaces",
        T.LIST,
        "[ eth0 eth1 ]",
        "Interfaces that the eBPF data plane attaches to. An empty list means all that carry a VIP or a route.",
        original=False,
    ),
    _global(
        "hook",
        T.WORD,
        "auto",
        "Where the eBPF data plane attaches: `xdp`, `tc`, or `auto` for the better one of each interface.",
        words={choice.value: choice for choice in HookChoice},
        original=False,
    ),
    _global(
        "table_edits",
        T.WORD,
        "show",
        "What becomes of edits with ipvsadm. `show`: services that this file does not name stay and are shown, edits of "
        "the others are undone. `repair`: the table is this file's alone, other services are removed (with "
        "`dataplane = ipvs` those of other programs too). `adopt`: edits of this file's services stay too.",
        words={choice.value: choice for choice in TableEdits},
        original=False,
    ),
    _global(
        "api_group",
        T.TEXT,
        "piranha-admin",
        "Group whose members may do with lvsd what root may: change the configuration, drain, change over. Without it only "
        "root may. A change takes effect when lvsd is started again.",
        original=False,
    ),
    _global(
        "profile",
        T.WORD,
        "default",
        "Speed of takeover. `keepalive` and `deadtime` override it.",
        words={choice.value: choice for choice in ProfileChoice},
        original=False,
    ),
    _global(
        "heartbeat_auth",
        T.WORD,
        "sealed",
        "How the directors know each other's heartbeats: `sealed` with the key that `piranha pair` makes; `none` speaks "
        "the original Piranha's, which anybody can forge, while one director is still an original.",
        words={choice.value: choice for choice in HeartbeatAuth},
        original=False,
    ),
    _global(
        "pair_port",
        T.PORT,
        "540",
        "TCP port of the pair link, on which the directors keep this file the same on both.",
        least=1,
        most=65535,
        default_text="`heartbeat_port` + 1",
        original=False,
    ),
    _global(
        "failback",
        T.BOOLEAN,
        "1",
        "Whether the primary becomes active again when it is back; otherwise the one that serves goes on.",
        original=False,
    ),
    _global(
        "failback_delay",
        T.TIME,
        "30",
        "How long the primary must have been back and sound before `failback`.",
        least=0,
        most=DAY_S,
        original=False,
    ),
    _global(
        "start_delay",
        T.TIME,
        "10",
        "How long a director that starts leaves the VIPs to the other one, where switches need time to forward.",
        least=0,
        most=DAY_S,
        original=False,
    ),
    _global(
        "syncd_group",
        T.ADDRESS,
        "224.0.0.81",
        "Multicast group of the connection synchronisation, IPv4 or IPv6.",
        default_text="`224.0.0.81`",
        original=False,
    ),
    _global(
        "syncd_port", T.PORT, "8848", "UDP port of the connection synchronisation.", least=1, most=65535, original=False
    ),
    _global(
        "syncd_ttl",
        T.INTEGER,
        "1",
        "Hops that messages of the connection synchronisation may take.",
        least=1,
        most=255,
        original=False,
    ),
    _global(
        "syncd_maxlen",
        T.INTEGER,
        "1472",
        "Longest message of the connection synchronisation in bytes; 0 is what the interface's packets hold.",
        least=0,
        most=65507,
        default_text="0",
        original=False,
    ),
    _global(
        "syncd_link_port",
        T.INTEGER,
        "8849",
        "TCP port of the pair link, on which a director that returns copies the partner's connection table before it "
        "serves; 0 uses multicast alone.",
        least=0,
        most=65535,
        original=False,
    ),
    _global(
        "sync_threshold",
        T.INTEGER,
        "3",
        "The packet of a connection at which the partner is told of it. Left out, it is told of every connection as "
        "soon as that is established, and of each change. IPVS: the first number of `net.ipv4.vs.sync_threshold`.",
        least=0,
        most=MOST_SECONDS,
        default_text="every connection",
        original=False,
    ),
    _global(
        "sync_period",
        T.INTEGER,
        "50",
        "Packets after which the partner is told of a connection again, when `sync_threshold` is given; 0 is never. "
        "IPVS: the second number of `net.ipv4.vs.sync_threshold`.",
        least=0,
        most=MOST_SECONDS,
        original=False,
    ),
    _global(
        "sync_refresh_period",
        T.TIME,
        "30",
        "When `sync_threshold` is given: time by which a connection's expiry must have moved before the partner is told "
        "again; 0 counts packets alone. IPVS: `net.ipv4.vs.sync_refresh_period`.",
        least=0,
        most=DAY_S,
        original=False,
    ),
    _global(
        "sync_persist_mode",
        T.BOOLEAN,
        "1",
        "Tell the partner of persistent clients' templates alone, not of each of their connections. "
        "IPVS: `net.ipv4.vs.sync_persist_mode`.",
        original=False,
    ),
    _global(
        "conn_reuse_mode",
        T.INTEGER,
        "1",
        "What a SYN does that meets an old connection with the same client port: 0 follows it, 1 is scheduled anew when "
        "the old one is finished, 2 when it is half closed and only the client's packets are seen, 3 both. "
        "IPVS: `net.ipv4.vs.conn_reuse_mode`.",
        least=0,
        most=3,
        original=False,
    ),
    _rule("expire_nodest_conn", "1", "Connections of a removed real server end at its next packet, not by their time."),
    _rule(
        "expire_quiescent_template",
        "1",
        "Persistent clients leave a real server of weight 0 with their next connection.",
    ),
    _rule("sloppy_tcp", "1", "Any TCP segment but a reset opens a connection, not only a SYN."),
    _rule("sloppy_sctp", "1", "Any SCTP packet but an abort opens an association, not only an INIT."),
    _rule(
        "cache_bypass",
        "1",
        "A connection by firewall mark that no real server can take goes to the address that the client asked for.",
    ),
    _rule(
        "pmtu_disc",
        "1",
        "Tunnels keep the don't-fragment bit, so that clients learn the smaller packet size; 0 fragments instead.",
    ),
    _rule(
        "nat_icmp_send",
        "1",
        "A masqueraded real server that answers on no known connection is told that the port is unreachable.",
    ),
    _rule("schedule_icmp", "1", "ICMP errors that belong to no connection are scheduled as the packet they quote."),
    _defence("drop_packet", "Defence against floods: one new connection's packet in so many is dropped"),
    _defence("drop_entry", "Defence against floods: half-open and idle connections are dropped at random"),
    _defence("secure_tcp", "Defence against floods: TCP's states trust the client's packets less"),
    _number(
        "amemthresh",
        "1024",
        "Room is short when it is for fewer connections than this; in IPVS itself, when fewer pages of memory are free.",
    ),
    _number("am_droprate", "10", "With `drop_packet = 3` one packet in so many is dropped."),
    _number(
        "lblc_expiration",
        "86400",
        "Seconds after which lblc forgets which real server an address had, when nobody asked for it.",
        least=1,
        most=_MOST_JIFFIES_S,
    ),
    _number(
        "lblcr_expiration",
        "86400",
        "Seconds after which lblcr takes a real server from the set of an address, when the set did not change.",
        least=1,
        most=_MOST_JIFFIES_S,
    ),
)
