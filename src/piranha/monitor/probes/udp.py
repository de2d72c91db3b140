"""The UDP check: send a datagram, look at the reply (spec section 5.3)."""

from __future__ import annotations

import asyncio
import socket

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.monitor.answer import Answer, Match
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.endpoint import open_socket, our_fault, reason_of, socket_address

# linux/in.h and linux/in6.h; Python's socket module does not name them.
_IP_RECVERR = 11
_IPV6_RECVERR = 25
_MAX_DATAGRAM_BYTES = 65_536


async def check(probe: Probe, clock: Clock) -> Outcome:
    """Send `send` (an empty datagram where it is not set) and wait for one reply, at most `timeout_s`.

    With `expect` the reply must match, and silence is a failure. Without it any reply is a success, and so is silence
    for the whole time, because UDP owes nobody an answer; only an ICMP error (port or host unreachable) is a failure.

    Raises CheckImpossibleError when nothing could be learnt about the server.
    """
    answer = Answer(probe)
    silence_is_failure = probe.expect is not None or probe.expect_any
    began_at = clock.now()
    ok, reason, answered = await _converse(probe, answer, silence_is_failure)
    return Outcome(ok=ok, reason=reason, duration_s=clock.now() - began_at, answered=answered)


async def _converse(probe: Probe, answer: Answer, silence_is_failure: bool) -> tuple[bool, str, bool]:
    loop = asyncio.get_running_loop()
    with open_socket(probe, socket.SOCK_DGRAM) as sock:
        # Without this the kernel keeps "host unreachable" to itself.
        if probe.address.version == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        try:
            async with asyncio.timeout(probe.timeout_s):
                await loop.sock_connect(sock, socket_address(probe))
                await loop.sock_sendall(sock, probe.send or b"")
                data = await loop.sock_recv(sock, _MAX_DATAGRAM_BYTES)
        except TimeoutError:
            if silence_is_failure:
                return False, f"no answer within {probe.timeout_s:g} s: READ timed out", False
            return True, f"silent for {probe.timeout_s:g} s, not unreachable", False
        except OSError as error:
            if (lack := our_fault(error)) is not None:
                raise CheckImpossibleError(f"cannot send: {lack}") from error
            reason, answered = reason_of(error)
            return False, "port unreachable" if answered else reason, answered
    match = answer.feed(data) if data else Match.MORE
    if match is Match.MORE:
        match = answer.end()
    return (True, "answered as expected", True) if match is Match.YES else (False, _wrong(answer, data), True)


def _wrong(answer: Answer, data: bytes) -> str:
    return answer.describe() if data else "an empty datagram as answer"
