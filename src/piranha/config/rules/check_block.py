"""Rules on `check` blocks: what contradicts itself, what has no effect, what could not be carried out."""

from __future__ import annotations

from collections.abc import Iterator

from piranha.config.places import BlockPlaces
from piranha.config.rules.advice import Advice, PlacedVirtual
from piranha.config.rules.check import pattern_error
from piranha.config.values import format_time
from piranha.model.check_block import CheckBlock, CheckKind, ChecksNeeded

_OLD = ("send", "expect", "use_regex", "send_program")
_WITHOUT_PORT = (CheckKind.ICMP, CheckKind.PROGRAM, CheckKind.FILE, CheckKind.NONE)


def beside_old_directives(virtual: PlacedVirtual) -> Iterator[Advice]:
    """The old way of saying it counts for nothing beside the new one."""
    every_server = bool(virtual.active_servers) and all(server.checks for server, _ in virtual.active_servers)
    if not (virtual.value.checks or every_server):
        return
    for name in _OLD:
        if name in virtual.places.values:
            message = f"{name} has no effect beside `check` blocks"
            yield Advice(virtual.places.of(name), message, "remove the line, or write it into a `check tcp` block")


def needed(virtual: PlacedVirtual) -> Iterator[Advice]:
    own, message = virtual.value.checks, "checks_needed has no effect with fewer than two `check` blocks"
    mend = "remove the line, or add a `check` block"
    some = [own, *(server.checks or own for server, _ in virtual.active_servers)]
    if virtual.value.checks_needed is ChecksNeeded.ANY and all(len(checks) < 2 for checks in some):
        yield Advice(virtual.places.of("checks_needed"), message, mend)
    for server, places in virtual.active_servers:
        if server.checks_needed is not None and len(server.checks or own) < 2:
            yield Advice(places.of("checks_needed"), message, mend)


def blocks(virtual: PlacedVirtual) -> Iterator[Advice]:
    for check, places in _all(virtual):
        yield from _texts(check, places)
        yield from _certificates(check, places)
        yield from _times(virtual, check, places)
        if check.mark and check.kind in (CheckKind.PROGRAM, CheckKind.FILE, CheckKind.NONE):
            yield Advice(
                places.of("packet_mark"), f"packet_mark has no effect on a `{check.kind}` check", "remove the line"
            )
        if check.source is not None and check.address is not None and check.source.version != check.address.version:
            yield Advice(places.of("source"), "source and address are of two IP versions", "write one of the same")


def ports(virtual: PlacedVirtual) -> Iterator[Advice]:
    """A service of every port, or of a mark, says by itself no port for the checks."""
    for server, places in virtual.active_servers:
        for check in server.checks or virtual.value.checks:
            if check.port is None and server.port == 0 and check.kind not in _WITHOUT_PORT:
                message = f"real server `{server.name}` has no port that the `{check.kind}` check could ask"
                yield Advice(places.header, message, "write `port = N` in the `check` block")


def _all(virtual: PlacedVirtual) -> Iterator[tuple[CheckBlock, BlockPlaces]]:
    yield from zip(virtual.value.checks, virtual.places.checks, strict=True)
    for server, places in virtual.active_servers:
        yield from zip(server.checks, places.checks, strict=True)


def _texts(check: CheckBlock, places: BlockPlaces) -> Iterator[Advice]:
    for name, text in (("expect", check.expect), ("reject", check.reject)):
        if check.use_regex and text and (error := pattern_error(text)):
            message = f"{name} is not a regular expression ({error}): the check could not be carried out"
            yield Advice(places.of(name), message, "mend the expression, or write `use_regex = 0`")
    if check.use_regex and check.expect is None and check.reject is None:
        yield Advice(places.of("use_regex"), "use_regex has no effect without expect", "write `expect`")
    for name, other in (("send", "send_hex"), ("expect", "expect_hex")):
        if getattr(check, name) is not None and getattr(check, other) is not None:
            yield Advice(places.of(name), f"{name} is ignored, because {other} is set", "remove one of the two")
    if check.expect_hex is None and check.expect is not None and check.send_hex is not None:
        yield Advice(places.of("expect"), "expect is ignored beside send_hex", "write `expect_hex`")
    if check.method == "HEAD" and (check.expect or check.reject or check.digest):
        name = "expect" if check.expect else "reject" if check.reject else "digest"
        yield Advice(places.of(name), "a reply to HEAD has no body", "write `method = GET`")
    if check.password is not None and check.login is None and check.kind is not CheckKind.REDIS:
        yield Advice(places.of("password"), "password has no effect without login", "write `login`")
    if check.query is not None and check.login is None:
        yield Advice(places.of("query"), "query has no effect without login", "write `login` and `password`")


def _certificates(check: CheckBlock, places: BlockPlaces) -> Iterator[Advice]:
    is_inside = check.kind in (CheckKind.TLS, CheckKind.HTTPS) or check.tls or check.starttls
    for name in ("sni", "verify", "ca", "certificate", "key"):
        if name in places.values and not is_inside:
            yield Advice(places.of(name), f"{name} has no effect without TLS", "write `tls = 1`, or remove the line")
    if check.tls and check.starttls:
        yield Advice(places.of("starttls"), "starttls inside TLS asks for TLS twice", "remove one of the two")
    if check.key is not None and check.certificate is None:
        yield Advice(places.of("key"), "key has no effect without certificate", "write `certificate`")
    secrets = check.password is not None and check.kind not in (CheckKind.RADIUS, CheckKind.MYSQL, CheckKind.POSTGRESQL)
    if secrets and not is_inside:
        message = "the password goes over the wire in the clear"
        yield Advice(places.of("password"), message, "use TLS, or an account that may do nothing else")


def _times(virtual: PlacedVirtual, check: CheckBlock, places: BlockPlaces) -> Iterator[Advice]:
    timeout = virtual.value.timeout_s if check.timeout_s is None else check.timeout_s
    if check.interval_s is not None and check.interval_s < timeout:
        message = "interval is shorter than timeout: while a check hangs, the next ones are left out"
        yield Advice(places.of("interval"), message, f"write `timeout = {format_time(check.interval_s)}` or less")


RULES = (beside_old_directives, needed, blocks, ports)
