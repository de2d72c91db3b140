"""Every directive of `lvs.cf`, in one table. Adding a directive is one entry here (and one field of the model).

The order inside a scope is the order in which the original's GUI wrote them; the writer and the editor keep to it.
Defaults are not repeated here: they are the defaults of `model.configuration`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum

from piranha.model.configuration import (
    Configuration,
    DataPlaneChoice,
    HookChoice,
    ProfileChoice,
    RealServer,
    ReservationConflictAction,
    SchedulerFlagWord,
    ServiceMode,
    VirtualServer,
)
from piranha.model.mark import MarkBlock
from piranha.model.service import ForwardingMethod, Protocol, TunnelChecksum, TunnelType


class Scope(StrEnum):
    """Where a directive stands; `virtual` and `failover` blocks take the same ones."""

    GLOBAL = "global"
    VIRTUAL = "virtual"
    SERVER = "server"
    MARK = "mark"


class ValueType(StrEnum):
    """What kind of value a directive takes; the text is how the reference page names it."""

    INTEGER = "integer"
    BOOLEAN = "0 or 1"
    TIME = "time"
    PORT = "port"
    SERVER_PORT = "port number"
    HOST = "address or host name"
    ADDRESS = "address"
    MASK = "mask"
    DEVICE_ADDRESS = "address and device"
    TEXT = "text"
    CHECK_TEXT = "quoted text"
    WORD = "word"
    LIST = "list"
    WORDS = "list of words"
    PORTS = "list of ports"
    NETWORK = "address or network"

    @property
    def is_list(self) -> bool:
        """Whether the value stands in brackets."""
        return self in (ValueType.LIST, ValueType.WORDS, ValueType.PORTS)

    @property
    def may_be_bare(self) -> bool:
        """Whether a list of one may stand without its brackets."""
        return self in (ValueType.WORDS, ValueType.PORTS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One directive.

    `field` is the attribute of the model, None where the value is read and dropped. `words` maps the words of a WORD or
    WORDS to their values; `strict_words` are those the original knew. `least` and `most` bound the value in the tolerant
    mode. A `repeatable` directive has a tuple of values, one a line. `inert` says why nothing acts on the value yet.
    `original` is False for what this project added.
    """

    name: str
    scope: Scope
    type: ValueType
    meaning: str
    example: str
    field: str | None
    words: Mapping[str, object] = dataclasses.field(default_factory=dict)
    strict_words: frozenset[str] | None = None
    least: float | None = None
    most: float | None = None
    default_text: str = ""
    inert: str = ""
    original: bool = True
    repeatable: bool = False

    @property
    def default(self) -> object:
        """The model's default."""
        if self.field is None:
            return None
        return getattr(_DEFAULTS[self.scope], self.field)

    @property
    def assignment_example(self) -> str:
        return f"{self.name} = {self.example}"


_DEFAULTS: dict[Scope, object] = {
    Scope.GLOBAL: Configuration(),
    Scope.VIRTUAL: VirtualServer(name=""),
    Scope.SERVER: RealServer(name=""),
    Scope.MARK: MarkBlock(mark=1),
}

_FORWARDING = {method.value: method for method in ForwardingMethod}
_ORIGINAL_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh")
_NEWER_SCHEDULERS = ("sed", "nq", "fo", "ovf", "mh", "twos", "none")
_DAY_S = 86400.0
_MOST_SECONDS = 2147483647
_FOS = "`service = fos` is not provided yet"
_UNUSED = "the original read it and never used it"


def _global(name: str, type_: ValueType, example: str, meaning: str, **rest: object) -> Directive:
    return _directive(Scope.GLOBAL, name, type_, example, meaning, rest)


def _virtual(name: str, type_: ValueType, example: str, meaning: str, **rest: object) -> Directive:
    return _directive(Scope.VIRTUAL, name, type_, example, meaning, rest)


def _server(name: str, type_: ValueType, example: str, meaning: str, **rest: object) -> Directive:
    return _directive(Scope.SERVER, name, type_, example, meaning, rest)


def _mark(name: str, type_: ValueType, example: str, meaning: str, **rest: object) -> Directive:
    return _directive(Scope.MARK, name, type_, example, meaning, {"original": False, **rest})


