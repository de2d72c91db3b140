"""Edits by hand that stay (`table_edits = adopt`): the layout with their values in the place of the file's. Pure."""

from __future__ import annotations

from dataclasses import replace

from piranha.dataplane.handedits import HandEdits
from piranha.director.layout import Layout, Member, PlannedService
from piranha.model.service import Destination, DestinationKey


def adopted(layout: Layout, edits: HandEdits) -> Layout:
    """Checks go on for the file's servers: one that is down leaves the table, and comes back with its value by hand.

    A destination that the file does not have stays in the table unchecked.
    """
    if not edits:
        return layout
    return replace(layout, services=tuple(_edited(service, edits) for service in layout.services))


def _edited(planned: PlannedService, edits: HandEdits) -> PlannedService:
    key = planned.service.key
    service, destinations = edits.service(key), dict(edits.destinations(key))
    if service is None and not destinations:
        return planned
    members = tuple(_member(member, destinations) for member in planned.members)
    if planned.sorry is not None:
        destinations.pop(planned.sorry.key, None)
    return replace(
        planned,
        service=service or planned.service,
        members=members,
        added=tuple(destinations.values()),
        by_hand=service is not None and service != planned.service,
    )


def _member(member: Member, destinations: dict[DestinationKey, Destination]) -> Member:
    """The member with its value by hand, which is taken out of `destinations`."""
    edited = destinations.pop(member.fit.key, None)
    if edited is None or edited == member.fit:
        return member
    return replace(member, fit=edited, quiesced=replace(edited, weight=0), by_hand=True)
