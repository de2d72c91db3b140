"""The DNS check: a question, and an answer without error; the expected one where asked for (RFC 1035)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from piranha.model.check import Probe
from piranha.monitor.conversation import Conversation, Found, WrongAnswer
from piranha.monitor.escapes import strip_quotes
from piranha.monitor.outcome import CheckImpossibleError

if TYPE_CHECKING:
    from dns.message import Message

_MOST_SHOWN = 80


def converse(probe: Probe, token: bytes) -> Conversation:
    # dnspython is imported by whoever has such a check, and by nobody else.
    import dns.exception
    import dns.message

    options = probe.options
    assert options is not None
    try:
        question = dns.message.make_query(options.name or ".", str(options.record), id=int.from_bytes(token[:2], "big"))
        wire = question.to_wire()
    except (dns.exception.DNSException, ValueError) as error:
        raise CheckImpossibleError(f"`{options.name}` cannot be asked for: {error}") from error
    return _talk(question, wire, None if options.expect is None else strip_quotes(options.expect))


def _talk(question: Message, wire: bytes, expect: str | None) -> Conversation:
    data = yield wire
    while (reply := _parsed(data)) is not None and not question.is_response(reply):
        data = yield b""
    if reply is None:
        raise WrongAnswer("no DNS message")
    status = _name_of(int(reply.rcode()))
    if status != "NOERROR":
        raise WrongAnswer(f"answers {status}")
    texts = tuple(record.to_text() for rrset in reply.answer for record in rrset)
    if expect is None:
        return Found(f"answered with {len(texts)} records")
    if any(_plain(text) == _plain(expect) for text in texts):
        return Found("answered as expected")
    raise WrongAnswer(f"answers {', '.join(texts)[:_MOST_SHOWN] or 'with no record'}, not {expect}")


def _parsed(data: bytes) -> Message | None:
    import dns.message

    try:
        return dns.message.from_wire(data, ignore_trailing=True)
    except Exception:
        # A stranger's bytes in a library's parser: whatever it thinks of them, they are no answer.
        return None


@lru_cache(maxsize=64)
def _name_of(code: int) -> str:
    import dns.rcode

    return dns.rcode.to_text(dns.rcode.Rcode.make(code))


def _plain(text: str) -> str:
    return text.replace('"', "").rstrip(".").lower()
