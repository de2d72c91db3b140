"""virtual_server and virtual_server_group blocks of keepalived.conf as drafts of virtual servers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from piranha.importers.draft import Draft, DraftServer, DraftVirtual
from piranha.importers.keepalived.blocks import Statement
from piranha.importers.keepalived.checkers import (
    CHECKERS,
    TIMES,
    CheckerReader,
    Times,
    default_retry,
    take_alpha,
    take_time,
)
from piranha.importers.keepalived.keys import keys_of
from piranha.importers.keepalived.reasons import SERVER_LEFT, VIRTUAL_LEFT
from piranha.importers.keepalived.walk import Handler, carry, drop, walk
from piranha.importers.ledger import Ledger
from piranha.importers.values import MOST_WEIGHT, Values
from piranha.model.configuration import SchedulerFlagWord
from piranha.model.service import ForwardingMethod, Protocol, TunnelChecksum, TunnelType

DELAY_LOOP_S, CONNECT_TIMEOUT_S = 60.0, 5.0
PERSISTENCE_S = 360
_METHODS = {"NAT": ForwardingMethod.MASQUERADE, "DR": ForwardingMethod.DIRECT, "TUN": ForwardingMethod.TUNNEL}
_CHECKSUMS = {checksum.value: checksum for checksum in TunnelChecksum}
_Rules = tuple[float, float, int]
"""Interval and timeout in seconds, and the failures in a row that take a server out."""
_PROTOCOLS = {"TCP": Protocol.TCP, "UDP": Protocol.UDP, "SCTP": Protocol.SCTP}


class ServiceReader:
    """Reads the LVS half of a file into a draft."""

    def __init__(self, draft: Draft, ledger: Ledger, values: Values) -> None:
        self._draft = draft
        self._ledger = ledger
        self._values = values
        self._checkers = CheckerReader(ledger, values)
        self._groups: dict[str, list[tuple[Statement, tuple[DraftVirtual, ...]]]] = {}
        self._used: set[str] = set()

    def take_group(self, statement: Statement) -> None:
        """A virtual_server_group; `virtual_server group NAME` may stand before or behind it."""
        name = " ".join(statement.arguments)
        entries = []
        for inner in statement.inner:
            made = keys_of(inner, inner.words, self._values, self._ledger)
            self._ledger.carried(inner.place)
            entries.append((inner, tuple(replace(one, name=f"{name}-{one.name}") for one in made)))
        self._ledger.carried(statement.place)
        self._groups[name] = entries

    def finish_groups(self, statements: list[Statement]) -> None:
        """Say which groups nobody used."""
        for statement in statements:
            if " ".join(statement.arguments) not in self._used:
                drop(statement, "no virtual_server uses this group", self._ledger)

    def take_virtual(self, statement: Statement) -> None:
        words = statement.arguments
        if words[:1] == ("group",):
            name = " ".join(words[1:])
            if name not in self._groups:
                self._ledger.error(statement.place, f"there is no virtual_server_group {name}")
                return
            self._used.add(name)
            keys = [replace(key) for _, made in self._groups[name] for key in made]
        else:
            keys = list(keys_of(statement, words, self._values, self._ledger))
        self._ledger.carried(statement.place)
        if len(keys) > 1:
            self._ledger.changed(statement.place, f"becomes {len(keys)} virtual servers, one for each address")
        pattern = self._virtual(statement)
        if not pattern.servers:
            self._ledger.changed(statement.place, "it has no real server (keepalived leaves it out then)")
        if statement.first("protocol") is None and any(not key.mark for key in keys):
            message = "no protocol is named: keepalived 2 takes UDP then, older ones TCP"
            self._ledger.error(statement.place, f"{message}: write `protocol TCP` or `protocol UDP`")
        version = _version_of(pattern, statement)
        for key in keys:
            made = replace(
                pattern,
                name=_name(key, pattern.protocol),
                vip=key.vip,
                port=key.port,
                mark=key.mark,
                version=version if key.mark else key.version,
                place=statement.place,
                servers=[replace(server) for server in pattern.servers],
            )
            if made.mark:
                _leave_ports(made)
            if made.port == 0 and not made.mark and not made.persistent_s:
                message = "a virtual server without a port takes every port, and needs persistence_timeout"
                self._ledger.error(statement.place, message)
            self._draft.virtuals.append(made)

    def _virtual(self, statement: Statement) -> DraftVirtual:
        """Everything of a virtual server but its key, which a group has many of."""
        draft = DraftVirtual(place=statement.place, name="")
        draft.unchecked = (
            "keepalived does not check this server and takes it as up: here a connect to the port is checked"
        )
        self._forward = (ForwardingMethod.MASQUERADE, TunnelType.IPIP, 0, TunnelChecksum.NONE)
        self._host, self._quiesce = "", False
        times = Times()
        servers: list[Statement] = []
        flags: list[SchedulerFlagWord] = []
        sorry: list[Statement] = []

        def scheduler(inner: Statement) -> None:
            word = self._values.scheduler(inner.place, _one(inner))
            draft.scheduler = word or draft.scheduler
            self._ledger.carried(inner.place)

        def protocol(inner: Statement) -> None:
            found = _PROTOCOLS.get(_one(inner).upper())
            if found is None:
                self._ledger.error(inner.place, f"`{_one(inner)}` is not TCP, UDP or SCTP")
            elif statement.arguments[:1] == ("fwmark",):
                self._ledger.changed(inner.place, "a firewall mark has every protocol: this one is that of the checks")
                draft.protocol = found
            else:
                draft.protocol = found
            self._ledger.carried(inner.place)

        def persistence(inner: Statement) -> None:
            if not inner.arguments:
                draft.persistent_s = PERSISTENCE_S
                self._ledger.changed(inner.place, f"persistent = {PERSISTENCE_S}, keepalived's own value")
            elif _one(inner) == "0":
                self._ledger.changed(inner.place, "0 is out of keepalived's range and ignored: no persistence")
            else:
                seconds = self._values.number(inner.place, _one(inner), "persistence_timeout", 1, 2**31 - 1)
                draft.persistent_s = seconds or 0
                self._ledger.carried(inner.place)

        def granularity(inner: Statement) -> None:
            draft.pmask = self._values.mask(inner.place, _one(inner))
            self._ledger.carried(inner.place)

        def engine(inner: Statement) -> None:
            if _one(inner) != "sip":
                self._ledger.error(inner.place, f"no persistence engine is called `{_one(inner)}`: there is sip")
                return
            draft.engine = "sip"
            self._ledger.carried(inner.place)

        def flag(inner: Statement) -> None:
            flags.append(SchedulerFlagWord(inner.keyword))
            self._ledger.carried(inner.place)

        def one_packet(inner: Statement) -> None:
            draft.one_packet = True
            self._ledger.carried(inner.place)

        def method(inner: Statement) -> None:
            self._forward = self._method(inner) or self._forward

        def host(inner: Statement) -> None:
            self._host = _one(inner)
            self._ledger.carried(inner.place)

        def quiesce(inner: Statement) -> None:
            self._quiesce = _is_on(inner)
            self._ledger.carried(inner.place)

        def quorum(inner: Statement) -> None:
            draft.quorum = self._values.number(inner.place, _one(inner), "quorum", 1, MOST_WEIGHT) or 1
            self._ledger.carried(inner.place)

        def hysteresis(inner: Statement) -> None:
            draft.hysteresis = self._values.number(inner.place, _one(inner), "hysteresis", 0, MOST_WEIGHT) or 0
            self._ledger.carried(inner.place, "becomes quorum_hysteresis")

        def quorum_command(inner: Statement) -> None:
            if '"' in _one(inner) and "'" in _one(inner):
                self._ledger.left(inner.place, "a command with both kinds of quotes does not fit into lvs.cf")
                return
            setattr(draft, inner.keyword, _one(inner))
            self._ledger.changed(inner.place, "it is split at blanks and runs without a shell")

        def family(inner: Statement) -> None:
            self._ledger.carried(inner.place)

        def name(inner: Statement) -> None:
            self._ledger.left(inner.place, "there is no SNMP: the virtual server is named by its address and port")

        handlers = {
            "lvs_sched": scheduler,
            "lb_algo": scheduler,
            "lvs_method": method,
            "lb_kind": method,
            "protocol": protocol,
            "persistence_timeout": persistence,
            "persistence_granularity": granularity,
            "persistence_engine": engine,
            "ops": one_packet,
            "virtualhost": host,
            "inhibit_on_failure": quiesce,
            "ip_family": family,
            "quorum": quorum,
            "hysteresis": hysteresis,
            "quorum_up": quorum_command,
            "quorum_down": quorum_command,
            "snmp_name": name,
            "alpha": lambda inner: take_alpha(inner, self._ledger),
            "sorry_server": sorry.append,
            "real_server": servers.append,
            **{word.value: flag for word in SchedulerFlagWord},
            "hashed": lambda inner: self._ledger.carried(inner.place),
        }

        def taker(name: str) -> Handler:
            return lambda inner: take_time(inner, name, times, self._values, self._ledger)

        handlers |= {word: taker(time) for word, time in TIMES.items()}
        walk(statement.inner, handlers, VIRTUAL_LEFT, self._ledger)
        draft.flags = tuple(dict.fromkeys(flags))
        found: list[tuple[DraftServer, list[_Rules]]] = []
        for inner in servers:
            found.extend(self._server(inner, times))
        draft.servers = [server for server, _ in found]
        self._set_times(draft, times, found)
        self._set_quiesce(draft)
        for inner in sorry:
            self._set_sorry(draft, statement, inner)
        return draft

    def _server(self, statement: Statement, outer: Times) -> list[tuple[DraftServer, list[_Rules]]]:
        words = statement.arguments
        address = self._values.address(statement.place, words[0] if words else "")
        port = self._values.port(statement.place, words[1]) if len(words) > 1 else None
        self._ledger.carried(statement.place)
        if address is None:
            carry(statement, self._ledger)
            return []
        method, tunnel, tunnel_port, checksum = self._forward
        server = DraftServer(
            place=statement.place,
            address=address,
            port=port or None,
            method=method,
            tunnel=tunnel,
            tunnel_port=tunnel_port,
            tunnel_checksum=checksum,
            quiesce=self._quiesce,
        )
        times = Times(outer.values)
        checkers: list[Statement] = []
        hosts = [self._host]

        def number(field: str, what: str) -> Handler:
            def take(inner: Statement) -> None:
                found = self._values.number(inner.place, _one(inner), what, 0, MOST_WEIGHT)
                if found is not None:
                    setattr(server, field, found)
                self._ledger.carried(inner.place)

            return take

        def quiesce(inner: Statement) -> None:
            server.quiesce = _is_on(inner)
            self._ledger.carried(inner.place)

        def own_method(inner: Statement) -> None:
            chosen = self._method(inner)
            if chosen is not None:
                server.method, server.tunnel, server.tunnel_port, server.tunnel_checksum = chosen

        def host(inner: Statement) -> None:
            hosts.append(_one(inner))
            self._ledger.carried(inner.place)

        def name(inner: Statement) -> None:
            server.name = _one(inner)
            self._ledger.changed(inner.place, "is the name of the real server")

        def taker(time: str) -> Handler:
            return lambda inner: take_time(inner, time, times, self._values, self._ledger)

        handlers = {
            "weight": number("weight", "a weight"),
            "uthreshold": number("upper_threshold", "uthreshold"),
            "lthreshold": number("lower_threshold", "lthreshold"),
            "inhibit_on_failure": quiesce,
            "lvs_method": own_method,
            "lb_kind": own_method,
            "virtualhost": host,
            "snmp_name": name,
            "alpha": lambda inner: take_alpha(inner, self._ledger),
            **{word: taker(time) for word, time in TIMES.items()},
            **dict.fromkeys(CHECKERS, checkers.append),
        }
        for inner in statement.inner:
            if inner.keyword not in CHECKERS and inner.keyword.upper().endswith(("_CHECK", "_GET")):
                self._ledger.error(
                    inner.place, f"keepalived has no checker `{inner.keyword}`: there are {' '.join(CHECKERS)}"
                )
        walk(statement.inner, handlers, SERVER_LEFT, self._ledger)
        rules: list[_Rules] = []
        for checker in checkers:
            own = Times(times.values)
            check = self._checkers.read(checker, hosts[-1], own)
            if check.send_program is not None:
                check = replace(check, send_program=_for_any_server(check.send_program, server))
            elif check.block is not None and check.block.command is not None:
                block = replace(check.block, command=_for_any_server(check.block.command, server))
                check = replace(check, block=block)
            self._ledger.carried(checker.place)
            server.checks.append((checker.place, check))
            own.values.setdefault("retry", default_retry(checker.keyword))
            rules.append(_rules(own.values))
        return [(server, rules or [_rules(times.values)])]

    def _method(self, statement: Statement) -> tuple[ForwardingMethod, TunnelType, int, TunnelChecksum] | None:
        word, *rest = [*statement.arguments, ""]
        method = _METHODS.get(word.upper())
        if method is None:
            self._ledger.error(statement.place, f"`{word}` is not NAT, DR or TUN")
            return None
        tunnel, port, checksum = TunnelType.IPIP, 0, TunnelChecksum.NONE
        words = iter([one for one in rest if one])
        for option in words:
            if option == "type":
                kind = next(words, "")
                if kind not in list(TunnelType):
                    self._ledger.error(statement.place, f"no tunnel is called `{kind}`")
                    return None
                tunnel = TunnelType(kind)
            elif option == "port":
                port = self._values.number(statement.place, next(words, ""), "the tunnel's port", 1, 65535) or 0
            elif option in _CHECKSUMS:
                checksum = _CHECKSUMS[option]
            else:
                self._ledger.left(statement.place, f"`{option}` is no option of a tunnel")
        self._ledger.carried(statement.place)
        return method, tunnel, port, checksum

    def _set_times(self, draft: DraftVirtual, own: Times, found: list[tuple[DraftServer, list[_Rules]]]) -> None:
        """The time rules that most checks have; the others keep theirs in their blocks."""
        sets = [rules for _, each in found for rules in each] or [_rules(own.values)]
        chosen = Counter(sets).most_common(1)[0][0]
        for server, each in found:
            if not server.checks or all(rules == chosen for rules in each):
                continue
            self._ledger.changed(server.place, "its own time rules stand in its `check` block")
            server.checks = [
                (place, check if rules == chosen else check.with_times(rules[0], min(rules[:2]), rules[2], 1))
                for (place, check), rules in zip(server.checks, each, strict=True)
            ]
        draft.interval_s, draft.timeout_s, draft.fall = chosen
        if draft.timeout_s > draft.interval_s:
            draft.timeout_s = draft.interval_s
            self._ledger.changed(draft.place, "the timeout of its checks is cut to their interval")

    def _set_quiesce(self, draft: DraftVirtual) -> None:
        chosen = {server.quiesce for server in draft.servers}
        draft.quiesce = chosen == {True}
        if len(chosen) > 1:
            for server in draft.servers:
                if server.quiesce:
                    message = "inhibit_on_failure: lvs.cf has quiesce_server for all servers or none, here none"
                    self._ledger.left(server.place, message)

    def _set_sorry(self, draft: DraftVirtual, virtual: Statement, statement: Statement) -> None:
        address = self._values.address(statement.place, _one(statement))
        port = statement.arguments[1] if len(statement.arguments) > 1 else "0"
        own = virtual.arguments[-1] if virtual.arguments[:1] not in (("group",), ("fwmark",)) else port
        if port not in ("0", own):
            message = f"a sorry server has the virtual server's port, not {port}"
            self._ledger.left(statement.place, f"{message}: write `sorry_server` by hand if it answers there too")
            return
        draft.sorry = address
        self._ledger.carried(statement.place)


def _rules(times: Mapping[str, float]) -> _Rules:
    interval = times.get("delay_loop", DELAY_LOOP_S)
    return interval, times.get("connect_timeout", CONNECT_TIMEOUT_S), int(times.get("retry", 1)) + 1


def _name(key: DraftVirtual, protocol: Protocol) -> str:
    return key.name if protocol is Protocol.TCP or key.mark else f"{key.name}/{protocol.word}"


def _version_of(draft: DraftVirtual, statement: Statement) -> int:
    """The IP version of a firewall mark: what ip_family says, else that of its servers."""
    family = statement.first("ip_family")
    if family is not None:
        return 6 if _one(family) == "inet6" else 4
    return 6 if {server.address.version for server in draft.servers} == {6} else 4


def _leave_ports(made: DraftVirtual) -> None:
    """keepalived ignores the ports of a mark's servers; a common one is still that of their checks."""
    ports = {server.port for server in made.servers}
    if len(ports) == 1:
        made.port = ports.pop() or 0
        for server in made.servers:
            server.port = None


def _for_any_server(command: str, server: DraftServer) -> str:
    """A command with `%h` and `%p` for the server's own address and port, so that all servers can share it."""
    own = {str(server.address): "%h"}
    if server.port:
        own[str(server.port)] = "%p"
    return " ".join(own.get(word, word) for word in command.split())


def _is_on(statement: Statement) -> bool:
    return _one(statement).lower() not in ("off", "no", "false")


def _one(statement: Statement) -> str:
    return statement.arguments[0] if statement.arguments else ""
