"""Who this host is in the pair: which of the configured addresses it has, and over which links it reaches the other director."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from piranha.base.errors import PiranhaError
from piranha.cluster.heartbeat import Place
from piranha.model.address import IPAddress
from piranha.pulse.reading import PulseConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPlan:
    """A heartbeat link: our address, on `device`, and the other director's."""

    ours: IPAddress
    theirs: IPAddress
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Our place and the links, the public one first. No links: this director stands alone."""

    place: Place
    links: tuple[LinkPlan, ...]


def who_are_we(configuration: PulseConfiguration, device_of: Mapping[IPAddress, str]) -> Who:
    """`device_of` has every address of this host, with its device.

    The one of the two directors whose address is here is this one; the original looked at the first address of each
    interface alone. Raises PiranhaError where none or both are here: guessing would make two primaries.
    """
    primary = [address for address in configuration.primary if address in device_of]
    backup = [address for address in configuration.backup if address in device_of]
    if primary and backup:
        raise PiranhaError(
            f"this host has the primary's address {primary[0]} and the backup's address {backup[0]}",
            mend="write the addresses of two hosts as `primary` and `backup`",
        )
    if not configuration.backup_active:
        return Who(place=Place.PRIMARY, links=())
    if not primary and not backup:
        known = ", ".join(str(address) for address in (*configuration.primary, *configuration.backup))
        raise PiranhaError(
            f"this host has none of the directors' addresses ({known})",
            mend="write this host's own address as `primary` or `backup`, or bring the interface up",
        )
    place = Place.PRIMARY if primary else Place.SECONDARY
    pairs = zip(configuration.primary, configuration.backup, strict=False)
    links = []
    for first, second in pairs:
        ours, theirs = (first, second) if place is Place.PRIMARY else (second, first)
        if ours.version != theirs.version:
            raise PiranhaError(
                f"{ours} and {theirs} are of two IP versions: no heartbeat goes from one to the other",
                mend="give both directors' addresses in the same version",
            )
        if ours in device_of:
            links.append(LinkPlan(ours=ours, theirs=theirs, device=device_of[ours]))
    if not links:
        raise PiranhaError(
            "no heartbeat link can be made: the addresses of this host have no counterpart",
            mend="give `primary_private` and `backup_private` both, or neither",
        )
    return Who(place=place, links=tuple(links))
