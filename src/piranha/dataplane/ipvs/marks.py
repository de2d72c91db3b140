"""Firewall marks in nftables: the rules that give packets the marks which services are named by.

They stand in a table of our own, `inet piranha_marks`, which is replaced as a whole in one transaction; no other table is
read or written. Marks are set before IPVS looks at a packet: in prerouting for what comes in, in output for local clients.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import ip_network

from piranha.base.errors import PiranhaError
from piranha.model.mark import MarkRule, network_text
from piranha.model.service import Protocol

TABLE = "piranha_marks"
_HOOKS = ("prerouting", "output")
_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)


class MarkTable:
    """The table as it is known. It belongs to the network namespace of the thread that calls."""

    def __init__(self) -> None:
        self._rules: tuple[MarkRule, ...] | None = None
        self._listing = ""

    def rules(self) -> tuple[MarkRule, ...]:
        """The rules in force: as they were last read or installed. nft is asked the first time only."""
        if self._rules is None:
            self._listing = _listing()
            rules = read_table(self._listing)
            if rules is None:
                logger.warning("firewall marks that cannot be read are removed table=%s", TABLE)
                self.install(())
                rules = ()
            self._rules = rules
        return self._rules

    def install(self, rules: Sequence[MarkRule]) -> None:
        """Let exactly `rules` mark packets; none of them takes the table away.

        Raises PiranhaError, with the old table in force, where nft is missing or refuses.
        """
        wanted = tuple(rules)
        if wanted:
            _nft("set the firewall marks", ["-f", "-"], table_text(wanted))
        elif _listing():
            _nft("remove the firewall marks", ["-f", "-"], removal_text())
        self._rules = wanted
        self._listing = _listing() if wanted else ""

    def keep(self) -> bool:
        """Install the rules again where the table is not as it was left. Returns whether it was not."""
        if not self._rules or _listing() == self._listing:
            return False
        logger.warning("firewall marks changed by another program, set again rules=%d", len(self._rules))
        self.install(self._rules)
        return True


def table_text(rules: Iterable[MarkRule]) -> str:
    """The transaction for `nft -f` that replaces the table, whether or not there is one."""
    marking = [f"\t\t{rule_text(rule)}" for rule in rules]
    lines = [removal_text().rstrip("\n"), f"table inet {TABLE} {{"]
    for hook in _HOOKS:
        lines += [f"\tchain {hook} {{", f"\t\ttype filter hook {hook} priority mangle; policy accept;", *marking, "\t}"]
    return "\n".join((*lines, "}")) + "\n"


def removal_text() -> str:
    """The transaction for `nft -f` that takes the table away, whether or not there is one."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def rule_text(rule: MarkRule) -> str:
    """One rule of nft. It accepts what it marked, so that the first match counts; other tables still see the packet."""
    if rule.network.prefixlen:
        words = ["ip daddr" if rule.family == 4 else "ip6 daddr", network_text(rule.network)]
    else:
        words = ["meta nfproto", "ipv4" if rule.family == 4 else "ipv6"]
    if rule.ports:
        # Without a protocol the rule matches by the place of the ports alone, which is the same in all three.
        word = "th" if rule.protocol is Protocol.IP else rule.protocol.word
        words += [word, "dport", *map(str, rule.ports)]
    elif rule.protocol is not Protocol.IP:
        words += ["meta l4proto", rule.protocol.word]
    return " ".join((*words, f"meta mark set {rule.mark:#x} accept"))


_RULE = re.compile(
    r"(?:ip6? daddr (?P<network>\S+)|meta nfproto (?P<family>\w+))"
    r"(?: (?P<ported>tcp|udp|sctp|th) dport (?P<first>\d+)(?:-(?P<last>\d+))?| meta l4proto (?P<protocol>\w+))?"
    r" meta mark set (?P<mark>0x[0-9a-f]+) accept"
)
_CHAIN = re.compile(r"chain (\w+) \{")
_FRAME = re.compile(r"table inet \w+ \{|type filter hook \w+ priority \S+; policy accept;|\}|")
_ANY_NETWORK = {"ipv4": "0.0.0.0/0", "2": "0.0.0.0/0", "ipv6": "::/0", "10": "::/0"}
_PROTOCOLS = {word: protocol for protocol in Protocol for word in (protocol.word, str(int(protocol)))} | {
    "th": Protocol.IP
}


def read_table(listing: str) -> tuple[MarkRule, ...] | None:
    """The rules in the table as nft lists it; None where it is not one of ours as `table_text` makes them."""
    if not listing:
        return ()
    chains: dict[str, list[MarkRule]] = {}
    chain: list[MarkRule] = []
    for line in map(str.strip, listing.splitlines()):
        if begin := _CHAIN.fullmatch(line):
            chain = chains.setdefault(begin[1], [])
        elif rule := _RULE.fullmatch(line):
            try:
                chain.append(_read_rule(rule))
            except (KeyError, ValueError):
                return None
        elif not _FRAME.fullmatch(line):
            return None
    prerouting, output = (chains.get(hook) for hook in _HOOKS)
    return tuple(prerouting) if prerouting is not None and prerouting == output else None


def _read_rule(found: re.Match[str]) -> MarkRule:
    ports: dict[str, int] = {}
    if found["first"] is not None:
        ports = {"first_port": int(found["first"]), "last_port": int(found["last"] or found["first"])}
    return MarkRule(
        mark=int(found["mark"], 16),
        network=ip_network(found["network"] or _ANY_NETWORK[found["family"]]),
        protocol=_PROTOCOLS[found["ported"] or found["protocol"] or "th"],
        **ports,
    )


def _listing() -> str:
    """The table as nft prints it, nothing where there is none."""
    try:
        return _nft("read the firewall marks", ["-n", "-s", "list", "table", "inet", TABLE])
    except PiranhaError:
        return ""


def _program() -> str | None:
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")


def _nft(what: str, arguments: list[str], text: str = "") -> str:
    program = _program()
    if program is None:
        mend = "install the package nftables, or use `dataplane = ebpf`"
        raise PiranhaError(f"cannot {what}: the program nft is not here", mend=mend)
    try:
        done = subprocess.run(
            [program, *arguments], input=text, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PiranhaError(f"cannot {what}: {error}") from error
    if done.returncode:
        said = " ".join(line.strip() for line in done.stderr.splitlines()[:2]) or f"nft ended with {done.returncode}"
        raise PiranhaError(f"cannot {what}: {said}", mend="the kernel needs nf_tables with the inet family")
    return done.stdout
