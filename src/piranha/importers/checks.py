"""Checks of other balancers in the words of `lvs.cf`, and what of them it cannot say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

UNSPOKEN = {
    "https": "TLS is not spoken by the checks of lvs.cf",
    "dns": "lvs.cf has no DNS check",
    "ping": "lvs.cf has no ping check",
    "udp": "lvs.cf has no bytes in hexadecimal",
    "bfd": "lvs.cf has no BFD",
    "file": "lvs.cf has no check of a file",
}
GREETINGS: dict[str, tuple[str, bool]] = {
    "smtp": ("220", False),
    "ftp": ("220", False),
    "pop": ("+OK", False),
    "imap": ("* OK", False),
    "nntp": ("^20[01]", True),
}
"""What a healthy server says first, and whether that is a pattern."""
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
    remark: str = ""
    weaker: bool = False

    @property
    def is_connect(self) -> bool:
        return self.send is None and self.expect is None and self.send_program is None


CONNECT = Check()


def instead(kind: str, port: int | None = None) -> Check:
    """A TCP connect in place of a check that `lvs.cf` cannot say."""
    reason = UNSPOKEN.get(kind, f"lvs.cf has no {kind} check")
    return Check(port=port, remark=f"{reason}: a connect to the port is checked instead", weaker=True)


def greeting(kind: str, port: int | None = None) -> Check:
    """The first words of a server that speaks first."""
    expect, is_pattern = GREETINGS[kind]
    remark = f"only the server's greeting ({expect}) is checked"
    return Check(expect=expect, use_regex=is_pattern, port=port, remark=remark)


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
    port: int | None = None,
) -> Check:
    """A request and what its answer begins with; `body` is a pattern that the answer must contain too."""
    lines = [f"{method} {path or '/'} HTTP/1.0"]
    if host:
        lines.append(f"Host: {host}")
    request = "".join(escaped(line) + "\\r\\n" for line in (*lines, ""))
    expect = f"^HTTP/1[.][01] ({status_pattern(statuses)})"
    remarks = []
    if body and (_NOT_POSIX.search(body) or body[0] == "^" or body[-1] == "$"):
        remarks.append("the pattern is not POSIX (or anchored) and was left out: only the status is checked")
    elif body:
        expect += f".*({escaped(body)})"
    if '"' in expect and "'" in expect:
        expect = f"^HTTP/1[.][01] ({status_pattern(statuses)})"
        remarks.append("a pattern with both kinds of quotes does not fit into lvs.cf: only the status is checked")
    return Check(
        send=request,
        expect=expect,
        use_regex=True,
        port=port,
        remark="; ".join(remarks),
        weaker=bool(remarks),
    )


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


def status_pattern(ranges: Iterable[tuple[int, int]]) -> str:
    """Status codes as a pattern: whole hundreds and tens as classes of digits."""
    parts: list[str] = []
    for first, last in ranges:
        code = max(first, 100)
        while code <= min(last, 999):
            if code % 100 == 0 and code + 99 <= last:
                parts.append(f"{code // 100}[0-9][0-9]")
                code += 100
            elif code % 10 == 0 and code + 9 <= last:
                parts.append(f"{code // 10}[0-9]")
                code += 10
            else:
                parts.append(str(code))
                code += 1
    return "|".join(dict.fromkeys(parts)) or "[1-5][0-9][0-9]"
