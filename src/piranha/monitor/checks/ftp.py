"""The FTP check: greeting; a login where asked for (RFC 959, 4217)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.checks.lines import expected, greeted, perhaps_secured, refuse_breaks, upgraded
from piranha.monitor.conversation import Conversation, Inbox


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    assert probe.options is not None
    inbox = Inbox()
    yield from expected(inbox, b"", "greeting", 220)
    if probe.options.starttls:
        yield from expected(inbox, b"AUTH TLS\r\n", "AUTH TLS", 234)
    return (yield from upgraded(probe, lambda box: _logged_in(probe, box), inbox))


def _logged_in(probe: Probe, inbox: Inbox) -> Conversation:
    options = probe.options
    assert options is not None
    if options.login is None:
        return greeted("greeted")
    code, _ = yield from expected(inbox, b"USER " + refuse_breaks(options.login) + b"\r\n", "login", 230, 331)
    if code == 331:
        password = refuse_breaks(options.password or "")
        yield from expected(inbox, b"PASS " + password + b"\r\n", "login", 230, 202)
    return greeted("logged in")
