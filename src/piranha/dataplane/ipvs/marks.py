"""Firewall marks in nftables: the rules that give packets the marks which services are named by.

They stand in a table of our own, `inet piranha_marks`, which is replaced as a whole in one transaction; no other table is
read or written. Marks are set before IPVS looks at a packet: in prerouting for what comes in, in output for local clients.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from piranha.base.errors import PiranhaError
from piranha.model.mark import MarkRule, PortRange
from piranha.model.service import Protocol

TABLE = "piranha_marks"
_HOOKS = ("prerouting", "output")
_TIMEOUT_S = 30.0

logger = logging.getLogger(__name__)


class MarkTable:
    """The table as it was last installed. It belongs to the network namespace of the thread that calls."""

    def __init__(self) -> None:
        self._rules: tuple[MarkRule, ...] = ()
        self._listing = ""

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
    lines = [f"\t\t{rule_text(rule)}" for rule in rules]
    chains = [
        "\n".join(
            (
                f"\tchain {hook} {{",
                f"\t\ttype filter hook {hook} priority mangle; policy accept;",
                *lines,
                "\t}",
            )
        )
        for hook in _HOOKS
    ]
    return "\n".join((removal_text().rstrip("\n"), f"table inet {TABLE} {{", *chains, "}")) + "\n"


def removal_text() -> str:
    """The transaction for `nft -f` that takes the table away, whether or not there is one."""
    return f"add table inet {TABLE}\ndelete table inet {TABLE}\n"


def rule_text(rule: MarkRule) -> str:
    """One rule of nft. It accepts what it marked, so that the first match counts; other tables still see the packet."""
    words = ["ip daddr" if rule.family == 4 else "ip6 daddr", _network_text(rule)]
    if rule.network.prefixlen == 0:
        words = ["meta nfproto", "ipv4" if rule.family == 4 else "ipv6"]
    if rule.ports:
        words += [rule.protocol.word, "dport", f"{{ {', '.join(map(str, _merged(rule.ports)))} }}"]
    elif rule.protocol is not Protocol.IP:
        words += ["meta l4proto", rule.protocol.word]
    return " ".join((*words, f"meta mark set {rule.mark:#x} accept"))


def _network_text(rule: MarkRule) -> str:
    network = rule.network
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _merged(ports: Iterable[PortRange]) -> list[PortRange]:
    """The same ports without overlaps, in order: a set of nft may not name a port twice."""
    merged: list[PortRange] = []
    for span in sorted(ports):
        if merged and span.first <= merged[-1].last + 1:
            merged[-1] = PortRange(merged[-1].first, max(merged[-1].last, span.last))
        else:
            merged.append(span)
    return merged


def _listing() -> str:
    """The table as nft prints it, nothing where there is none."""
    try:
        return _nft("read the firewall marks", ["-s", "list", "table", "inet", TABLE])
    except PiranhaError:
        return ""


def _program() -> str | None:
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")


def _nft(what: str, arguments: list[str], text: str = "") -> str:
    program = _program()
    if program is None:
        raise PiranhaError(
            f"cannot {what}: the program nft is not here",
            mend="install the package nftables, or use `dataplane = ebpf`",
        )
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
