"""HAProxy's frontends, backends and listen sections in mode tcp as a draft. Source: HAProxy configuration manual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from piranha.importers.draft import Draft, DraftServer, DraftVirtual
from piranha.importers.haproxy.checking import KNOWN
from piranha.importers.haproxy.sections import Line, Section, read
from piranha.importers.haproxy.servers import ServerReader
from piranha.importers.ledger import Ledger
from piranha.importers.options import ImportOptions
from piranha.importers.proxied import NO_TLS, duration_s, listening
from piranha.importers.source import Source
from piranha.importers.values import Values
from piranha.model.address import IPAddress, format_endpoint

_BALANCE = {"roundrobin": "wrr", "static-rr": "wrr", "leastconn": "wlc", "source": "sh", "random": "twos"}
_ONE_TIMEOUT = "idle times are global here: see tcp_timeout"
_TAKEN = frozenset(
    [
        "mode",
        "bind",
        "balance",
        "server",
        "default-server",
        "default_backend",
        "timeout",
        "option",
        "tcp-check",
        "http-check",
        "external-check",
        "stick",
        "stick-table",
        "hash-type",
        "description",
    ]
)
_LEFT: Mapping[str, str] = {
    "use_backend": "the choice of a backend by conditions is not layer 4: write a virtual server for each",
    "acl": "conditions on a connection are not layer 4",
    "tcp-request": "conditions on a connection are not layer 4: the firewall decides who may come",
    "tcp-response": "conditions on a connection are not layer 4",
    "log*": "connections are counted, and listed by `piranha connections`",
    "maxconn": "the connection table has a size of its own, see upper_threshold for servers",
    "fullconn": "there are no queues",
    "retries": "a connection goes to a server that its checks found healthy",
    "errorfile": "a layer-4 balancer answers nothing by itself",
    "stats": "`piranha status` says it",
    "source": "servers see the client's own address, always",
    "server-template": "lvs.cf has addresses, not names that are looked up while it runs",
    "use-server": "conditions on a connection are not layer 4",
    "email-alert": "Piranha sends no mail: its journal and `piranha status` say what happened",
    "id": "virtual servers have names",
    "guid": "virtual servers have names",
    "disabled": "",
    "enabled": "it is so where nothing else is said",
    "rate-limit": "there is no limit of a rate",
    "backlog": "there is no socket in between",
    "monitor*": "the API says whether lvsd is well",
    "http*": "this is about HTTP, and the section is in mode tcp",
    "redirect": "this is about HTTP, and the section is in mode tcp",
    "compression": "this is about HTTP, and the section is in mode tcp",
    "cookie": "this is about HTTP, and the section is in mode tcp",
}


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Fill the draft from the files, read as one. Raises SourceError."""
    sections = [section for file in files for section in read(file, source.text(file), ledger)]
    _Translator(draft, ledger, options, sections).run()


