"""From `lvs.cf` to a check: what to probe and how to judge it (spec sections 2.5, 5.2, 5.3)."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import floor

from piranha.model.check import Probe, VerdictRules
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.service import Protocol
from piranha.monitor.escapes import strip_quotes, translate
from piranha.monitor.target import Check, Target

HTTP_PORT = 80
HTTP_SEND = b"GET / HTTP/1.0\r\n\r\n"
HTTP_EXPECT = b"HTTP"
_SAY_AND_HEAR = (CheckKind.TCP, CheckKind.UDP, CheckKind.TLS, CheckKind.PROGRAM)
SHORTEST_S = 0.05
"""Neither a timeout nor an interval is shorter. `timeout = 0` made the original divide by zero."""


def target_of(virtual: VirtualServer, server: RealServer) -> Target:
    """What to ask of one real server for one virtual server, and how to judge it.

    The `check` blocks of the real server count; without any those of the virtual server; without any of those either
    `send`, `expect` and `send_program`. Raises ValueError when the server has no address; the director never asks for
    such a server.
    """
    blocks = server.checks or virtual.checks
    if not blocks:
        probe, rules = probe_of(virtual, server)
        return Target(checks=(Check(probe=probe, rules=rules),))
    needed = server.checks_needed or virtual.checks_needed
    return Target(checks=tuple(_check_of(block, virtual, server) for block in blocks), needed=needed)


def _check_of(block: CheckBlock, virtual: VirtualServer, server: RealServer) -> Check:
    address = block.address or server.address
    if address is None:
        raise ValueError(f"real server {server.name} of {virtual.name} has no address to check")
    timeout_s = max(virtual.timeout_s if block.timeout_s is None else block.timeout_s, SHORTEST_S)
    expect_any = block.expect is not None and strip_quotes(block.expect) == "*"
    said = {
        "send": None if block.send is None else translate(block.send),
        "expect": None if block.expect is None or expect_any else translate(block.expect),
    }
    plain = block.kind in (CheckKind.TCP, CheckKind.UDP) and not (block.send_hex or block.expect_hex)
    is_program = block.kind is CheckKind.PROGRAM
    probe = Probe(
        address=address,
        port=server.port if block.port is None else block.port,
        protocol=Protocol.UDP if block.kind is CheckKind.UDP else Protocol.TCP,
        timeout_s=timeout_s,
        expect_any=expect_any,
        use_regex=block.use_regex and said["expect"] is not None,
        program=tuple(strip_quotes(block.command or "").split()) if is_program else (),
        dynamic_weight=block.dynamic_weight and is_program,
        options=None if plain or is_program else _what(block),
        source=block.source,
        mark=block.mark,
        **(said if block.kind in _SAY_AND_HEAR else {}),
    )
    rules = _rules_of(
        virtual,
        timeout_s,
        interval_s=block.interval_s,
        rise=block.rise,
        fall=block.fall,
    )
    return Check(probe=probe, rules=rules)


@lru_cache(maxsize=1024)
def _what(block: CheckBlock) -> CheckBlock:
    """A block without where and when: the same object for the same block, for many servers share it."""
    return replace(
        block,
        address=None,
        port=None,
        source=None,
        mark=0,
        timeout_s=None,
        interval_s=None,
        rise=None,
        fall=None,
    )


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


def _rules_of(
    virtual: VirtualServer,
    timeout_s: float,
    *,
    interval_s: float | None = None,
    rise: int | None = None,
    fall: int | None = None,
) -> VerdictRules:
    """The virtual server's rules, less what a check block says of its own."""
    if interval_s is None:
        interval_s = timeout_s if virtual.interval_s is None else virtual.interval_s
    interval_s = max(interval_s, SHORTEST_S)
    if rise is None:
        # Decimal times (0.3 s / 0.1 s) must not lose a whole step to binary rounding.
        rise = floor(virtual.reentry_s / interval_s + 1e-9) if virtual.rise is None else virtual.rise
    if fall is None:
        fall = 1 if virtual.fall is None else virtual.fall
    return VerdictRules(interval_s=interval_s, rise=max(rise, 1), fall=max(fall, 1))
