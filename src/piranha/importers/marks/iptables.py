"""`iptables-save` (and `ip6tables-save`) text: the rules of the mangle table that set marks."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from ipaddress import ip_network

from piranha.importers.ledger import Ledger, Place
from piranha.importers.marks.rules import FoundRule
from piranha.importers.values import MOST_PORT, Values
from piranha.model.mark import IPNetwork, PortRange
from piranha.model.service import Protocol

MAX_JUMPS = 10
MAX_RULES = 10_000
_PROTOCOLS = {
    "tcp": Protocol.TCP,
    "udp": Protocol.UDP,
    "sctp": Protocol.SCTP,
    "6": Protocol.TCP,
    "17": Protocol.UDP,
    "132": Protocol.SCTP,
}
_FULL = 0xFFFFFFFF
_CHAINS = ("PREROUTING",)
_HARMLESS_MATCHES = ("tcp", "udp", "sctp", "multiport", "comment")


class IptablesReader:
    """Reads one text into the rules of PREROUTING, chains that it jumps to included."""

    def __init__(self, ledger: Ledger, values: Values) -> None:
        self._ledger = ledger
        self._values = values
        self._chains: dict[str, list[tuple[Place, list[str]]]] = {}
        self._left = MAX_RULES

    def read(self, file: str, text: str) -> list[FoundRule]:
        table = ""
        for number, raw in enumerate(text.split("\n"), start=1):
            place, line = Place(file, number), raw.strip()
            if not line or line[0] == "#":
                continue
            if line[0] == "*":
                table = line[1:]
                self._note_frame(place, table)
            elif line[0] == ":" or line == "COMMIT":
                self._note_frame(place, table)
            elif table != "mangle":
                where = f"table {table}" if table else "no table"
                self._ledger.left(place, f"{where}: marks are set in table mangle")
            else:
                self._take(place, line)
        rules = [rule for chain in _CHAINS for rule in self._chain(chain, 0)]
        seen = {rule.place for rule in rules}
        for chain, lines in self._chains.items():
            for place, _ in lines:
                if place not in seen:
                    self._ledger.note_unless(place, f"chain {chain} is not on the way of packets that come in")
        return rules

    def _note_frame(self, place: Place, table: str) -> None:
        if table == "mangle":
            self._ledger.carried(place)
        else:
            self._ledger.left(place, f"table {table}: marks are set in table mangle")

    def _take(self, place: Place, line: str) -> None:
        try:
            words = shlex.split(line)
        except ValueError:
            self._ledger.error(place, "the quotes are never closed")
            return
        if words and words[0].startswith("["):
            # Counters, as iptables-save -c writes them.
            words = words[1:]
        if len(words) < 3 or words[0] not in ("-A", "--append"):
            self._ledger.error(place, "this is no line of iptables-save")
            return
        self._chains.setdefault(words[1], []).append((place, words[2:]))

    def _chain(self, name: str, depth: int) -> Iterator[FoundRule]:
        for place, words in self._chains.get(name, ()):
            self._left -= 1
            if self._left < 0:
                yield FoundRule(place=place, reason=f"more than {MAX_RULES} rules come of the jumps")
                return
            target = _target(words)
            if target in self._chains:
                if _conditions(words):
                    yield FoundRule(place=place, reason="a jump under a condition cannot be written as mark blocks")
                elif depth >= MAX_JUMPS:
                    yield FoundRule(place=place, reason="the chains jump in a circle")
                else:
                    self._ledger.carried(place, f"the rules of chain {target} stand here")
                    yield from self._chain(target, depth + 1)
            elif target != "MARK":
                yield FoundRule(place=place, reason=_not_a_mark(target))
            else:
                yield self._rule(place, words)

    def _rule(self, place: Place, words: list[str]) -> FoundRule:
        rule = FoundRule(place=place)
        at = 0
        while at < len(words):
            word = words[at]
            value = words[at + 1] if at + 1 < len(words) else ""
            at += 2
            match word:
                case "!":
                    rule.reason = "mark blocks cannot say `not`"
                    return rule
                case "-d" | "--destination":
                    rule.addresses = tuple(self._networks(place, value))
                case "-p" | "--protocol":
                    protocol = _PROTOCOLS.get(value)
                    if protocol is None and value not in ("all", "0"):
                        rule.reason = f"mark blocks have tcp, udp, sctp or any protocol, not {value}"
                        return rule
                    rule.protocols = (protocol,) if protocol is not None else ()
                case "--dport" | "--destination-port" | "--dports" | "--destination-ports":
                    rule.ports = tuple(self._ports(place, value))
                case "-m" | "--match":
                    if value not in _HARMLESS_MATCHES:
                        rule.reason = f"mark blocks have nothing like the match `{value}`"
                        return rule
                case "--comment":
                    pass
                case "-i" | "--in-interface":
                    rule.reason = f"mark blocks do not look at the interface ({value})"
                    return rule
                case "-s" | "--source":
                    rule.reason = f"mark blocks do not look at the source ({value})"
                    return rule
                case "-j" | "--jump":
                    pass
                case "--set-mark" | "--set-xmark" | "--or-mark" | "--and-mark" | "--xor-mark":
                    self._set_mark(rule, word, value)
                case _:
                    rule.reason = f"mark blocks have nothing like `{word}`"
                    return rule
        return rule

    def _set_mark(self, rule: FoundRule, word: str, value: str) -> None:
        text, slash, mask_text = value.partition("/")
        try:
            mark, mask = int(text, 0), int(mask_text, 0) if slash else _FULL
        except ValueError:
            self._ledger.error(rule.place, f"`{value}` is no mark")
            return
        if word not in ("--set-mark", "--set-xmark") or mask & mark != mark:
            rule.reason = "mark blocks give a whole mark, they do not change bits of one"
            return
        if mask != _FULL:
            rule.remarks.append(f"other bits of the mark (outside of {mask:#x}) become 0")
        rule.mark = mark

    def _networks(self, place: Place, text: str) -> Iterator[IPNetwork]:
        for part in text.split(","):
            try:
                yield ip_network(part, strict=False)
            except ValueError:
                self._ledger.error(place, f"`{part}` is no network")

    def _ports(self, place: Place, text: str) -> Iterator[PortRange]:
        for part in text.split(","):
            first_text, colon, last_text = part.partition(":")
            first = self._values.port(place, first_text or "0")
            last = self._values.port(place, last_text or str(MOST_PORT)) if colon else first
            if first is not None and last is not None and first <= last:
                yield PortRange(first, last)
            elif first is not None and last is not None:
                self._ledger.error(place, f"the range `{part}` ends before it begins")


def _target(words: list[str]) -> str:
    for at, word in enumerate(words[:-1]):
        if word in ("-j", "--jump", "-g", "--goto"):
            return words[at + 1]
    return ""


def _conditions(words: list[str]) -> bool:
    rest = [word for word in words if word not in ("-j", "--jump", "-g", "--goto", _target(words))]
    if "--comment" in rest:
        rest = [word for word in rest if word not in ("-m", "comment")]
        at = rest.index("--comment")
        rest[at : at + 2] = []
    return bool(rest)


def _not_a_mark(target: str) -> str:
    match target:
        case "":
            return "it has no target"
        case "RETURN" | "ACCEPT" | "DROP":
            return f"{target} ends the way of some packets: see that the mark blocks after it do not match them"
        case "CONNMARK":
            return "marks are given by the packet alone, a connection keeps its real server by itself"
    return f"target {target} sets no mark"
