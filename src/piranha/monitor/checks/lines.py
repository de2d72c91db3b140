"""Protocols of lines with numbered replies (RFC 5321 section 4.2): SMTP, FTP, NNTP."""

from __future__ import annotations

from collections.abc import Callable, Generator

from piranha.model.check import Probe
from piranha.monitor.checks.tls import secured
from piranha.monitor.conversation import MAX_LINES, Conversation, Found, Inbox, Reconnect, WrongAnswer, shown

Reply = Generator[bytes | Reconnect, bytes, tuple[int, bytes]]
MOST_SHOWN = 60


def reply(inbox: Inbox, send: bytes = b"") -> Reply:
    """Send, then read one reply of one or more lines: its number and its last line's text."""
    for _ in range(MAX_LINES):
        line = yield from inbox.line(send)
        send = b""
        code = line[:3]
        if not (len(code) == 3 and code.isdigit()) or line[3:4] not in (b"", b" ", b"-"):
            if code[:1] == b" " or not code:
                continue
            raise WrongAnswer(f"no numbered reply: {shown(line)}")
        if line[3:4] != b"-":
            return int(code), line[4:]
    raise WrongAnswer(f"a reply of more than {MAX_LINES} lines")


def expected(inbox: Inbox, send: bytes, what: str, *codes: int) -> Reply:
    """A reply that must have one of these numbers."""
    code, text = yield from reply(inbox, send)
    if code not in codes:
        raise WrongAnswer(f"{what}: {code} {readable(text)}".rstrip())
    return code, text


def readable(text: bytes) -> str:
    """A server's words for a reason: printable, and not too many."""
    return "".join(c if c.isprintable() else "?" for c in text[:MOST_SHOWN].decode("utf-8", "replace"))


def perhaps_secured(probe: Probe, talk: Conversation) -> Conversation:
    """The conversation inside TLS where the block says `tls = 1`."""
    assert probe.options is not None
    return secured(probe, talk) if probe.options.tls else talk


def upgraded(probe: Probe, after: Callable[[Inbox], Conversation], inbox: Inbox) -> Conversation:
    """The rest of a conversation, inside TLS from here on where the block says `starttls = 1`."""
    assert probe.options is not None
    if not probe.options.starttls:
        return (yield from after(inbox))
    if inbox.pending:
        # Bytes sent before TLS began would be read as if TLS had protected them.
        raise WrongAnswer("spoke on after it had agreed to TLS")
    return (yield from secured(probe, after(Inbox())))


def refuse_breaks(text: str) -> bytes:
    """A login or password as bytes; one with a line break could add commands of its own."""
    if any(letter in text for letter in "\r\n\x00"):
        raise WrongAnswer("a login or password of several lines cannot be sent")
    return text.encode("utf-8", "surrogateescape")


def greeted(reason: str, farewell: bytes = b"QUIT\r\n") -> Found:
    return Found(reason, farewell)
