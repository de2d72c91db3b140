"""One thing that must hold on a real server. Its state is a text or None, so that any can be recorded and restored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, ClassVar

from piranha.model.address import IPAddress, parse_address

State = str | None

PRESENT = "present"
UP = "up"

_SYSCTL_REASONS = {
    "arp_ignore": "without it this machine would answer ARP for the VIP in the director's place",
    "arp_announce": "without it this machine's own ARP requests would carry the VIP and draw its packets here",
    "rp_filter": "otherwise packets out of the tunnel would be dropped as coming the wrong way",
}

_MAX_VIPS_CHARACTERS = 200  # the name of a filter, which carries this text, ends at 256


@dataclass(frozen=True, slots=True, kw_only=True)
class SysctlIs:
    """A kernel setting, `key` being its path in /proc/sys. `accepted[0]` gets set; any of `accepted` is left alone."""

    kind: ClassVar[str] = "sysctl"
    key: str
    accepted: tuple[str, ...]

    @property
    def identity(self) -> str:
        return self.key

    @property
    def target(self) -> State:
        return self.accepted[0]

    def is_met_by(self, state: State) -> bool:
        return state in self.accepted

    @property
    def subject(self) -> str:
        return f"kernel setting {self.key}"

    def __str__(self) -> str:
        return f"{self.subject} = {self.accepted[0]}"

    @property
    def reason(self) -> str:
        name = self.key.rsplit("/", 1)[-1]
        return _SYSCTL_REASONS.get(name, "")

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key, "accepted": list(self.accepted)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> SysctlIs:
        return SysctlIs(key=data["key"], accepted=tuple(data["accepted"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressIs:
    """An address on a device; IPv4 ones carry a label that says whose they are."""

    kind: ClassVar[str] = "address"
    device: str
    address: IPv4Interface | IPv6Interface

    @property
    def identity(self) -> str:
        return f"{self.address} {self.device}"

    @property
    def label(self) -> str | None:
        """`lo:piranha`; None where the family has no labels or the name would not fit the kernel's 15 characters."""
        label = f"{self.device}:piranha"
        return label if self.address.version == 4 and len(label) <= 15 else None

    @property
    def target(self) -> State:
        return PRESENT

    def is_met_by(self, state: State) -> bool:
        return state == PRESENT

    @property
    def subject(self) -> str:
        return f"address {self.address} on {self.device}"

    def __str__(self) -> str:
        return self.subject

    @property
    def reason(self) -> str:
        return "without it packets to the VIP are not this machine's"

    def as_json(self) -> dict[str, Any]:
        return {"device": self.device, "address": str(self.address)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> AddressIs:
        return AddressIs(device=data["device"], address=ip_interface(data["address"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIs:
    """A text file below the root; the state is its content. As a `link` it is a symbolic link to the content."""

    kind: ClassVar[str] = "file"
    path: str
    content: str
    link: bool = False

    @property
    def identity(self) -> str:
        return self.path

    @property
    def target(self) -> State:
        return self.content

    def is_met_by(self, state: State) -> bool:
        return state == self.content

    @property
    def subject(self) -> str:
        return f"link /{self.path}" if self.link else f"file /{self.path}"

    def __str__(self) -> str:
        return f"{self.subject} -> {self.content}" if self.link else self.subject

    @property
    def reason(self) -> str:
        return "without it the settings do not last across a boot"

    def as_json(self) -> dict[str, Any]:
        return {"path": self.path, "content": self.content, "link": self.link}

    @staticmethod
    def from_json(data: dict[str, Any]) -> FileIs:
        return FileIs(path=data["path"], content=data["content"], link=data["link"])


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelIsUp:
    """The kernel's own decapsulator for any sender: the fallback device of a tunnel module."""

    kind: ClassVar[str] = "tunnel"
    device: str
    module: str

    @property
    def identity(self) -> str:
        return self.device

    @property
    def target(self) -> State:
        return UP

    def is_met_by(self, state: State) -> bool:
        return state == UP

    @property
    def subject(self) -> str:
        return f"tunnel device {self.device}"

    def __str__(self) -> str:
        return f"{self.subject} up (module {self.module})"

    @property
    def reason(self) -> str:
        return "without it packets from the director's tunnel are not unpacked"

    def as_json(self) -> dict[str, Any]:
        return {"device": self.device, "module": self.module}

    @staticmethod
    def from_json(data: dict[str, Any]) -> TunnelIsUp:
        return TunnelIsUp(device=data["device"], module=data["module"])


@dataclass(frozen=True, slots=True, kw_only=True)
class DecapsulationIs:
    """Our BPF program on a device's ingress, where the kernel has no tunnel device. The state lists its VIPs."""

    kind: ClassVar[str] = "decapsulation"
    device: str
    vips: tuple[IPAddress, ...]

    @property
    def identity(self) -> str:
        return self.device

    @property
    def target(self) -> State:
        return vips_text(self.vips)

    def is_met_by(self, state: State) -> bool:
        return state == self.target

    @property
    def subject(self) -> str:
        return f"decapsulation on {self.device}"

    def __str__(self) -> str:
        return f"{self.subject} for {self.target}"

    @property
    def reason(self) -> str:
        return "without it packets from the director's tunnel are not unpacked"

    def as_json(self) -> dict[str, Any]:
        return {"device": self.device, "vips": [str(vip) for vip in self.vips]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> DecapsulationIs:
        return DecapsulationIs(device=data["device"], vips=tuple(parse_address(vip) for vip in data["vips"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArpRulesAre:
    """The article's arptables rules, in an nftables table of our own. The state lists its rules, a line each."""

    kind: ClassVar[str] = "arp rules"
    rules: tuple[str, ...]

    @property
    def identity(self) -> str:
        return ARP_TABLE

    @property
    def target(self) -> State:
        return "\n".join(sorted(self.rules))

    def is_met_by(self, state: State) -> bool:
        return state == self.target

    @property
    def subject(self) -> str:
        return f"nftables table arp {ARP_TABLE}"

    def __str__(self) -> str:
        return f"{self.subject} with {len(self.rules)} rules"

    @property
    def reason(self) -> str:
        return "without them this machine would answer ARP for the VIP in the director's place"

    def as_json(self) -> dict[str, Any]:
        return {"rules": list(self.rules)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> ArpRulesAre:
        return ArpRulesAre(rules=tuple(data["rules"]))


ARP_TABLE = "piranha_realserver"

Requirement = SysctlIs | AddressIs | FileIs | TunnelIsUp | DecapsulationIs | ArpRulesAre

_KINDS = {kind.kind: kind for kind in (SysctlIs, AddressIs, FileIs, TunnelIsUp, DecapsulationIs, ArpRulesAre)}


def vips_text(vips: tuple[IPAddress, ...]) -> str:
    """The VIPs as a text of bounded length that differs whenever they do."""
    text = " ".join(str(vip) for vip in sorted(vips, key=lambda vip: (vip.version, int(vip))))
    if len(text) <= _MAX_VIPS_CHARACTERS:
        return text
    return f"{len(vips)} addresses, sha256 {hashlib.sha256(text.encode()).hexdigest()[:32]}"


def identity(requirement: Requirement) -> tuple[str, str]:
    """What stays the same when the wanted value of a thing changes."""
    return (requirement.kind, requirement.identity)


def to_json(requirement: Requirement) -> dict[str, Any]:
    return {"kind": requirement.kind} | requirement.as_json()


def from_json(data: dict[str, Any]) -> Requirement:
    """Raises KeyError, TypeError or ValueError for what `to_json` did not write."""
    return _KINDS[data["kind"]].from_json(data)


def canonical(data: Any) -> str:
    """JSON as the record keeps it."""
    return json.dumps(data, indent=2, sort_keys=True) + "\n"
