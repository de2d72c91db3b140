"""Checks of other balancers in the words of `lvs.cf`, and what of them it cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from piranha.config.check_directives import MAYBE_TLS
from piranha.model.check_block import CheckBlock, CheckKind, StatusRange

KINDS = {
    "https": CheckKind.HTTPS,
    "dns": CheckKind.DNS,
    "udp": CheckKind.UDP,
    "ping": CheckKind.ICMP,
    "smtp": CheckKind.SMTP,
    "submission": CheckKind.SMTP,
    "ftp": CheckKind.FTP,
    "pop": CheckKind.POP3,
    "pops": CheckKind.POP3,
    "imap": CheckKind.IMAP,
    "imaps": CheckKind.IMAP,
    "nntp": CheckKind.NNTP,
    "ldap": CheckKind.LDAP,
    "ldaps": CheckKind.LDAP,
    "mysql": CheckKind.MYSQL,
    "pgsql": CheckKind.POSTGRESQL,
    "postgresql": CheckKind.POSTGRESQL,
    "redis": CheckKind.REDIS,
    "sip": CheckKind.SIP,
}
"""What others call the kinds of checks that have a block of their own."""
_WITHIN_TLS = frozenset(("pops", "imaps", "ldaps"))
_INSIDE_TLS = {CheckKind.TCP: CheckKind.TLS, CheckKind.HTTP: CheckKind.HTTPS}
_SHELL = re.compile(r"[|;&><`$]")
_NOT_POSIX = re.compile(r"\\[A-Za-z0-9]|\(\?|[*+?}]\?|[*+?}]\+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A check as `lvs.cf` has it. `remark` says how it differs from the source's; then it is `weaker` or only other.

    Equal checks are the same one, so that the servers of a virtual server can share it.
    """

    send: str | None = None
    expect: str | None = None
    use_regex: bool = False
    send_program: str | None = None
    port: int | None = None
    block: CheckBlock | None = None
    remark: str = ""
    weaker: bool = False

    @property
    def is_connect(self) -> bool:
        said = (self.send, self.expect, self.send_program, self.block)
        return said == (None, None, None, None)

    @property
    def as_block(self) -> CheckBlock:
        """The same as a `check` block, which may stand beside others, and in a real server."""
        if self.block is not None:
            return self.block
        if self.send_program is not None:
            return CheckBlock(kind=CheckKind.PROGRAM, command=self.send_program, port=self.port)
        return CheckBlock(
            kind=CheckKind.TCP, send=self.send, expect=self.expect, use_regex=self.use_regex, port=self.port
        )

    def with_times(self, interval_s: float, timeout_s: float, fall: int, rise: int) -> Check:
        """The same as a block with times of its own."""
        block = replace(self.as_block, interval_s=interval_s, timeout_s=timeout_s, fall=fall, rise=rise)
        return Check(block=block, remark=self.remark, weaker=self.weaker)

    def within_tls(self, sni: str = "") -> Check:
        """The same inside TLS; itself where its kind is never inside TLS."""
        block = self.as_block
        inside = _INSIDE_TLS.get(block.kind)
        if inside is not None:
            block = replace(block, kind=inside)
        elif block.kind in MAYBE_TLS:
            block = replace(block, tls=True)
        elif block.kind is not CheckKind.HTTPS:
            return self
        return Check(block=replace(block, sni=sni or block.sni), remark=self.remark, weaker=self.weaker)


CONNECT = Check()


def of_kind(kind: str, port: int | None = None) -> Check:
    """A check by the name that others give it; a TCP connect where `lvs.cf` has none like it."""
    found = KINDS.get(kind)
    if found is None:
        return Check(
            port=port, remark=f"lvs.cf has no {kind} check: a connect to the port is checked instead", weaker=True
        )
    return Check(block=CheckBlock(kind=found, tls=kind in _WITHIN_TLS, port=port))


def program(command: str, port: int | None = None, *, remark: str = "") -> Check:
    """A program of the user's. It gets no shell, and its exit status counts."""
    # Only one kind of quotes fits into a text of lvs.cf.
    if '"' in command and "'" in command:
        reason = "a command with both kinds of quotes does not fit into lvs.cf"
        return Check(port=port, remark=f"{reason}: a connect to the port is checked instead", weaker=True)
    said = "it runs as user nobody and without a shell"
    if _SHELL.search(command) or '"' in command or "'" in command:
        said += ", so that quotes and `|;&><$` have no meaning: put the command into a script"
    return Check(send_program=command, port=port, remark=f"{remark}; {said}" if remark else said)


def http(
    path: str,
    *,
    host: str = "",
    statuses: Iterable[tuple[int, int]] = ((200, 299),),
    method: str = "GET",
    body: str = "",
    digest: str = "",
    reject: bool = False,
    tls: bool = False,
    headers: Iterable[str] = (),
    port: int | None = None,
) -> Check:
    """A page, its status, and a pattern that its body must have, or with `reject` must not have."""
    remark = ""
    if body and _NOT_POSIX.search(body):
        body, remark = "", "the pattern is not POSIX and was left out: only the status is checked"
    pattern = escaped(body) if body else None
    block = CheckBlock(
        kind=CheckKind.HTTPS if tls else CheckKind.HTTP,
        path=path or "/",
        host=host or None,
        method=method,
        headers=tuple(headers),
        status=tuple(StatusRange(max(first, 100), min(last, 599)) for first, last in statuses),
        expect=None if reject else pattern,
        reject=pattern if reject else None,
        use_regex=pattern is not None,
        digest=digest or None,
        port=port,
    )
    return Check(block=block, remark=remark, weaker=bool(remark))


def exchange(send: str, expect: str, *, is_pattern: bool, port: int | None = None) -> Check:
    """Bytes to send and what must come back; without either, a connect."""
    sent, wanted = escaped(send) if send else None, escaped(expect) if expect else None
    if wanted is not None and is_pattern and _NOT_POSIX.search(expect):
        return Check(
            send=sent,
            expect="*",
            port=port,
            remark="the pattern is not POSIX and was left out: any answer counts as good",
            weaker=True,
        )
    return Check(send=sent, expect=wanted, use_regex=wanted is not None and is_pattern, port=port)


def escaped(text: str) -> str:
    r"""A text with `\r`, `\n` and `\t` for what a line of lvs.cf cannot hold, as `send` and `expect` read it."""
    return text.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t").replace("\0", "")
