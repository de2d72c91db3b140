"""The SMTP check: greeting, EHLO or HELO; STARTTLS and a login where asked for (RFC 5321, 3207, 4954)."""

from __future__ import annotations

from base64 import b64encode

from piranha.model.check import Probe
from piranha.monitor.checks.lines import expected, greeted, perhaps_secured, refuse_breaks, reply, upgraded
from piranha.monitor.conversation import Conversation, Inbox

DEFAULT_HELO = "localhost"


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    assert probe.options is not None
    inbox = Inbox()
    yield from expected(inbox, b"", "greeting", 220)
    yield from _hello(probe, inbox)
    if probe.options.starttls:
        yield from expected(inbox, b"STARTTLS\r\n", "STARTTLS", 220)
    return (yield from upgraded(probe, lambda box: _logged_in(probe, box), inbox))


def _hello(probe: Probe, inbox: Inbox) -> Conversation:
    assert probe.options is not None
    name = refuse_breaks(probe.options.helo or DEFAULT_HELO)
    code, _ = yield from reply(inbox, b"EHLO " + name + b"\r\n")
    if code != 250:
        yield from expected(inbox, b"HELO " + name + b"\r\n", "HELO", 250)
    return greeted("greeted")


def _logged_in(probe: Probe, inbox: Inbox) -> Conversation:
    options = probe.options
    assert options is not None
    if options.starttls:
        yield from _hello(probe, inbox)
    if options.login is None:
        return greeted("greeted")
    login, password = refuse_breaks(options.login), refuse_breaks(options.password or "")
    plain = b64encode(b"\0" + login + b"\0" + password)
    yield from expected(inbox, b"AUTH PLAIN " + plain + b"\r\n", "login", 235)
    return greeted("logged in")
