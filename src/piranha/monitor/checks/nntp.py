"""The NNTP check: greeting; a login where asked for (RFC 3977, 4643)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.checks.lines import expected, greeted, perhaps_secured, refuse_breaks
from piranha.monitor.conversation import Conversation, Inbox


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    options = probe.options
    assert options is not None
    inbox = Inbox()
    yield from expected(inbox, b"", "greeting", 200, 201)
    if options.login is None:
        return greeted("greeted")
    login = b"AUTHINFO USER " + refuse_breaks(options.login) + b"\r\n"
    code, _ = yield from expected(inbox, login, "login", 281, 381)
    if code == 381:
        password = b"AUTHINFO PASS " + refuse_breaks(options.password or "") + b"\r\n"
        yield from expected(inbox, password, "login", 281)
    return greeted("logged in")
