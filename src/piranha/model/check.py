"""What the nanny probes and how a verdict is reached (original: piranha 0.8.6 nanny)."""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.model.address import IPAddress, format_endpoint
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.service import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check of one server. Equal probes are the same check and run once, whoever asks.

    `send` and `expect` are the bytes after escapes were translated; None is "not set", which differs from empty.
    `expect_any` is the original's lone `*`. `program` is the split `send_program`, `%h` and `%p` not yet filled in.
    These say all about a check of tcp, udp or a program; of any other kind `options` is the block, without its places
    and times. `source` is the address to ask from, `mark` the packets' mark; without them the kernel chooses.
    """

    address: IPAddress
    port: int
    protocol: Protocol
    timeout_s: float
    send: bytes | None = None
    expect: bytes | None = None
    expect_any: bool = False
    use_regex: bool = False
    program: tuple[str, ...] = ()
    dynamic_weight: bool = False
    options: CheckBlock | None = None
    source: IPAddress | None = None
    mark: int = 0
    kind: CheckKind = field(init=False, repr=False, compare=False)
    is_datagram: bool = field(init=False, repr=False, compare=False)
    address_text: str = field(init=False, repr=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Every book of the nanny is kept by probe, and it is asked thousands of times a second: worked out once.
        what = (self.send, self.expect, self.expect_any, self.use_regex, self.program, self.dynamic_weight)
        where = (self.address, self.port, self.protocol, self.timeout_s, self.source, self.mark)
        object.__setattr__(self, "_hash", hash((where, what, self.options)))
        kind = _kind_of(self)
        object.__setattr__(self, "kind", kind)
        is_datagram = kind is CheckKind.UDP if self.options is None else self.options.is_datagram
        object.__setattr__(self, "is_datagram", is_datagram)
        object.__setattr__(self, "address_text", str(self.address))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return f"{self.kind} {format_endpoint(self.address, self.port)}"


def _kind_of(probe: Probe) -> CheckKind:
    if probe.options is not None:
        return probe.options.kind
    if probe.program:
        return CheckKind.PROGRAM
    return CheckKind.UDP if probe.protocol is Protocol.UDP else CheckKind.TCP


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRules:
    """When a server goes in and out: `fall` failures in a row take it out, `rise` successes bring it back.

    The first success at start is always enough. `interval_s` is the time from start to start of two probes.
    """

    interval_s: float
    rise: int
    fall: int = 1


def unknown_escapes(text: str) -> tuple[str, ...]:
    r"""The escapes in a `send` or `expect` text that are none of `\\ \r \n \t \' \"`, each once, in their order.

    A lone backslash at the end counts as one. A text of one character is never translated, so it has none.
    """
    if len(text) < 2:
        return ()
    unknown: dict[str, None] = {}
    at = text.find("\\")
    while at >= 0:
        escape = text[at : at + 2]
        if escape[1:] not in tuple("\\rnt'\""):
            unknown[escape] = None
        at = text.find("\\", at + 2)
    return tuple(unknown)
