"""The ends of the pair link, as `lvs.cf` names them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Ways to the other director: our address and its own on the same network, the private ones first."""

    ways: tuple[tuple[IPAddress, IPAddress], ...]
    port: int

    @property
    def local(self) -> tuple[IPAddress, ...]:
        return tuple(dict.fromkeys(local for local, _ in self.ways))

    @property
    def peer(self) -> frozenset[IPAddress]:
        return frozenset(peer for _, peer in self.ways)


def ends_of(configuration: Configuration, own: frozenset[IPAddress]) -> Ends | None:
    """None where there is no pair, or this host has none of its addresses (now)."""
    if not configuration.backup_active:
        return None
    pairs = [
        (configuration.primary_private, configuration.backup_private),
        (configuration.primary, configuration.backup),
    ]
    known = [(primary, backup) for primary, backup in pairs if primary is not None and backup is not None]
    ours = [(primary, backup) for primary, backup in known if primary in own and backup not in own]
    theirs = [(backup, primary) for primary, backup in known if backup in own and primary not in own]
    ways = tuple(dict.fromkeys(ours or theirs))
    return Ends(ways=ways, port=configuration.link_port) if ways else None