class _Translator:
    def __init__(self, draft: Draft, ledger: Ledger, options: ImportOptions, sections: list[Section]) -> None:
        self._draft = draft
        self._ledger = ledger
        self._options = options
        self._values = Values(ledger, options)
        self._sections = sections
        self._backends = {one.name: one for one in sections if one.kind == "backend"}
        self._used: set[str] = set()

    def run(self) -> None:
        for section in self._sections:
            match section.kind:
                case "frontend" | "listen":
                    self._take(section)
                case "defaults":
                    self._ledger.carried(section.head.place)
                    for line in section.lines:
                        self._judge(line, in_defaults=True)
                case "backend":
                    continue
                case "userlist":
                    for line in section.lines:
                        for word, secret in zip(line.words, line.words[1:], strict=False):
                            if word.endswith("password"):
                                self._ledger.hide(secret)
                    self._leave(section, "there are no logins in layer 4")
                case _:
                    self._leave(section, f"a section {section.kind} has no counterpart in lvs.cf")
        for name, section in self._backends.items():
            if name not in self._used:
                self._leave(section, "no frontend in mode tcp has it as default_backend")

    def _leave(self, section: Section, reason: str) -> None:
        for line in (section.head, *section.lines):
            self._ledger.note_unless(line.place, reason)

    def _take(self, section: Section) -> None:
        if not self._is_tcp(section):
            self._leave(section, "mode http is not layer 4: import what is in mode tcp")
            return
        self._ledger.carried(section.head.place)
        backend = section
        if section.kind == "frontend" or section.last("server") is None:
            default = section.last("default_backend")
            name = default.words[1] if default is not None and len(default.words) > 1 else ""
            if default is None or name not in self._backends:
                self._leave(section, "without a default_backend it has no servers")
                return
            self._ledger.carried(default.place)
            backend = self._backends[name]
            self._used.add(name)
            self._ledger.carried(backend.head.place)
        for line in section.lines:
            self._judge(line)
        if backend is not section:
            for line in backend.lines:
                self._judge(line)
        pattern, sorry = self._pool(section, backend)
        listens = [(line, vip, port) for line in section.all("bind") for vip, port in self._bind(line)]
        if not listens and not self._ledger.errors:
            self._ledger.left(section.head.place, "it listens on no address that packets could have")
        disabled = section.last("disabled") or backend.last("disabled")
        if disabled is not None:
            self._ledger.changed(disabled.place, "becomes active = 0")
        for number, (line, vip, port) in enumerate(listens):
            made = replace(
                pattern,
                place=line.place,
                name=section.name if not number else f"{section.name}-{format_endpoint(vip, port)}",
                vip=vip,
                port=port,
                version=vip.version,
                active=disabled is None,
                servers=[replace(server) for server in pattern.servers],
            )
            made.sorry = self._sorry(sorry, port)
            self._draft.virtuals.append(made)

    def _is_tcp(self, section: Section) -> bool:
        mode = section.last("mode")
        return mode is None or mode.words[1:2] == ("tcp",)

    def _judge(self, line: Line, *, in_defaults: bool = False) -> None:
        """The verdict on a line that its keyword alone tells."""
        if line.keyword in _TAKEN:
            self._judge_taken(line, in_defaults)
            return
        reason = _LEFT.get(line.keyword)
        for beginning, words in _LEFT.items():
            if reason is None and beginning.endswith("*") and line.keyword.startswith(beginning[:-1]):
                reason = words
        if reason != "":
            self._ledger.left(line.place, reason or f"`{line.keyword}` has no counterpart in lvs.cf")

    def _judge_taken(self, line: Line, in_defaults: bool) -> None:
        match line.words[:2]:
            case ("timeout", "check"):
                self._ledger.carried(line.place)
            case ("timeout", "connect"):
                self._ledger.changed(line.place, "is the timeout of checks, where there is no `timeout check`")
            case ("timeout", _):
                self._ledger.left(line.place, _ONE_TIMEOUT)
            case ("option", word) if word.endswith(("check", "chk")) and word not in KNOWN:
                self._ledger.error(line.place, f"HAProxy has no check that is called `{word}`")
            case ("option", word) if word not in KNOWN:
                self._ledger.left(line.place, f"option {word} has no counterpart in lvs.cf")
            case ("description", _):
                self._ledger.left(line.place, "comments of lvs.cf stand behind #")
            case (("tcp-check" | "http-check" | "external-check"), *_):
                if in_defaults:
                    self._ledger.left(line.place, "steps of a check count where they stand in a backend")
            case (("server" | "bind" | "default_backend"), *_):
                return
            case _:
                self._ledger.carried(line.place)

    def _pool(self, section: Section, backend: Section) -> tuple[DraftVirtual, list[DraftServer]]:
        """The pool of servers, and the backups among them."""
        made = DraftVirtual(place=section.head.place, name=section.name)
        made.unchecked = "HAProxy does not check this server: here a connect to the port is checked"
        made.scheduler = "wrr"
        balance = backend.last("balance")
        if balance is not None:
            made.scheduler = self._scheduler(backend, balance)
        self._persistence(made, backend)
        reader = ServerReader(self._ledger, self._values, self._options)
        base = reader.options_of(backend.last("default-server"))
        servers: list[DraftServer] = []
        backups: list[DraftServer] = []
        checked: list[tuple[DraftServer, tuple[float, int, int]]] = []
        for line in backend.all("server"):
            found = reader.read(line, base, backend)
            if found is None:
                continue
            server, is_backup, rhythm = found
            (backups if is_backup else servers).append(server)
            if server.checks:
                checked.append((server, rhythm))
        made.servers = servers
        made.interval_s, made.rise, made.fall = checked[0][1] if checked else (2.0, 2, 3)
        timeout = backend.last("timeout", "check") or backend.last("timeout", "connect")
        wanted = duration_s(timeout.words[2], unit="ms") if timeout is not None and len(timeout.words) > 2 else None
        made.timeout_s = min(wanted or made.interval_s, made.interval_s)
        for server, (interval_s, rise, fall) in checked:
            if (interval_s, rise, fall) != (made.interval_s, made.rise, made.fall):
                server.set_own_times(interval_s=interval_s, timeout_s=wanted or interval_s, fall=fall, rise=rise)
                self._ledger.changed(server.place, "its own rhythm of checks stands in its `check` block")
        return made, backups

    def _scheduler(self, backend: Section, balance: Line) -> str:
        word = (balance.words[1] if len(balance.words) > 1 else "").partition("(")[0]
        if word not in _BALANCE:
            self._ledger.error(balance.place, f"no scheduler is like `balance {word}`: choose one, as leastconn")
            return "wrr"
        if word == "source":
            consistent = backend.last("hash-type")
            chosen = "mh" if consistent is not None and "consistent" in consistent.words else "sh"
            self._ledger.changed(balance.place, f"becomes scheduler {chosen}: clients are shared out by another hash")
            return chosen
        self._ledger.carried(balance.place, f"becomes scheduler {_BALANCE[word]}")
        return _BALANCE[word]

    def _persistence(self, made: DraftVirtual, backend: Section) -> None:
        table, sticks = backend.last("stick-table"), backend.all("stick")
        on_source = any(line.words[1:3] in (("on", "src"), ("match", "src")) for line in sticks)
        if table is not None and on_source and "ip" in table.words:
            words = list(table.words)
            expires = words[words.index("expire") + 1] if "expire" in words[:-1] else ""
            seconds = duration_s(expires, unit="ms") if expires else 360.0
            if seconds is None or seconds < 1:
                self._ledger.error(table.place, f"`{expires}` is no time of a second or more")
                return
            made.persistent_s = seconds
            for line in (table, *sticks):
                self._ledger.changed(line.place, f"becomes persistent = {seconds:g}")
            return
        for line in (*((table,) if table is not None else ()), *sticks):
            self._ledger.left(line.place, "persistence goes by the client's address alone (stick on src, type ip)")

    def _bind(self, line: Line) -> list[tuple[IPAddress, int]]:
        found: list[tuple[IPAddress, int]] = []
        if "ssl" in line.words[2:]:
            self._ledger.error(line.place, f"{NO_TLS}: let the servers do it, or leave this section out")
            return []
        for word in line.words[2:]:
            if word in ("interface", "transparent", "defer-accept", "tfo", "accept-proxy", "v4v6", "v6only"):
                self._ledger.left(line.place, f"`{word}` is a setting of a socket, and there is none")
        for text in (line.words[1] if len(line.words) > 1 else "").split(","):
            bare = text.removeprefix("ipv4@").removeprefix("ipv6@")
            found.extend(listening(line.place, bare, self._values, self._ledger, self._options))
        return found

    def _sorry(self, backups: list[DraftServer], port: int) -> IPAddress | None:
        chosen: IPAddress | None = None
        for server in backups:
            if chosen is not None or server.port not in (None, port):
                self._ledger.left(server.place, "a virtual server has one sorry server, on its own port")
                continue
            chosen = server.address
            self._ledger.changed(server.place, "backup becomes sorry_server: it is not checked")
        return chosen
