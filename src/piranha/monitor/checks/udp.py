"""The UDP check: send a datagram, look at the reply (spec section 5.3)."""

from __future__ import annotations

from piranha.model.check import Probe
from piranha.monitor.answer import Answer, Match
from piranha.monitor.conversation import Conversation, Found, Silence, WrongAnswer, shown


def converse(probe: Probe, token: bytes) -> Conversation:
    """Send `send` (an empty datagram where it is not set) and look at one reply.

    With `expect` or `expect_hex` the reply must match, and silence is a failure. Without it any reply is a success, and so is silence
    for the whole time, because UDP owes nobody an answer; only an ICMP error (port or host unreachable) is a failure.
    """
    options = probe.options
    if options is None:
        return _compare(probe, Answer(probe))
    payload = bytes.fromhex(options.send_hex) if options.send_hex else probe.send or b""
    return _compare_bytes(probe, payload, options.expect_hex or "")


def _compare(probe: Probe, answer: Answer) -> Conversation:
    try:
        data = yield probe.send or b""
    except Silence:
        if probe.expect is not None or probe.expect_any:
            raise
        return Found(f"silent for {probe.timeout_s:g} s, not unreachable")
    match = answer.feed(data) if data else Match.MORE
    if match is Match.MORE:
        match = answer.end()
    if match is Match.YES:
        return Found("answered as expected")
    raise WrongAnswer(answer.describe() if data else "an empty datagram as answer")


def _compare_bytes(probe: Probe, payload: bytes, pattern: str) -> Conversation:
    """The reply must begin with `pattern`: hexadecimal digits, `?` for any."""
    try:
        data = yield payload
    except Silence:
        if pattern:
            raise
        return Found(f"silent for {probe.timeout_s:g} s, not unreachable")
    digits = data.hex()
    wanted = pattern.replace(" ", "").lower()
    if len(digits) < len(wanted):
        raise WrongAnswer(f"too short: {len(data)} of {(len(wanted) + 1) // 2} bytes")
    if any(want not in ("?", digit) for want, digit in zip(wanted, digits, strict=False)):
        raise WrongAnswer(f"wrong answer {shown(data)}")
    return Found("answered as expected")
