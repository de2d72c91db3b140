"""nginx's `stream` block as a draft. Source: ngx_stream_core_module, _upstream_, _proxy_ and _upstream_hc_."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from piranha.importers.checks import Check
from piranha.importers.draft import Draft, DraftServer, DraftVirtual
from piranha.importers.ledger import Ledger, Place
from piranha.importers.nginx.directives import Directive, Reader
from piranha.importers.options import ImportOptions
from piranha.importers.proxied import NO_TLS, duration_s, listening, returning_packets
from piranha.importers.source import Source
from piranha.importers.values import MOST_WEIGHT, Values
from piranha.model.address import IPAddress, format_endpoint
from piranha.model.configuration import SchedulerFlagWord
from piranha.model.service import Protocol

_FIREWALL = "the firewall of the system decides who may come"
_ONE_TIMEOUT = "idle times are global here: see tcp_timeout and udp_timeout"
_SERVER_LEFT: Mapping[str, str] = {
    "proxy_timeout": _ONE_TIMEOUT,
    "proxy_protocol": "servers see the client's own address: they must not expect the PROXY header any more",
    "proxy_bind": "servers see the client's own address, always",
    "proxy_responses": "a UDP client's answers need no counting",
    "proxy_requests": "a UDP client stays with its server until it is silent",
    "proxy_buffer_size": "packets are not buffered",
    "proxy_download_rate": "packets are not held back",
    "proxy_upload_rate": "packets are not held back",
    "proxy_next_upstream*": "a connection goes to a server that its checks found healthy",
    "proxy_socket_keepalive": "there is no socket in between",
    "proxy_half_close": "there is no socket in between",
    "proxy_session_drop": "see expire_nodest_conn",
    "proxy_ssl*": NO_TLS,
    "ssl_preread": "a layer-4 balancer does not read what is in a connection",
    "ssl*": NO_TLS,
    "allow": _FIREWALL,
    "deny": _FIREWALL,
    "access_log": "connections are counted, and listed by `piranha connections`",
    "error_log": "the log goes to the journal",
    "log_format": "connections are counted, and listed by `piranha connections`",
    "open_log_file_cache": "there is no such file",
    "limit_conn*": "there is no limit for a single client",
    "tcp_nodelay": "there is no socket in between",
    "preread_*": "a layer-4 balancer does not read what is in a connection",
    "resolver*": "lvs.cf has addresses, not names",
    "set": "there are no variables",
    "map": "there are no variables",
    "geo*": "there are no variables",
    "split_clients": "there are no variables",
    "variables_hash*": "there are no variables",
    "js_*": "there are no scripts in the way of packets",
    "status_zone": "`piranha status` and the API say it",
    "server_name": "a layer-4 balancer does not read what is in a connection",
    "return": "a layer-4 balancer answers nothing by itself",
    "pass": "there is no socket in between",
}
_UPSTREAM_LEFT: Mapping[str, str] = {
    "zone": "the table is shared by itself",
    "state": "lvs.cf has the state",
    "resolver*": "lvs.cf has addresses, not names",
}
_NOT_STREAM = "only the stream block is layer 4"


@dataclass(slots=True)
class _Upstream:
    directive: Directive
    servers: list[DraftServer] = field(default_factory=list)
    backups: list[tuple[Place, IPAddress, int | None]] = field(default_factory=list)
    scheduler: str = "wrr"
    flags: tuple[SchedulerFlagWord, ...] = ()
    used: bool = False


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Fill the draft from the files. Raises SourceError."""
    reader = Reader(source, ledger)
    found = [directive for file in files for directive in reader.read(file)]
    streams = [directive for directive in found if directive.name == "stream"]
    inside: list[Directive] = []
    for stream in streams:
        ledger.carried(stream.place)
        inside.extend(stream.inner)
    if streams:
        for directive in found:
            if directive.name != "stream":
                _drop(directive, _NOT_STREAM, ledger)
    else:
        # A file that a stream block includes.
        inside = found
    _Translator(draft, ledger, options).run(inside)


