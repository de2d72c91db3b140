"""What the nanny probes and how a verdict is reached (original: piranha 0.8.6 nanny)."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.model.address import IPAddress, format_endpoint
from piranha.model.service import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check of one server. Equal probes are the same check and run once, whoever asks.

    `send` and `expect` are the bytes after escapes were translated; None is "not set", which differs from empty.
    `expect_any` is the original's lone `*`. `program` is the split `send_program`, `%h` and `%p` not yet filled in.
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

    def __str__(self) -> str:
        what = "program" if self.program else self.protocol.word
        return f"{what} {format_endpoint(self.address, self.port)}"


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
