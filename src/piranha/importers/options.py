"""What an import must be told because the source does not say it."""

from __future__ import annotations

from dataclasses import dataclass, field

from piranha.config.names import FixedNames, Names
from piranha.model.address import IPAddress
from piranha.model.service import ForwardingMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """`device` carries VIPs whose device the source does not name; `vip` stands for an address that it leaves open.

    `method` is how packets of proxies (nginx, HAProxy) are forwarded from now on. `config_id` answers keepalived's `@`.
    """

    config_id: str = ""
    device: str = ""
    vip: IPAddress | None = None
    method: ForwardingMethod = ForwardingMethod.MASQUERADE
    primary: IPAddress | None = None
    backup: IPAddress | None = None
    names: Names = field(default_factory=FixedNames)
