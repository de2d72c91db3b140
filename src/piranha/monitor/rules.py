"""From `lvs.cf` to a check: what to probe and how to judge it (spec sections 2.5, 5.2, 5.3)."""

from __future__ import annotations

from math import floor

from piranha.model.check import Probe, VerdictRules
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import Protocol
from piranha.monitor.escapes import strip_quotes, translate

HTTP_PORT = 80
HTTP_SEND = b"GET / HTTP/1.0\r\n\r\n"
HTTP_EXPECT = b"HTTP"
SHORTEST_S = 0.05
"""Neither a timeout nor an interval is shorter. `timeout = 0` made the original divide by zero."""


def probe_of(virtual: VirtualServer, server: RealServer) -> tuple[Probe, VerdictRules]:
    """The check of one real server for one virtual server.

    `timeout` is the deadline of the whole check and, without an `interval` directive, also the time between checks.
    The HTTP default applies where the *virtual server's* port is 80 (whatever the real server's is), its protocol tcp,
    and no send, expect or send_program is set.

    Raises ValueError when the server has no address; the director never asks for such a server.
    """
    if server.address is None:
        raise ValueError(f"real server {server.name} of {virtual.name} has no address to check")
    timeout_s = max(virtual.timeout_s, SHORTEST_S)
    program = tuple(strip_quotes(virtual.send_program).split()) if virtual.send_program is not None else ()
    send: bytes | None = None
    expect: bytes | None = None
    expect_any = False
    if virtual.expect is not None:
        expect_any = strip_quotes(virtual.expect) == "*"
        expect = None if expect_any else translate(virtual.expect)
    if virtual.send is not None and not program:
        send = translate(virtual.send)
    use_regex = virtual.use_regex and expect is not None
    if _is_http_by_default(virtual) and not program:
        send, expect = HTTP_SEND, HTTP_EXPECT
    probe = Probe(
        address=server.address,
        port=server.port,
        protocol=virtual.protocol,
        timeout_s=timeout_s,
        send=send,
        expect=expect,
        expect_any=expect_any,
        use_regex=use_regex,
        program=program,
    )
    return probe, _rules_of(virtual, timeout_s)


def _is_http_by_default(virtual: VirtualServer) -> bool:
    nothing_set = virtual.send is None and virtual.expect is None
    return nothing_set and virtual.protocol is Protocol.TCP and virtual.port == HTTP_PORT


def _rules_of(virtual: VirtualServer, timeout_s: float) -> VerdictRules:
    interval_s = timeout_s if virtual.interval_s is None else max(virtual.interval_s, SHORTEST_S)
    # Decimal times (0.3 s / 0.1 s) must not lose a whole step to binary rounding.
    rise = floor(virtual.reentry_s / interval_s + 1e-9) if virtual.rise is None else virtual.rise
    fall = 1 if virtual.fall is None else virtual.fall
    return VerdictRules(interval_s=interval_s, rise=max(rise, 1), fall=max(fall, 1))
