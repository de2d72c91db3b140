"""The desired table: layout and admission together, as a data plane wants it. Pure."""

from __future__ import annotations

from dataclasses import replace

from piranha.director.admission import Admitted
from piranha.director.layout import Layout, Member, PlannedService
from piranha.model.service import Destination, ServiceEntry


def desired_entries(layout: Layout, admitted: Admitted) -> tuple[ServiceEntry, ...]:
    """The table that should be: every member at its share, the sorry server where it stands in, what ipvsadm added."""
    return tuple(_entry(service, admitted) for service in layout.services)


def _entry(service: PlannedService, admitted: Admitted) -> ServiceEntry:
    destinations = [
        _at(member, weight) for member in service.members if (weight := admitted.shares[member.key].weight) is not None
    ]
    if service.sorry is not None and service.service.key in admitted.sorry:
        # The sorry server may be one of the real servers: then it takes that one's place.
        destinations = [d for d in destinations if d.key != service.sorry.key]
        destinations.append(service.sorry)
    destinations.extend(service.added)
    return ServiceEntry(service=service.service, destinations=tuple(destinations))


def _at(member: Member, weight: int) -> Destination:
    if weight == member.fit.weight:
        return member.fit
    return member.quiesced if weight == 0 else replace(member.fit, weight=weight)
