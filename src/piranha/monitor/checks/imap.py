"""The IMAP check: greeting; a login where asked for (RFC 9051)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.checks.lines import greeted, perhaps_secured, readable, refuse_breaks, upgraded
from piranha.monitor.conversation import MAX_LINES, Conversation, Found, Inbox, WrongAnswer, shown

_BYE = b"z LOGOUT\r\n"


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    assert probe.options is not None
    inbox = Inbox()
    line = yield from inbox.line()
    if not line.upper().startswith((b"* OK", b"* PREAUTH")):
        raise WrongAnswer(f"no IMAP greeting: {shown(line)}")
    if probe.options.starttls:
        yield from _command(inbox, b"a", b"STARTTLS")
    return (yield from upgraded(probe, lambda box: _logged_in(probe, box), inbox))


def _logged_in(probe: Probe, inbox: Inbox) -> Conversation:
    options = probe.options
    assert options is not None
    if options.login is None:
        return greeted("greeted", _BYE)
    yield from _command(inbox, b"b", b"LOGIN " + _quoted(options.login) + b" " + _quoted(options.password or ""))
    return greeted("logged in", _BYE)


def _command(inbox: Inbox, tag: bytes, command: bytes) -> Conversation:
    what = command.partition(b" ")[0].decode()
    line = yield from inbox.line(tag + b" " + command + b"\r\n")
    for _ in range(MAX_LINES):
        if line.startswith(tag + b" "):
            if line[len(tag) + 1 :].upper().startswith(b"OK"):
                return Found("")
            raise WrongAnswer(f"{what}: {readable(line[len(tag) + 1 :])}")
        if line[:2] not in (b"* ", b"+ "):
            raise WrongAnswer(f"no IMAP reply: {shown(line)}")
        line = yield from inbox.line()
    raise WrongAnswer(f"{what}: more than {MAX_LINES} lines without an end")


def _quoted(text: str) -> bytes:
    return b'"' + refuse_breaks(text).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
