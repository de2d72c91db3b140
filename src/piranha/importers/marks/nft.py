"""`nft list ruleset` text: the rules that set `meta mark`, in chains that packets meet before routing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network, summarize_address_range

from piranha.importers.ledger import Ledger, Place
from piranha.importers.marks.rules import FoundRule
from piranha.importers.values import Values
from piranha.model.mark import IPNetwork, PortRange
from piranha.model.service import Protocol

MAX_DEPTH = 10
_PROTOCOLS = {"tcp": Protocol.TCP, "udp": Protocol.UDP, "sctp": Protocol.SCTP}
_WORD = re.compile(r"\"[^\"]*\"|[{},;]|[^\s{},;\"]+")
_MARK_SET = ("meta", "mark", "set")
_MATCHED_PROTOCOLS = (("meta", "l4proto"), ("ip", "protocol"), ("ip6", "nexthdr"))


@dataclass(slots=True)
class _Chain:
    name: str
    hook: str = ""
    rules: list[tuple[Place, list[str]]] = field(default_factory=list)


class NftReader:
    """Reads one text into the rules of its prerouting and input chains."""

    def __init__(self, ledger: Ledger, values: Values) -> None:
        self._ledger = ledger
        self._values = values

    def read(self, file: str, text: str) -> list[FoundRule]:
        chains, open_names = [], list[str]()
        chain: _Chain | None = None
        for number, raw in enumerate(text.split("\n"), start=1):
            place, line = Place(file, number), raw.strip()
            if not line or line[0] == "#":
                continue
            if line.count('"') % 2:
                self._ledger.error(place, "the quotes are never closed")
                continue
            words = _WORD.findall(line)
            if words == ["}"]:
                if not open_names:
                    self._ledger.error(place, "a `}` without its `{`")
                elif open_names.pop() == "chain":
                    chain = None
                continue
            kind = words[0]
            if words[-1] == "{" and kind in ("table", "chain", "set", "map", "flowtable", "counter", "elements"):
                open_names.append(kind)
                if kind == "chain":
                    chain = _Chain(words[1] if len(words) > 2 else "")
                    chains.append(chain)
                    self._ledger.carried(place)
                elif kind == "table":
                    self._ledger.carried(place)
                else:
                    self._ledger.left(place, f"a {kind} of nftables has no place in mark blocks")
                continue
            if chain is None:
                self._ledger.left(place, "outside of a chain nothing sets a mark")
            elif kind == "type":
                chain.hook = words[words.index("hook") + 1] if "hook" in words[:-1] else ""
                self._ledger.carried(place)
            elif kind == "policy":
                self._ledger.left(place, "mark blocks let every packet pass")
            else:
                chain.rules.append((place, words))
        if open_names:
            self._ledger.error(Place(file, number), "a block is never closed")
        return [rule for one in chains for rule in self._rules(one)]

    def _rules(self, chain: _Chain) -> Iterator[FoundRule]:
        for place, words in chain.rules:
            if chain.hook not in ("prerouting", "ingress"):
                where = f"hook {chain.hook}" if chain.hook else "no hook of its own"
                yield FoundRule(place=place, reason=f"chain {chain.name} has {where}: marks count before routing")
            elif not _sets_mark(words):
                yield FoundRule(place=place, reason="it sets no mark")
            else:
                yield self._rule(place, words)

    def _rule(self, place: Place, words: list[str]) -> FoundRule:
        rule = FoundRule(place=place)
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word in ("ip", "ip6") and rest[:1] == ["daddr"]:
                rest.pop(0)
                wanted = _set(rest)
                if any(text[:1] in ("@", "$") for text in wanted):
                    rule.reason = f"mark blocks name their addresses, they have no set like {' '.join(wanted)}"
                    return rule
                rule.addresses = tuple(self._networks(place, wanted))
            elif word in ("tcp", "udp", "sctp", "th") and rest[:1] == ["dport"]:
                rest.pop(0)
                wanted = _set(rest)
                if any(text[:1] in ("@", "$") for text in wanted):
                    rule.reason = f"mark blocks name their ports, they have no set like {' '.join(wanted)}"
                    return rule
                rule.ports = tuple(self._ports(place, wanted))
                if word != "th":
                    rule.protocols = (_PROTOCOLS[word],)
            elif (word, *rest[:1]) in _MATCHED_PROTOCOLS:
                rest.pop(0)
                named = _set(rest)
                protocols = tuple(_PROTOCOLS[name] for name in named if name in _PROTOCOLS)
                if len(protocols) != len(named):
                    rule.reason = f"mark blocks have tcp, udp, sctp or any protocol, not {' '.join(named)}"
                    return rule
                rule.protocols = protocols
            elif (word, *rest[:2]) == _MARK_SET or (word, *rest[:1]) == ("mark", "set"):
                del rest[: 2 if word == "meta" else 1]
                self._set_mark(rule, rest.pop(0) if rest else "")
                if rest[:1] and rest[0] in ("and", "or", "xor", "|", "&", "^"):
                    rule.reason = "mark blocks give a whole mark, they do not change bits of one"
                    return rule
            elif word == "counter":
                while rest[:1] and (rest[0] in ("packets", "bytes") or rest[0].isdecimal()):
                    rest.pop(0)
            elif word == "comment":
                del rest[:1]
            elif word in ("accept", "return", "continue"):
                if word != "continue":
                    rule.remarks.append(
                        f"`{word}`: this rule counts at its place, not after later ones: look at the order"
                    )
            elif word == ";":
                continue
            else:
                rule.reason = f"mark blocks have nothing like `{' '.join([word, *rest[:1]])}`"
                return rule
        return rule

    def _set_mark(self, rule: FoundRule, text: str) -> None:
        try:
            rule.mark = int(text, 0)
        except ValueError:
            rule.reason = f"mark blocks give a fixed mark, not `{text}`"

    def _networks(self, place: Place, texts: list[str]) -> Iterator[IPNetwork]:
        for text in texts:
            first, dash, last = text.partition("-")
            try:
                if dash:
                    begin, end = ip_address(first), ip_address(last)
                    yield from summarize_address_range(begin, end)
                else:
                    yield ip_network(text, strict=False)
            except (ValueError, TypeError):
                self._ledger.error(place, f"`{text}` is no address, network or range")

    def _ports(self, place: Place, texts: list[str]) -> Iterator[PortRange]:
        for text in texts:
            first_text, dash, last_text = text.partition("-")
            first = self._values.port(place, first_text)
            last = self._values.port(place, last_text) if dash else first
            if first is not None and last is not None and first <= last:
                yield PortRange(first, last)
            elif first is not None and last is not None:
                self._ledger.error(place, f"the range `{text}` ends before it begins")


def _sets_mark(words: list[str]) -> bool:
    return any(words[at : at + 2] == ["mark", "set"] for at in range(len(words)))


def _set(rest: list[str]) -> list[str]:
    """One value, or those of a set in braces; taken from `rest`."""
    if rest[:1] != ["{"]:
        if rest[:1] == ["=="]:
            rest.pop(0)
        return [rest.pop(0)] if rest else []
    rest.pop(0)
    found = []
    while rest:
        word = rest.pop(0)
        if word == "}":
            break
        if word != ",":
            found.append(word)
    return found