class _Translator:
    def __init__(self, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
        self._draft = draft
        self._ledger = ledger
        self._options = options
        self._values = Values(ledger, options)
        self._upstreams: dict[str, _Upstream] = {}
        self._connect_s = 60.0

    def run(self, directives: list[Directive]) -> None:
        for directive in directives:
            if directive.name == "upstream":
                self._take_upstream(directive)
            elif directive.name == "proxy_connect_timeout":
                self._connect_s = self._seconds(directive) or self._connect_s
        for directive in directives:
            if directive.name == "server" and directive.block is not None:
                self._take_server(directive)
            elif directive.name not in ("upstream", "proxy_connect_timeout"):
                self._leave(directive, _SERVER_LEFT)
        for upstream in self._upstreams.values():
            if not upstream.used:
                _drop(upstream.directive, "no server passes to this upstream", self._ledger)

    def _take_upstream(self, directive: Directive) -> None:
        upstream = _Upstream(directive)
        self._ledger.carried(directive.place)
        if len(directive.words) != 2 or directive.arguments[0] in self._upstreams:
            self._ledger.error(directive.place, "an upstream has one name of its own")
            return
        self._upstreams[directive.arguments[0]] = upstream
        for inner in directive.inner:
            match inner.name:
                case "server":
                    self._take_member(upstream, inner)
                case "least_conn":
                    upstream.scheduler = "wlc"
                    self._carried(inner)
                case "hash":
                    self._take_hash(upstream, inner)
                case "random":
                    self._take_random(upstream, inner)
                case "least_time" | "ip_hash":
                    self._ledger.error(inner.place, f"no scheduler is like `{inner.name}`: choose one, as least_conn")
                case _:
                    self._leave(inner, _UPSTREAM_LEFT)

    def _take_hash(self, upstream: _Upstream, directive: Directive) -> None:
        key, consistent = directive.arguments[:1], "consistent" in directive.arguments[1:]
        scheduler = "mh" if consistent else "sh"
        if key == ("$remote_addr",) or key == ("$binary_remote_addr",):
            upstream.flags = ()
        elif key in (("$remote_addr$remote_port",), ("$remote_addr:$remote_port",)):
            upstream.flags = (SchedulerFlagWord(f"{scheduler}-port"),)
        else:
            self._ledger.error(
                directive.place, "no scheduler hashes this: sh and mh hash the client's address, and port"
            )
            return
        upstream.scheduler = scheduler
        self._changed(directive, f"becomes scheduler {scheduler}: clients are shared out by another hash")

    def _take_random(self, upstream: _Upstream, directive: Directive) -> None:
        if directive.arguments[:1] == ("two",) and directive.arguments[1:] in ((), ("least_conn",)):
            upstream.scheduler = "twos"
            self._changed(directive, "becomes scheduler twos")
            return
        self._ledger.error(directive.place, "no scheduler picks like this: `random two least_conn` would be twos")

    def _take_member(self, upstream: _Upstream, directive: Directive) -> None:
        place, words = directive.place, directive.arguments
        endpoint = self._endpoint(place, words[0] if words else "")
        if endpoint is None:
            return
        address, port = endpoint
        server = DraftServer(place=place, address=address, port=port, method=self._options.method)
        backup = False
        for word in words[1:]:
            name, _, text = word.partition("=")
            if name == "weight":
                server.weight = self._values.number(place, text, "a weight", 1, MOST_WEIGHT) or 1
            elif name == "max_conns":
                server.upper_threshold = self._values.number(place, text, "max_conns", 0, MOST_WEIGHT) or 0
                self._ledger.changed(
                    place, "max_conns becomes upper_threshold: closed connections count until forgotten"
                )
            elif word == "backup":
                backup = True
            elif word == "down":
                server.active = False
                self._ledger.changed(place, "down becomes active = 0")
            elif name in ("max_fails", "fail_timeout"):
                self._ledger.changed(
                    place, f"{name}: servers are checked here, and not judged by connections that failed"
                )
            elif name == "slow_start":
                server.slow_start_s = duration_s(text, unit="s") or 0
            elif name in ("resolve", "service", "route", "drain"):
                self._ledger.left(place, f"{name} is not carried over")
            else:
                self._ledger.error(place, f"nginx has no `{word}` here")
        if backup:
            upstream.backups.append((place, address, port))
        else:
            upstream.servers.append(server)
            self._ledger.carried(place)

    def _endpoint(self, place: Place, text: str) -> tuple[IPAddress, int | None] | None:
        if text.startswith("unix:") or "$" in text:
            self._ledger.error(place, f"`{text}` has no fixed address that packets could go to")
            return None
        host, colon, port_text = text.rpartition(":")
        if not colon or text.endswith("]"):
            host, port_text = text, ""
        address = self._values.host(place, host.strip("[]"))
        port = self._values.port(place, port_text, least=1) if port_text else None
        return None if address is None or (port_text and port is None) else (address, port)

    def _take_server(self, directive: Directive) -> None:
        self._ledger.carried(directive.place)
        passes = next((inner for inner in directive.inner if inner.name == "proxy_pass"), None)
        if passes is None:
            _drop(directive, "without proxy_pass it has no servers", self._ledger)
            return
        target = passes.arguments[0] if passes.arguments else ""
        upstream = self._upstreams.get(target)
        if upstream is None:
            if "$" in target:
                _drop(
                    directive,
                    "the server is chosen by what is in a connection: a layer-4 balancer does not look",
                    self._ledger,
                )
                return
            upstream = self._direct(passes, target)
            if upstream is None:
                return
        if any("ssl" in inner.arguments for inner in directive.inner if inner.name == "listen"):
            _drop(directive, NO_TLS, self._ledger)
            return
        upstream.used = True
        self._changed(passes, returning_packets(self._options.method))
        pattern = DraftVirtual(place=directive.place, name=target, scheduler=upstream.scheduler, flags=upstream.flags)
        pattern.unchecked = "nginx judges a server by connections that fail: here a connect to the port is checked"
        pattern.timeout_s, pattern.interval_s = min(self._connect_s, 5.0), 5.0
        listens: list[tuple[Directive, IPAddress, int, Protocol]] = []
        check: tuple[Place, Check] | None = None
        for inner in directive.inner:
            match inner.name:
                case "listen":
                    listens.extend(self._listen(inner))
                case "proxy_pass":
                    continue
                case "proxy_connect_timeout":
                    seconds = self._seconds(inner)
                    pattern.timeout_s = min(seconds or 5.0, 5.0)
                case "health_check":
                    check = self._take_health_check(pattern, inner)
                case _:
                    self._leave(inner, _SERVER_LEFT)
        for number, (listen, vip, port, protocol) in enumerate(listens):
            servers = [replace(server, checks=[check] if check else []) for server in upstream.servers]
            made = replace(pattern, place=listen.place, vip=vip, port=port, version=vip.version, servers=servers)
            made.protocol = protocol
            made.name = target if not number else f"{target}-{format_endpoint(vip, port)}"
            made.sorry = self._sorry(upstream, port)
            self._draft.virtuals.append(made)

    def _direct(self, passes: Directive, target: str) -> _Upstream | None:
        """proxy_pass with an address of its own."""
        endpoint = self._endpoint(passes.place, target)
        if endpoint is None:
            return None
        server = DraftServer(place=passes.place, address=endpoint[0], port=endpoint[1], method=self._options.method)
        return _Upstream(passes, servers=[server])

    def _listen(self, directive: Directive) -> list[tuple[Directive, IPAddress, int, Protocol]]:
        words = directive.arguments
        protocol = Protocol.UDP if "udp" in words[1:] else Protocol.TCP
        for word in words[1:]:
            if word not in ("udp", "reuseport"):
                self._ledger.left(directive.place, f"`{word}` is a setting of a socket, and there is none")
        found = listening(directive.place, words[0] if words else "", self._values, self._ledger, self._options)
        return [(directive, vip, port, protocol) for vip, port in found]

    def _take_health_check(self, made: DraftVirtual, directive: Directive) -> tuple[Place, Check]:
        place, port = directive.place, None
        self._carried(directive)
        for word in directive.arguments:
            name, _, text = word.partition("=")
            match name:
                case "interval":
                    made.interval_s = duration_s(text, unit="s") or made.interval_s
                case "fails":
                    made.fall = self._values.number(place, text, "fails", 1, 1_000_000) or 1
                case "passes":
                    made.rise = self._values.number(place, text, "passes", 1, 1_000_000) or 1
                case "port":
                    port = self._values.port(place, text, least=1)
                case "udp":
                    continue
                case _:
                    self._ledger.left(place, f"`{word}` is not carried over: a connect is checked")
        return place, Check(port=port)

    def _sorry(self, upstream: _Upstream, port: int) -> IPAddress | None:
        chosen: IPAddress | None = None
        for place, address, own_port in upstream.backups:
            if chosen is not None or own_port not in (None, port):
                self._ledger.left(place, "a virtual server has one sorry server, on its own port")
                continue
            chosen = address
            self._ledger.changed(place, "backup becomes sorry_server: it is not checked")
        return chosen

    def _seconds(self, directive: Directive) -> float | None:
        seconds = duration_s(" ".join(directive.arguments), unit="s")
        if seconds is None:
            self._ledger.error(directive.place, f"`{directive.name}` takes a time")
            return None
        self._changed(directive, "is the timeout of the checks, at most 5 s")
        return seconds

    def _leave(self, directive: Directive, reasons: Mapping[str, str]) -> None:
        reason = reasons.get(directive.name)
        for beginning, words in reasons.items():
            if reason is None and beginning.endswith("*") and directive.name.startswith(beginning[:-1]):
                reason = words
        _drop(directive, reason or f"`{directive.name}` has no counterpart in lvs.cf", self._ledger)

    def _carried(self, directive: Directive) -> None:
        for place in directive.places:
            self._ledger.carried(place)

    def _changed(self, directive: Directive, remark: str) -> None:
        for place in directive.places:
            self._ledger.changed(place, remark)


def _drop(directive: Directive, reason: str, ledger: Ledger) -> None:
    for place in directive.places:
        ledger.left(place, reason)
    for inner in directive.inner:
        _drop(inner, reason, ledger)
