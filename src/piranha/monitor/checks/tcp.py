"""The TCP check: connect, send, expect (spec section 5.3)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.answer import Answer, Match
from piranha.monitor.conversation import Conversation, Found, WrongAnswer


def converse(probe: Probe, token: bytes) -> Conversation:
    """Send where `send` is set; compare where `expect` is set."""
    if probe.expect is None and not probe.expect_any:
        return _connect_only(probe)
    return _compare(probe, Answer(probe))


def _connect_only(probe: Probe) -> Conversation:
    # What is sent goes out with the goodbye: nobody waits for an answer.
    return Found("connected", farewell=probe.send or b"")
    yield b""


def _compare(probe: Probe, answer: Answer) -> Conversation:
    match, words = Match.MORE, probe.send or b""
    while match is Match.MORE:
        data = yield words
        words = b""
        match = answer.feed(data) if data else answer.end()
    if match is Match.NO:
        raise WrongAnswer(answer.describe())
    return Found("answered as expected")