def _rule(name: str, example: str, meaning: str) -> Directive:
    rest: dict[str, object] = {"original": False}
    return _directive(Scope.GLOBAL, name, ValueType.BOOLEAN, example, f"{meaning} IPVS: `net.ipv4.vs.{name}`.", rest)


def _directive(
    scope: Scope, name: str, type_: ValueType, example: str, meaning: str, rest: dict[str, object]
) -> Directive:
    rest.setdefault("field", f"{name}_s" if type_ is ValueType.TIME else name)
    return Directive(scope=scope, name=name, type=type_, example=example, meaning=meaning, **rest)  # type: ignore[arg-type]


T = ValueType

DIRECTIVES: tuple[Directive, ...] = (
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
    _global("primary_shared", T.TEXT, "/dev/sdb", "Shared SCSI device of the primary director.", inert=_FOS),
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
    _global("backup_shared", T.TEXT, "/dev/sdb", "Shared SCSI device of the backup director.", inert=_FOS),
    _global("heartbeat", T.BOOLEAN, "1", "Written by every GUI, never consulted."),
    _global("heartbeat_port", T.PORT, "539", "UDP port of the heartbeats.", least=1, most=65535),
    _global("keepalive", T.TIME, "6", "Time between two heartbeats.", least=0.001, most=_DAY_S),
    _global("deadtime", T.TIME, "18", "Silence after which the partner is dead.", least=0.001, most=_DAY_S),
    _global(
        "network",
        T.WORD,
        "direct",
        "Forwarding method of all virtual servers: `nat` masquerades, `direct` routes directly, `tunnel` wraps in IP.",
        words=_FORWARDING,
    ),
    _global(
        "nat_router",
        T.DEVICE_ADDRESS,
        "10.0.0.254 eth1:1",
        "Floating address that the real servers use as gateway when `network = nat`; it moves with the active role.",
    ),
    _global("nat_nmask", T.MASK, "255.255.255.0", "Netmask of `nat_router`."),
    _global("debug_level", T.TEXT, "NONE", "Read and ignored.", inert=_UNUSED),
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
        most=_MOST_SECONDS,
    ),
    _global(
        "tcpfin_timeout",
        T.TIME,
        "120",
        "Time after which a closing TCP connection is forgotten; 0 keeps the data plane's value.",
        least=0,
        most=_MOST_SECONDS,
    ),
    _global(
        "udp_timeout",
        T.TIME,
        "300",
        "Time after which a silent UDP connection is forgotten; 0 keeps the data plane's value.",
        least=0,
        most=_MOST_SECONDS,
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
        inert=_FOS,
    ),
    _global("sync", T.BOOLEAN, "0", "Switch of an old file synchronisation.", inert=_UNUSED),
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
        "profile",
        T.WORD,
        "default",
        "Speed of takeover. `keepalive` and `deadtime` override it.",
        words={choice.value: choice for choice in ProfileChoice},
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
    _virtual("active", T.BOOLEAN, "1", "Whether this virtual server runs. Left out, it is off."),
    _virtual(
        "address",
        T.DEVICE_ADDRESS,
        "192.0.2.100 eth0:0",
        "The VIP, and the device or alias that carries it.",
    ),
    _virtual("vip_nmask", T.MASK, "255.255.255.0", "Netmask of the VIP; left out, the host mask."),
    _virtual(
        "fwmark",
        T.INTEGER,
        "80",
        "Firewall mark that selects packets instead of protocol, VIP and port; `mark` blocks give it. The address says "
        "the IP version and is still brought up, protocol and port are those of the checks.",
        least=0,
        most=2**32 - 1,
    ),
    _virtual(
        "port",
        T.PORT,
        "80",
        "Port of the virtual server; 0 is every port that no other virtual server has, and needs `persistent`.",
        least=0,
        most=65535,
    ),
    _virtual(
        "persistent",
        T.TIME,
        "300",
        "How long a client stays with its real server after its last connection; 0 is off.",
        least=0,
        most=_MOST_SECONDS,
    ),
    _virtual(
        "pmask",
        T.MASK,
        "255.255.255.0",
        "Clients in one network of this mask count as one client for persistence, also as a length: `24`, `/64`. "
        "`255.255.255.255` is no mask.",
    ),
    _virtual("sorry_server", T.ADDRESS, "192.0.2.250", "Server that answers when no real server is up."),
    _virtual("send", T.CHECK_TEXT, '"GET / HTTP/1.0\\r\\n\\r\\n"', "Text that the check sends to the real server."),
    _virtual(
        "expect",
        T.CHECK_TEXT,
        '"HTTP"',
        "Beginning of the answer of a healthy server; a lone `*` means any answer. "
        "An empty text waits for any answer too.",
    ),
    _virtual("use_regex", T.BOOLEAN, "0", "`expect` is a regular expression, searched for in the answer."),
    _virtual(
        "send_program",
        T.CHECK_TEXT,
        '"/usr/local/bin/check-web %h"',
        "Program that checks instead of `send`; `%h` is the real server's address, `%p` its port.",
    ),
    _virtual(
        "load_monitor",
        T.TEXT,
        "none",
        "Where the load of the real servers comes from: `none`, `rup`, `ruptime`, `uptime`, or a command.",
    ),
    _virtual(
        "scheduler",
        T.WORD,
        "wlc",
        "How connections are shared out; `none` gives no new ones.",
        words={word: word for word in (*_ORIGINAL_SCHEDULERS, *_NEWER_SCHEDULERS)},
        strict_words=frozenset(_ORIGINAL_SCHEDULERS),
    ),
    _virtual(
        "protocol",
        T.WORD,
        "tcp",
        "Transport protocol.",
        words={protocol.word: protocol for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)},
        strict_words=frozenset(("tcp", "udp")),
    ),
    _virtual("timeout", T.TIME, "6", "Longest time of one step of a check.", least=0.001, most=_DAY_S),
    _virtual(
        "reentry",
        T.TIME,
        "15",
        "How long a failed server must answer again before it gets connections; counted in whole checks.",
        least=0,
        most=_MOST_SECONDS,
    ),
    _virtual(
        "quiesce_server",
        T.BOOLEAN,
        "0",
        "A failed server keeps its connections and gets weight 0 instead of being removed.",
    ),
    _virtual(
        "client_monitor",
        T.TEXT,
        "/usr/sbin/nanny",
        "Path of the original's checker.",
        default_text="`/usr/sbin/nanny`",
        inert="checks run inside lvsd; use `send_program` for a check of your own",
    ),
    _virtual(
        "start_cmd", T.CHECK_TEXT, '"/etc/init.d/httpd start"', "Command that starts a failover service.", inert=_FOS
    ),
    _virtual(
        "stop_cmd", T.CHECK_TEXT, '"/etc/init.d/httpd stop"', "Command that stops a failover service.", inert=_FOS
    ),
    _virtual("master", T.HOST, "192.0.2.1", "Read and dropped.", field=None, inert=_UNUSED),
    _virtual("dirs", T.LIST, "[ /var/www ]", "Read and dropped.", field=None, inert=_UNUSED),
    _virtual(
        "interval",
        T.TIME,
        "6",
        "Time from the start of one check to the start of the next.",
        least=0.001,
        most=_DAY_S,
        default_text="`timeout`",
        original=False,
    ),
    _virtual(
        "rise",
        T.INTEGER,
        "2",
        "Successful checks in a row that bring a failed server back.",
        least=1,
        most=1000000,
        default_text="`reentry` / `interval`",
        original=False,
    ),
    _virtual(
        "fall",
        T.INTEGER,
        "1",
        "Failed checks in a row that take a server out.",
        least=1,
        most=1000000,
        default_text="1",
        original=False,
    ),
    _virtual(
        "scheduler_flags",
        T.WORDS,
        "[ sh-port ]",
        "Refinements of the scheduler. `sh-port` and `mh-port` hash the client's port too; `sh-fallback` and "
        "`mh-fallback` go on to another server where the client's own takes no connections; the numbered ones are for "
        "schedulers of your own.",
        words={word.value: word for word in SchedulerFlagWord},
        original=False,
    ),
    _virtual(
        "one_packet",
        T.BOOLEAN,
        "1",
        "Every datagram is scheduled by itself and no connection is kept, so that masqueraded replies find no way "
        "back; for UDP and firewall marks.",
        original=False,
    ),
    _virtual(
        "persistence_engine",
        T.WORD,
        "sip",
        "Persistence by what a datagram says instead of the client's address: `sip` by its Call-ID.",
        words={"sip": "sip"},
        original=False,
    ),
    _server("address", T.HOST, "10.0.0.11", "Address of the real server (RIP)."),
    _server("active", T.BOOLEAN, "1", "Whether this real server is used. Left out, it is not."),
    _server(
        "port",
        T.SERVER_PORT,
        "8080",
        "Port on the real server. A `port` of the virtual server that stands after this block does not reach it.",
        least=0,
        most=65535,
        default_text="the virtual server's port as known at this place of the file",
    ),
    _server(
        "weight",
        T.INTEGER,
        "1",
        "Share of the connections; 0 gives no new connections.",
        least=0,
        most=2**31 - 1,
    ),
    _server(
        "forward",
        T.WORD,
        "nat",
        "Forwarding method of this real server alone.",
        words=_FORWARDING,
        default_text="`network`",
        original=False,
    ),
    _server(
        "upper_threshold",
        T.INTEGER,
        "1000",
        "Connections at which the server takes no new ones; closed ones count until they are forgotten; 0 is no limit.",
        least=0,
        most=2**31 - 1,
        original=False,
    ),
    _server(
        "lower_threshold",
        T.INTEGER,
        "800",
        "Connections below which it takes new ones again; 0 is three quarters of `upper_threshold`.",
        least=0,
        most=2**31 - 1,
        original=False,
    ),
    _server(
        "tunnel",
        T.WORD,
        "gue",
        "What `forward = tunnel` wraps packets in: IP, GUE (UDP), or GRE.",
        words={type_.value: type_ for type_ in TunnelType},
        original=False,
    ),
    _server(
        "tunnel_port",
        T.SERVER_PORT,
        "6080",
        "UDP port of `tunnel = gue`.",
        least=0,
        most=65535,
        original=False,
    ),
    _server(
        "tunnel_checksum",
        T.WORD,
        "csum",
        "Checksum of the outer header of `gue` and `gre`: none, full, or (for `gue`) remote checksum offload.",
        words={checksum.value: checksum for checksum in TunnelChecksum},
        original=False,
    ),
    _mark(
        "address",
        T.NETWORK,
        "10.0.0.0/24",
        "Destination address or network of the packets. May be repeated; `0.0.0.0/0` and `::/0` are every address.",
        field="addresses",
        repeatable=True,
        default_text="–",
    ),
    _mark(
        "protocol",
        T.WORD,
        "tcp",
        "Transport protocol of the packets.",
        words={
            **{protocol.word: protocol for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)},
            "any": Protocol.IP,
        },
    ),
    _mark(
        "port",
        T.PORTS,
        "[ 80 443 8000-8010 ]",
        "Destination ports of the packets: numbers, names of `/etc/services`, ranges.",
        field="ports",
        default_text="every port",
    ),
)

BY_SCOPE: dict[Scope, dict[str, Directive]] = {
    scope: {directive.name: directive for directive in DIRECTIVES if directive.scope is scope} for scope in Scope
}

REJECTED: dict[str, str] = {
    "expect_program": "only some GUIs wrote it; `expect` is compared with what `send_program` prints",
    "nmask": "only some GUIs wrote it; real servers have no netmask in lvs.cf: remove the line",
    "debug": "it is called `debug_level`",
    "log_file": "the log goes to the system's journal: remove the line",
    "heartbeat_dev": "the device follows from the addresses of the directors: remove the line",
    "mode": "it is called `network`",
    "include": "one file holds the whole configuration",
}
"""Names that old files and manuals carry and that no parser accepted, with what to do about them."""

REJECTED_WORDS: dict[str, str] = {"pcc": "lc", "masq": "nat", "masquerade": "nat", "gate": "direct", "dr": "direct"}
"""Words of other tools or times, with today's word."""
