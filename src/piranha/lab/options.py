"""What a person may choose about a lab, and the rules of the choice."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from piranha.base.errors import UsageError
from piranha.model.service import ForwardingMethod

DEFAULT_PREFIX = "plab-"
MAX_REAL_SERVERS = 60
ARTICLE = "article"
"""The profile that is none: the `keepalive` and `deadtime` of the article, with which a takeover takes 18 seconds."""
PROFILES = (ARTICLE, "calm", "default", "fast")
_PREFIX = re.compile(r"[a-z][a-z0-9]{0,11}-")


def check_prefix(prefix: str) -> str:
    """The prefix itself, when it can begin our names and nobody else's; raises UsageError otherwise."""
    if not _PREFIX.fullmatch(prefix):
        raise UsageError(
            f"`{prefix}` cannot be the prefix of a lab",
            mend="take up to twelve lower-case letters and digits, a letter first, then a dash, like `plab-`",
        )
    return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class LabOptions:
    """The choices. `server_port` and `virtual_port` differ only with masquerading.

    With one director lvsd alone runs there, and the lab itself gives it the VIP; two are a pair, and pulse has the VIPs.
    """

    prefix: str = DEFAULT_PREFIX
    directors: int = 1
    profile: str = ARTICLE
    real_servers: int = 2
    forward: ForwardingMethod = ForwardingMethod.DIRECT
    scheduler: str = "rr"
    virtual_port: int = 80
    server_port: int = 80
    ipv6: bool = False
    udp: bool = False
    timeout_s: int = 6
    reentry_s: int = 15
    hook: str = "auto"
    checksum_offload: bool = True

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        if not 1 <= self.real_servers <= MAX_REAL_SERVERS:
            raise UsageError(f"a lab has 1 to {MAX_REAL_SERVERS} real servers, not {self.real_servers}")
        if self.directors not in (1, 2):
            raise UsageError(f"a lab has one director or two, not {self.directors}")
        if self.profile not in PROFILES:
            raise UsageError(f"there is no profile `{self.profile}`", mend=f"take one of {', '.join(PROFILES)}")
        if self.is_pair and self.ipv6 and self.forward is ForwardingMethod.MASQUERADE:
            raise UsageError(
                "two directors that masquerade have one gateway address, `nat_router`, and it is IPv4",
                mend="leave out `--ipv6`, or take `--directors 1`",
            )
        for port in (self.virtual_port, self.server_port):
            if not 1 <= port <= 65535:
                raise UsageError(f"{port} is no port", mend="ports go from 1 to 65535")
        if self.forward is not ForwardingMethod.MASQUERADE and self.server_port != self.virtual_port:
            raise UsageError(
                f"`{self.forward.value}` forwarding cannot map port {self.virtual_port} to {self.server_port}",
                mend="use `--forward nat`, or one port for both",
            )
        for name, seconds in (("timeout", self.timeout_s), ("reentry", self.reentry_s)):
            if not 1 <= seconds <= 3600:
                raise UsageError(f"a {name} of {seconds} s is out of range", mend="give 1 to 3600 seconds")
        if not re.fullmatch(r"[a-z]{1,15}", self.scheduler):
            raise UsageError(f"`{self.scheduler}` is no name of a scheduler", mend="for example rr, wrr, lc or wlc")

    @property
    def is_pair(self) -> bool:
        return self.directors == 2

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"forward": self.forward.value}

    @staticmethod
    def from_json(data: dict[str, Any]) -> LabOptions:
        return LabOptions(**(data | {"forward": ForwardingMethod(data["forward"])}))
