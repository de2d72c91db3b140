"""The settings of a ldirectord.cf as a draft. Source: ldirectord(8)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from piranha.config.conversion import did_you_mean
from piranha.config.values import parse_ip
from piranha.importers import checks
from piranha.importers.checks import Check
from piranha.importers.draft import Draft, DraftServer, DraftVirtual
from piranha.importers.ldirectord.settings import LEFT, Setting, VirtualSettings, read, unquoted
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.source import Source
from piranha.importers.values import MOST_WEIGHT, Values
from piranha.model.address import IPAddress, format_endpoint
from piranha.model.service import ForwardingMethod, Protocol

MAX_RANGE = 256
_METHODS = {
    "gate": ForwardingMethod.DIRECT,
    "masq": ForwardingMethod.MASQUERADE,
    "ipip": ForwardingMethod.TUNNEL,
}
_REAL = re.compile(
    r"(?P<hosts>\S+)\s+(?P<method>\S+)(?P<options>(?:\s+(?:\d+|[lu]:\d+))*)"
    r"(?:\s+\"(?P<request>[^\"]*)\"(?:\s*,\s*\"(?P<receive>[^\"]*)\")?)?\s*\Z"
)
_SERVICES = {
    21: "ftp",
    25: "smtp",
    53: "dns",
    80: "http",
    110: "pop",
    119: "nntp",
    143: "imap",
    389: "ldap",
    443: "https",
    587: "submission",
    636: "ldaps",
    993: "imaps",
    995: "pops",
    1521: "oracle",
    1812: "radius",
    3128: "http_proxy",
    3306: "mysql",
    5060: "sip",
    5432: "pgsql",
}
_KINDS = frozenset((*_SERVICES.values(), "none", "simpletcp"))


def translate(files: Sequence[str], source: Source, draft: Draft, ledger: Ledger, options: ImportOptions) -> None:
    """Fill the draft from the files. Raises SourceError."""
    for file in files:
        top, virtuals = read(file, source.text(file), ledger)
        _Translator(draft, ledger, Values(ledger, options), top).run(virtuals)


class _Translator:
    def __init__(self, draft: Draft, ledger: Ledger, values: Values, top: VirtualSettings) -> None:
        self._draft = draft
        self._ledger = ledger
        self._values = values
        self._top = top

    def run(self, virtuals: list[VirtualSettings]) -> None:
        for setting in self._top.settings:
            self._judge(setting, "counts for every virtual server that has none of its own")
        for virtual in virtuals:
            self._virtual(virtual)

    def _judge(self, setting: Setting, remark: str = "") -> None:
        """The verdict on a setting of which the name alone tells it."""
        reason = LEFT.get(setting.name)
        if reason is not None:
            self._ledger.left(setting.place, reason)
        else:
            self._ledger.carried(setting.place, remark)

    def _get(self, virtual: VirtualSettings, name: str) -> Setting | None:
        return virtual.last(name) or self._top.last(name)

    def _text(self, virtual: VirtualSettings, name: str) -> str:
        found = self._get(virtual, name)
        return unquoted(found.value) if found is not None else ""

    def _virtual(self, virtual: VirtualSettings) -> None:
        head = virtual.head
        self._ledger.carried(head.place)
        for setting in virtual.settings:
            self._judge(setting)
        made = self._key(virtual)
        if made is None:
            return
        made.unchecked = "checktype = on takes this server as up: here a connect to the port is checked"
        kind = self._check_type(virtual)
        self._set_scheduling(made, virtual)
        self._set_times(made, virtual, kind)
        quiescent = self._get(virtual, "quiescent")
        made.quiesce = quiescent is None or self._is_yes(quiescent)
        if quiescent is None:
            self._ledger.changed(
                head.place, "quiesce_server = 1: ldirectord quiesces a failed server unless told not to"
            )
        if kind == "off":
            made.active = False
            self._ledger.changed(head.place, "active = 0: with checktype = off it has no servers at all")
        service = self._text(virtual, "service") or _SERVICES.get(made.port, "none")
        if service not in _KINDS:
            named = self._get(virtual, "service")
            near = did_you_mean(service, _KINDS)
            mend = f": did you mean `{near}`?" if near else ""
            self._ledger.error((named or head).place, f"ldirectord has no service `{service}`{mend}")
            service = "none"
        for setting in virtual.settings:
            if setting.name in ("real", "real6"):
                made.servers.extend(self._servers(made, virtual, setting, kind, service))
        fallback = self._get(virtual, "fallback6" if made.version == 6 else "fallback")
        if fallback is not None:
            self._set_fallback(made, fallback)
        self._draft.virtuals.append(made)

    def _key(self, virtual: VirtualSettings) -> DraftVirtual | None:
        head = virtual.head
        protocol_setting = self._get(virtual, "protocol")
        protocol_word = unquoted(protocol_setting.value).lower() if protocol_setting is not None else ""
        text = unquoted(head.value)
        if text.isdecimal():
            mark = self._values.number(head.place, text, "a firewall mark", 1, 2**32 - 1)
            if mark is None:
                return None
            version = 6 if head.name == "virtual6" else 4
            return DraftVirtual(place=head.place, name=f"fwmark-{mark}", mark=mark, version=version)
        endpoint = self._endpoint(head.place, text)
        if endpoint is None:
            return None
        vip, port = endpoint
        if port is None:
            self._ledger.error(head.place, "the port is missing")
            return None
        known = {"": Protocol.TCP, "tcp": Protocol.TCP, "udp": Protocol.UDP, "sctp": Protocol.SCTP}
        protocol = known.get(protocol_word)
        if protocol is None:
            place = protocol_setting.place if protocol_setting is not None else head.place
            self._ledger.error(place, f"`{protocol_word}` is not tcp or udp, as an address and a port have it")
            return None
        name = self._text(virtual, "servicename") or format_endpoint(vip, port)
        name = name if protocol is Protocol.TCP else f"{name}/{protocol.word}"
        return DraftVirtual(place=head.place, name=name, vip=vip, port=port, version=vip.version, protocol=protocol)

    def _endpoint(self, place: Place, text: str) -> tuple[IPAddress, int | None] | None:
        host, port_text = text, ""
        if text.startswith("["):
            host, _, rest = text[1:].partition("]")
            port_text = rest.removeprefix(":")
        elif text.count(":") == 1:
            host, _, port_text = text.partition(":")
        address = self._values.host(place, host)
        port = self._values.port(place, port_text) if port_text else None
        if address is None or (port_text and port is None):
            return None
        return address, port

    def _set_scheduling(self, made: DraftVirtual, virtual: VirtualSettings) -> None:
        scheduler = self._get(virtual, "scheduler")
        made.scheduler = "wrr"
        if scheduler is not None:
            made.scheduler = self._values.scheduler(scheduler.place, unquoted(scheduler.value)) or "wrr"
        persistent = self._get(virtual, "persistent")
        if persistent is not None:
            text = unquoted(persistent.value)
            made.persistent_s = self._values.number(persistent.place, text, "persistent", 1, 2**31 - 1) or 0
        netmask = self._get(virtual, "netmask")
        if netmask is not None:
            made.pmask = self._values.mask(netmask.place, unquoted(netmask.value))
            if not made.persistent_s:
                self._ledger.left(netmask.place, "a netmask has no effect without persistent")
        ops = self._get(virtual, "ops")
        made.one_packet = ops is not None and self._is_yes(ops)

    def _set_times(self, made: DraftVirtual, virtual: VirtualSettings, kind: str) -> None:
        made.interval_s = self._seconds(virtual, "checkinterval", 10)
        waits = "negotiatetimeout" if kind == "negotiate" else "checktimeout"
        made.timeout_s = self._seconds(virtual, waits, 30 if kind == "negotiate" else 5)
        if made.timeout_s > made.interval_s:
            made.timeout_s = made.interval_s
            setting = self._get(virtual, waits)
            place = setting.place if setting is not None else made.place
            self._ledger.changed(place, "the timeout of its checks is cut to their interval")
        failures = self._get(virtual, "failurecount")
        if failures is not None:
            text = unquoted(failures.value)
            made.fall = self._values.number(failures.place, text, "failurecount", 1, 1_000_000) or 1
            self._ledger.changed(failures.place, "becomes fall")

    def _seconds(self, virtual: VirtualSettings, name: str, default: float) -> float:
        setting = self._get(virtual, name)
        if setting is None:
            return default
        found = self._values.seconds(setting.place, unquoted(setting.value), name, least=0.001)
        return default if found is None else found

    def _check_type(self, virtual: VirtualSettings) -> str:
        setting = self._get(virtual, "checktype")
        if setting is None:
            return "negotiate"
        kind = unquoted(setting.value).lower()
        if kind in ("connect", "negotiate", "ping", "external", "external-perl", "off", "on", "checkcommand"):
            return kind
        if kind.isdecimal() and int(kind) > 0:
            self._ledger.changed(setting.place, "every check is the full one, not one in so many")
            return "negotiate"
        near = did_you_mean(kind, ("connect", "negotiate", "ping", "external", "external-perl", "off", "on"))
        mend = f": did you mean `{near}`?" if near else ""
        self._ledger.error(setting.place, f"ldirectord has no checktype `{kind}`{mend}")
        return "negotiate"

    def _servers(
        self, made: DraftVirtual, virtual: VirtualSettings, setting: Setting, kind: str, service: str
    ) -> list[DraftServer]:
        found = _REAL.match(setting.value)
        place = setting.place
        if found is None or found["method"] not in _METHODS:
            self._ledger.error(
                place,
                'a real server is `ADDRESS:PORT gate|masq|ipip WEIGHT "request","receive"`, and nothing behind it',
            )
            return []
        addresses, port = self._hosts(place, found["hosts"])
        weight, upper, lower = 1, 0, 0
        for option in found["options"].split():
            name, _, text = option.rpartition(":")
            number = self._values.number(place, text, "a weight" if not name else "a threshold", 0, MOST_WEIGHT)
            if number is None:
                continue
            if name == "u":
                upper = number
            elif name == "l":
                lower = number
            else:
                weight = number
        servers = []
        for address in addresses:
            server = DraftServer(
                place=place,
                address=address,
                port=port,
                weight=weight,
                method=_METHODS[found["method"]],
                upper_threshold=upper,
                lower_threshold=lower,
            )
            check = self._check(made, virtual, kind, service, (found["request"], found["receive"]))
            if check is not None:
                type_setting = self._get(virtual, "checktype")
                server.checks.append((type_setting.place if type_setting is not None else made.place, check))
            servers.append(server)
        return servers

    def _hosts(self, place: Place, text: str) -> tuple[list[IPAddress], int | None]:
        first, arrow, last = text.partition("->")
        if not arrow:
            endpoint = self._endpoint(place, text)
            return ([], None) if endpoint is None else ([endpoint[0]], endpoint[1])
        begin, end = parse_ip(first), self._endpoint(place, last)
        if begin is None or end is None or begin.version != end[0].version or int(end[0]) < int(begin):
            self._ledger.error(place, f"`{text}` is no range of addresses")
            return [], None
        count = int(end[0]) - int(begin) + 1
        if count > MAX_RANGE:
            self._ledger.error(place, f"the range has {count} addresses: at most {MAX_RANGE} are written")
            return [], None
        self._ledger.changed(place, f"becomes {count} real servers")
        return [begin + offset for offset in range(count)], end[1]

    def _check(
        self, made: DraftVirtual, virtual: VirtualSettings, kind: str, service: str, own: tuple[str | None, str | None]
    ) -> Check | None:
        port_setting = self._get(virtual, "checkport")
        port = None
        if port_setting is not None:
            port = self._values.port(port_setting.place, unquoted(port_setting.value), least=1)
        match kind:
            case "on" | "off":
                return None
            case "connect":
                return Check(port=port)
            case "ping":
                return checks.of_kind("ping", port)
            case "external" | "external-perl" | "checkcommand":
                return self._external(made, virtual, port)
        request = own[0] if own[0] is not None else self._text(virtual, "request")
        receive = own[1] if own[1] is not None else self._text(virtual, "receive")
        return self._negotiate(virtual, service, request, receive, port)

    def _external(self, made: DraftVirtual, virtual: VirtualSettings, port: int | None) -> Check:
        setting = self._get(virtual, "checkcommand")
        if setting is None:
            self._ledger.error(made.place, "this checktype needs a checkcommand")
            return Check(port=port)
        where = f"{made.mark} 0" if made.vip is None else f"{made.vip} {made.port}"
        return checks.program(f"{unquoted(setting.value)} {where} %h %p", port)

    def _negotiate(self, virtual: VirtualSettings, service: str, request: str, receive: str, port: int | None) -> Check:
        if service in ("http", "https", "http_proxy"):
            path = request if request.startswith(("/", "http://")) else f"/{request}"
            method = self._text(virtual, "httpmethod").upper() or "GET"
            host = self._text(virtual, "virtualhost")
            return checks.http(path, host=host, method=method, body=receive, tls=service == "https", port=port)
        if service == "simpletcp":
            said = request.replace("\\r", "\r").replace("\\n", "\n")
            return checks.exchange(said, receive, is_pattern=True, port=port)
        if service == "none":
            return Check(port=port)
        return checks.of_kind(service, port)

    def _set_fallback(self, made: DraftVirtual, setting: Setting) -> None:
        words = unquoted(setting.value).split()
        endpoint = self._endpoint(setting.place, words[0]) if words else None
        if endpoint is None:
            return
        address, port = endpoint
        if port not in (None, made.port) and not made.mark:
            message = f"{made.name}: a sorry server has the virtual server's port, not {port}"
            self._ledger.left(setting.place, f"{message}: write `sorry_server` by hand if it answers there too")
            return
        if len(words) > 1 and words[1] not in _METHODS:
            self._ledger.error(setting.place, f"`{words[1]}` is not gate, masq or ipip")
            return
        made.sorry = address
        if len(words) > 1:
            self._ledger.changed(setting.place, "the sorry server is reached as `network` says")

    def _is_yes(self, setting: Setting) -> bool:
        word = unquoted(setting.value).lower()
        if word not in ("yes", "no"):
            self._ledger.error(setting.place, f"`{setting.name}` is yes or no, not `{word}`")
        return word == "yes"
