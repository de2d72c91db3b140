"""The SIP check: OPTIONS, answered with a good status (RFC 3261 section 11)."""

from __future__ import annotations

import re

from piranha.model.address import IPAddress
from piranha.model.check import Probe
from piranha.model.check_block import StatusRange
from piranha.monitor.checks.lines import perhaps_secured, refuse_breaks
from piranha.monitor.conversation import MAX_LINES, Conversation, Found, Inbox, WrongAnswer, shown

_STATUS = re.compile(rb"SIP/2\.0 ([1-9][0-9]{2})(?: |\Z)")
_GOOD = (StatusRange(200, 299),)


def converse(probe: Probe, token: bytes) -> Conversation:
    tag = token[:8].hex()
    options = probe.options
    assert options is not None
    return perhaps_secured(probe, _by_stream(probe, tag)) if options.tls else _by_datagram(probe, tag)


def request(probe: Probe, tag: str) -> bytes:
    """The reply comes back to the address that we ask from (RFC 3581), whatever the header says."""
    options = probe.options
    assert options is not None
    host = options.host or _literal(probe.address)
    user = refuse_breaks(options.login or "piranha").decode("utf-8", "surrogateescape")
    transport = "TLS" if options.tls else "UDP"
    ours = _literal(probe.source) if probe.source else "piranha.invalid"
    lines = (
        f"OPTIONS sip:{user}@{host} SIP/2.0",
        f"Via: SIP/2.0/{transport} {ours};branch=z9hG4bK{tag};rport",
        "Max-Forwards: 70",
        f"From: <sip:piranha@{ours}>;tag={tag}",
        f"To: <sip:{user}@{host}>",
        f"Call-ID: {tag}@{ours}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:piranha@{ours}>",
        "Accept: application/sdp",
        "User-Agent: piranha",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def _by_datagram(probe: Probe, tag: str) -> Conversation:
    data = yield request(probe, tag)
    while True:
        if tag.encode() in data[:8192] and (status := _status_of(data[:64].partition(b"\r\n")[0])) >= 200:
            return _judge(probe, status)
        if not data.startswith(b"SIP/2.0 "):
            raise WrongAnswer(f"no SIP reply: {shown(data)}")
        data = yield b""


def _by_stream(probe: Probe, tag: str) -> Conversation:
    inbox = Inbox()
    line = yield from inbox.line(request(probe, tag))
    for _ in range(MAX_LINES):
        status = _status_of(line)
        if status >= 200:
            return _judge(probe, status)
        # An interim reply: the next one begins after its blank line.
        while (yield from inbox.line()):
            pass
        line = yield from inbox.line()
    raise WrongAnswer("nothing but interim replies")


def _status_of(line: bytes) -> int:
    match = _STATUS.match(line)
    if match is None:
        raise WrongAnswer(f"no SIP reply: {shown(line)}")
    return int(match[1])


def _judge(probe: Probe, status: int) -> Found:
    assert probe.options is not None
    if any(status in allowed for allowed in probe.options.status or _GOOD):
        return Found(f"status {status}")
    raise WrongAnswer(f"status {status}")


def _literal(address: IPAddress) -> str:
    return str(address) if address.version == 4 else f"[{str(address).partition('%')[0]}]"
