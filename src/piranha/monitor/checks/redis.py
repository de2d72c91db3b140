"""The Redis check: PING; a login where asked for (RESP, redis.io)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.checks.lines import greeted, perhaps_secured, readable
from piranha.monitor.conversation import Conversation, Found, Inbox, WrongAnswer, shown


def converse(probe: Probe, token: bytes) -> Conversation:
    return perhaps_secured(probe, _talk(probe))


def _talk(probe: Probe) -> Conversation:
    options = probe.options
    assert options is not None
    inbox = Inbox()
    if options.password is not None:
        words = [options.password] if options.login is None else [options.login, options.password]
        yield from _command(inbox, "AUTH", *words)
    yield from _command(inbox, "PING")
    return greeted("PONG", b"")


def _command(inbox: Inbox, *words: str) -> Conversation:
    parts = [word.encode("utf-8", "surrogateescape") for word in words]
    request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    line = yield from inbox.line(request)
    if line[:1] == b"-":
        raise WrongAnswer(f"{words[0]}: {readable(line[1:])}")
    if line != (b"+PONG" if words[0] == "PING" else b"+OK"):
        raise WrongAnswer(f"no Redis reply: {shown(line)}")
    return Found("")
