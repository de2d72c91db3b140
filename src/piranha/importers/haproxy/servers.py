"""The `server` lines of a HAProxy backend, and the `default-server` that they build on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piranha.importers.checks import Check
from piranha.importers.draft import DraftServer
from piranha.importers.haproxy.checking import CheckReader
from piranha.importers.haproxy.sections import Line, Section
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.proxied import NO_TLS, duration_s, returning_packets
from piranha.importers.values import MOST_WEIGHT, Values

_UNVERIFIED = "the certificate is not verified: write `verify = 1`, or `ca`, into the `check` block"
_SERVER_LEFT: Mapping[str, str] = {
    "send-proxy": "servers see the client's own address: they must not expect the PROXY header any more",
    "ssl": NO_TLS,
    "verify": _UNVERIFIED,
    "ca-file": _UNVERIFIED,
    "agent": "lvs.cf asks no agent",
    "cookie": "this is about HTTP",
    "maxqueue": "there are no queues",
    "minconn": "there are no queues",
    "on-": "a connection stays with its server",
    "observe": "servers are judged by their checks",
    "error-limit": "servers are judged by their checks",
    "track": "write the same check into this virtual server",
    "source": "checks go from the address that the route gives them",
    "fastinter": "checks have one interval",
    "downinter": "checks have one interval",
    "redir": "this is about HTTP",
}
_READ_ELSEWHERE = frozenset(
    (
        *("check", "no-check", "port", "inter", "rise", "fall", "backup", "id", "enabled"),
        *("addr", "check-ssl", "check-sni"),
    )
)
_WITH_VALUE = frozenset(
    [
        "inter",
        "fastinter",
        "downinter",
        "rise",
        "fall",
        "weight",
        "maxconn",
        "minconn",
        "maxqueue",
        "port",
        "addr",
        "source",
        "cookie",
        "slowstart",
        "track",
        "observe",
        "on-error",
        "on-marked-down",
        "on-marked-up",
        "error-limit",
        "redir",
        "id",
        "agent-port",
        "agent-addr",
        "agent-inter",
        "agent-send",
        "init-addr",
        "resolvers",
        "resolve-prefer",
        "resolve-net",
        "resolve-opts",
        "ca-file",
        "crt",
        "crl-file",
        "sni",
        "check-sni",
        "check-proto",
        "check-alpn",
        "alpn",
        "npn",
        "verify",
        "verifyhost",
        "proto",
        "namespace",
        "interface",
        "tcp-ut",
        "pool-max-conn",
        "pool-purge-delay",
        "pool-low-conn",
        "ssl-min-ver",
        "ssl-max-ver",
        "ciphers",
        "ciphersuites",
        "proxy-v2-options",
        "set-proxy-v2-tlv-fmt",
        "socks4",
        "shard",
        "ws",
        "max-reuse",
    ]
)


class ServerReader:
    def __init__(self, ledger: Ledger, values: Values, options: ImportOptions) -> None:
        self._ledger = ledger
        self._values = values
        self._method = options.method

    def options_of(self, line: Line | None) -> dict[str, str]:
        return {} if line is None else _pairs(line.words[1:])

    def read(
        self, line: Line, base: Mapping[str, str], backend: Section
    ) -> tuple[DraftServer, bool, tuple[float, int, int]] | None:
        """The server, whether it is a backup, and its interval, rise and fall; None where the line is an error."""
        place = line.place
        if len(line.words) < 3:
            self._ledger.error(place, "a server has a name and an address")
            return None
        text = line.words[2]
        if text.startswith(("unix@", "/", "abns@", "fd@", "sockpair@")):
            self._ledger.error(place, f"`{text}` has no address that packets could go to")
            return None
        host, colon, port_text = text.removeprefix("ipv4@").removeprefix("ipv6@").rpartition(":")
        if not colon or text.endswith("]"):
            host, port_text = text, ""
        address = self._values.host(place, host.strip("[]"))
        port: int | None = None
        if port_text and port_text[0] not in "+-":
            port = self._values.port(place, port_text, least=1)
        elif port_text:
            self._ledger.error(
                place, f"`{port_text}`: a server has a fixed port in lvs.cf, none relative to the client's"
            )
        if address is None:
            return None
        given = {**base, **_pairs(line.words[3:])}
        server = DraftServer(place=place, address=address, port=port, name=line.words[1], method=self._method)
        self._ledger.changed(place, returning_packets(self._method))
        self._apply(server, given, place)
        if "check" in given and "no-check" not in given:
            own_port = self._values.port(place, given["port"], least=1) if "port" in given else None
            check_line, check = CheckReader(backend, self._ledger).read(own_port)
            if "check-ssl" in given or ("ssl" in given and "addr" not in given and own_port is None):
                check = check.within_tls(given.get("check-sni", ""))
            elsewhere = self._values.host(place, given["addr"]) if "addr" in given else None
            if elsewhere is not None:
                block = replace(check.as_block, address=elsewhere)
                check = Check(block=block, remark=check.remark, weaker=check.weaker)
            server.checks.append((check_line.place if check_line is not None else place, check))
        return server, "backup" in given, self._rhythm(given, place)

    def _apply(self, server: DraftServer, given: Mapping[str, str], place: Place) -> None:
        for name, value in given.items():
            match name:
                case "weight":
                    weight = self._values.number(place, value, "a weight", 0, MOST_WEIGHT)
                    server.weight = 1 if weight is None else weight
                case "maxconn":
                    server.upper_threshold = self._values.number(place, value, "maxconn", 0, MOST_WEIGHT) or 0
                    self._ledger.changed(place, "maxconn becomes upper_threshold: others are sent on, none waits")
                case "disabled":
                    server.active = False
                    self._ledger.changed(place, "disabled becomes active = 0")
                case "slowstart":
                    seconds = duration_s(value, unit="ms")
                    if seconds is None:
                        self._ledger.error(place, f"`{value}` is no time")
                    else:
                        server.slow_start_s = seconds
                case _ if name in _READ_ELSEWHERE:
                    continue
                case _:
                    reason = next((words for begin, words in _SERVER_LEFT.items() if name.startswith(begin)), "")
                    self._ledger.left(place, f"{name}: {reason or 'has no counterpart in lvs.cf'}")

    def _rhythm(self, given: Mapping[str, str], place: Place) -> tuple[float, int, int]:
        interval = duration_s(given["inter"], unit="ms") if "inter" in given else 2.0
        if interval is None or interval < 0.001:
            self._ledger.error(place, f"`{given['inter']}` is no time")
            interval = 2.0
        rise = self._values.number(place, given.get("rise", "2"), "rise", 1, 1_000_000) or 2
        fall = self._values.number(place, given.get("fall", "3"), "fall", 1, 1_000_000) or 3
        return interval, rise, fall


def _pairs(words: Sequence[str]) -> dict[str, str]:
    """The options of a server, those without a value with an empty one."""
    found: dict[str, str] = {}
    rest = list(words)
    while rest:
        name = rest.pop(0)
        found[name] = rest.pop(0) if name in _WITH_VALUE and rest else ""
    return found
