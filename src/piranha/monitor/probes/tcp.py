"""The TCP check: connect, send, expect (spec section 5.3)."""

from __future__ import annotations

import asyncio
import socket
import struct

from piranha.base.clock import Clock
from piranha.model.check import Probe
from piranha.monitor.answer import Answer, Match
from piranha.monitor.outcome import CheckImpossibleError, Outcome
from piranha.monitor.probes.endpoint import open_socket, our_fault, reason_of, socket_address

_READ_BYTES = 16_384
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def check(probe: Probe, clock: Clock) -> Outcome:
    """Connect; send where `send` is set; compare where `expect` is set. All of it within `timeout_s`.

    Raises CheckImpossibleError when nothing could be learnt about the server.
    """
    answer = Answer(probe) if probe.expect is not None or probe.expect_any else None
    began_at = clock.now()
    ok, reason, answered = await _converse(probe, answer)
    return Outcome(ok=ok, reason=reason, duration_s=clock.now() - began_at, answered=answered)


async def _converse(probe: Probe, answer: Answer | None) -> tuple[bool, str, bool]:
    loop = asyncio.get_running_loop()
    connected = False
    with open_socket(probe, socket.SOCK_STREAM) as sock:
        if not probe.send:
            # Nothing is owed to the server, so the connection need not linger in TIME_WAIT here.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        try:
            async with asyncio.timeout(probe.timeout_s):
                await loop.sock_connect(sock, socket_address(probe))
                if sock.getsockname() == sock.getpeername():
                    # A closed port of this machine inside the local port range can be "connected" to itself.
                    return False, "connection refused", True
                connected = True
                if probe.send:
                    await loop.sock_sendall(sock, probe.send)
                if answer is None:
                    return True, "connected", True
                return await _listen(sock, answer)
        except TimeoutError:
            if not connected:
                return False, f"CONNECT timed out after {probe.timeout_s:g} s", False
            return False, f"connected, no {_missing(answer)} within {probe.timeout_s:g} s: READ timed out", False
        except OSError as error:
            if (lack := our_fault(error)) is not None and not connected:
                raise CheckImpossibleError(f"cannot connect: {lack}") from error
            reason, answered = reason_of(error)
            return False, f"connected, then {reason}" if connected else reason, answered


async def _listen(sock: socket.socket, answer: Answer) -> tuple[bool, str, bool]:
    loop = asyncio.get_running_loop()
    match = Match.MORE
    while match is Match.MORE:
        data = await loop.sock_recv(sock, min(answer.wanted_bytes, _READ_BYTES))
        match = answer.feed(data) if data else answer.end()
    return (True, "answered as expected", True) if match is Match.YES else (False, answer.describe(), True)


def _missing(answer: Answer | None) -> str:
    return "answer" if answer is None or answer.received_bytes == 0 else "matching answer"
