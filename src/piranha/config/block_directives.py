"""The directives of `virtual`, `server` and `mark` blocks, in the order in which the original's GUI wrote them."""

from __future__ import annotations

from piranha.config.directive import DAY_S, FORWARDING, MOST_SECONDS, UNUSED, Directive, Scope, directive_of
from piranha.config.directive import ValueType as T
from piranha.model.check_block import ChecksNeeded
from piranha.model.configuration import LoadFormula, SchedulerFlagWord, SlowStartForm
from piranha.model.service import Protocol, TunnelChecksum, TunnelType

ORIGINAL_SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh")
NEWER_SCHEDULERS = ("sed", "nq", "fo", "ovf", "mh", "twos", "none")


def _virtual(name: str, type_: T, example: str, meaning: str, **rest: object) -> Directive:
    return directive_of(Scope.VIRTUAL, name, type_, example, meaning, rest)


def _server(name: str, type_: T, example: str, meaning: str, **rest: object) -> Directive:
    return directive_of(Scope.SERVER, name, type_, example, meaning, rest)


def _mark(name: str, type_: T, example: str, meaning: str, **rest: object) -> Directive:
    return directive_of(Scope.MARK, name, type_, example, meaning, {"original": False, **rest})


VIRTUAL: tuple[Directive, ...] = (
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
        most=MOST_SECONDS,
    ),
    _virtual(
        "pmask",
        T.MASK,
        "255.255.255.0",
        "Clients in one network of this mask count as one client for persistence, also as a length: `24`, `/64`. "
        "`255.255.255.255` is no mask. An IPv4 mask may have any bits, as in IPVS.",
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
        "Where the load of the real servers comes from: `none`, `rup`, `ruptime` (rwhod's files), `uptime` (over `rsh_command`), "
        "`agent`, `http`, or a command that prints what `uptime` does; `%h` in it is the server's address.",
    ),
    _virtual(
        "scheduler",
        T.WORD,
        "wlc",
        "How connections are shared out; `none` gives no new ones.",
        words={word: word for word in (*ORIGINAL_SCHEDULERS, *NEWER_SCHEDULERS)},
        strict_words=frozenset(ORIGINAL_SCHEDULERS),
    ),
    _virtual(
        "protocol",
        T.WORD,
        "tcp",
        "Transport protocol.",
        words={protocol.word: protocol for protocol in (Protocol.TCP, Protocol.UDP, Protocol.SCTP)},
        strict_words=frozenset(("tcp", "udp")),
    ),
    _virtual("timeout", T.TIME, "6", "Longest time of one step of a check.", least=0.001, most=DAY_S),
    _virtual(
        "reentry",
        T.TIME,
        "15",
        "How long a failed server must answer again before it gets connections; counted in whole checks.",
        least=0,
        most=MOST_SECONDS,
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
    _virtual("start_cmd", T.CHECK_TEXT, '"/etc/init.d/httpd start"', "Command that starts a failover service."),
    _virtual("stop_cmd", T.CHECK_TEXT, '"/etc/init.d/httpd stop"', "Command that stops a failover service."),
    _virtual("master", T.HOST, "192.0.2.1", "Read and dropped.", field=None, inert=UNUSED),
    _virtual("dirs", T.LIST, "[ /var/www ]", "Read and dropped.", field=None, inert=UNUSED),
    _virtual(
        "interval",
        T.TIME,
        "6",
        "Time from the start of one check to the start of the next.",
        least=0.001,
        most=DAY_S,
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
        "slow_start",
        T.TIME,
        "120",
        "How long a server that comes back takes to its full weight; 0 is off. Give it a weight that can grow, such as 100.",
        least=0,
        most=DAY_S,
        original=False,
    ),
    _virtual(
        "slow_start_form",
        T.WORD,
        "doubling",
        "How the weight grows: in equal steps, or as the original's, doubled from a 32nd on.",
        words={form.value: form for form in SlowStartForm},
        original=False,
    ),
    _virtual(
        "flap_limit",
        T.INTEGER,
        "3",
        "Failures within `flap_window` after which a server comes back only when it was good for `flap_hold`; 0 is off.",
        least=0,
        most=32,
        original=False,
    ),
    _virtual(
        "flap_window",
        T.TIME,
        "60",
        "Time in which failures count for `flap_limit`.",
        least=1,
        most=DAY_S,
        original=False,
    ),
    _virtual(
        "flap_hold",
        T.TIME,
        "60",
        "How long a flapping server must be good; doubled with each further failure, up to eight times.",
        least=0,
        most=DAY_S,
        original=False,
    ),
    _virtual(
        "quorum",
        T.INTEGER,
        "2",
        "Weight of the usable servers below which the sorry server takes over; real servers then keep their connections "
        "and get no new ones.",
        least=1,
        most=2**31 - 1,
        original=False,
    ),
    _virtual(
        "quorum_hysteresis",
        T.INTEGER,
        "1",
        "The quorum is reached so much above it and lost so much below it.",
        least=0,
        most=2**31 - 1,
        original=False,
    ),
    _virtual(
        "quorum_up",
        T.CHECK_TEXT,
        '"/usr/local/bin/announce web"',
        "Command when the quorum is reached. It is split at blanks, without a shell, and ends within 30 s.",
        original=False,
    ),
    _virtual(
        "quorum_down",
        T.CHECK_TEXT,
        '"/usr/local/bin/withdraw web"',
        "Command when the quorum is lost, run as `quorum_up`.",
        original=False,
    ),
    _virtual(
        "depool_threshold",
        T.INTEGER,
        "50",
        "Per cent of the servers that checks never take out, however many fail: the last to fail stay in.",
        least=0,
        most=100,
        original=False,
    ),
    _virtual(
        "drain_timeout",
        T.TIME,
        "10m",
        "Longest time of a drain, after which a server is taken out with the connections it has left; 0 waits for them.",
        least=0,
        most=MOST_SECONDS,
        original=False,
    ),
    _virtual(
        "load_interval",
        T.TIME,
        "20",
        "Time between two questions for the load of a server.",
        least=1,
        most=DAY_S,
        original=False,
    ),
    _virtual(
        "load_port",
        T.PORT,
        "9777",
        "Port of the load's source: of the agent, the HTTP server, or the port mapper.",
        least=0,
        most=65535,
        default_text="111 for `rup`, 9777 for `agent`, 80 for `http`",
        original=False,
    ),
    _virtual(
        "load_path",
        T.CHECK_TEXT,
        '"/load.json"',
        "Path of `load_monitor = http`.",
        default_text="`/`",
        original=False,
    ),
    _virtual(
        "load_key",
        T.TEXT,
        "cpu.load1",
        "Where the value stands in the JSON document of `load_monitor = http`; left out, the document is the number.",
        original=False,
    ),
    _virtual(
        "load_formula",
        T.WORD,
        "bounded",
        "How a weight follows the load average: as the original's (one to ten times the weight, blind for the number of "
        "processors), or a share of the weight by what of its processors is free.",
        words={formula.value: formula for formula in LoadFormula},
        original=False,
    ),
    _virtual(
        "load_lifetime",
        T.TIME,
        "10m",
        "Age at which a load counts no more and the weight is the configured one again; 0 is never.",
        least=0,
        most=DAY_S,
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
    _virtual(
        "checks_needed",
        T.WORD,
        "any",
        "With several `check` blocks: whether all of them, or any one, must be good for a server to be up.",
        words={needed.value: needed for needed in ChecksNeeded},
        original=False,
    ),
)

SERVER: tuple[Directive, ...] = (
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
        "processors",
        T.INTEGER,
        "8",
        "How many processors the server has, for `load_formula = bounded`.",
        least=1,
        most=65536,
        original=False,
    ),
    _server(
        "forward",
        T.WORD,
        "nat",
        "Forwarding method of this real server alone.",
        words=FORWARDING,
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
    _server(
        "checks_needed",
        T.WORD,
        "any",
        "The same for this real server alone.",
        words={needed.value: needed for needed in ChecksNeeded},
        default_text="`checks_needed` of the virtual server",
        original=False,
    ),
)

MARK: tuple[Directive, ...] = (
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
