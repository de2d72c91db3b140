"""The POP3 check: greeting; a login where asked for (RFC 1939, 2595)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.checks.lines import greeted, perhaps_secured, readable, refuse_breaks, upgraded
from piranha.monitor.conversation import Conversation, Found, Inbox, WrongAnswer, shown


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    assert probe.options is not None
    inbox = Inbox()
    yield from _fine(inbox, b"", "greeting")
    if probe.options.starttls:
        yield from _fine(inbox, b"STLS\r\n", "STLS")
    return (yield from upgraded(probe, lambda box: _logged_in(probe, box), inbox))


def _logged_in(probe: Probe, inbox: Inbox) -> Conversation:
    options = probe.options
    assert options is not None
    if options.login is None:
        return greeted("greeted")
    yield from _fine(inbox, b"USER " + refuse_breaks(options.login) + b"\r\n", "login")
    yield from _fine(inbox, b"PASS " + refuse_breaks(options.password or "") + b"\r\n", "login")
    return greeted("logged in")


def _fine(inbox: Inbox, send: bytes, what: str) -> Conversation:
    line = yield from inbox.line(send)
    if line[:3] == b"+OK":
        return Found("")
    if line[:4] == b"-ERR":
        raise WrongAnswer(f"{what}: {readable(line)}")
    raise WrongAnswer(f"no POP3 reply: {shown(line)}")
