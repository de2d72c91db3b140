"""The shape of every rule's answer."""

from __future__ import annotations

from typing import NamedTuple

from piranha.config.places import BlockPlaces
from piranha.config.problem import Place
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.service import ForwardingMethod


class Advice(NamedTuple):
    """A remark at a place, and what to do about it."""

    place: Place
    message: str
    suggestion: str


class PlacedServer(NamedTuple):
    """A real server and the places of its block."""

    value: RealServer
    places: BlockPlaces


class PlacedVirtual(NamedTuple):
    """A virtual server, the places of its block, and the file it stands in."""

    value: VirtualServer
    places: BlockPlaces
    configuration: Configuration

    @property
    def servers(self) -> list[PlacedServer]:
        return [PlacedServer(*pair) for pair in zip(self.value.servers, self.places.servers, strict=True)]

    @property
    def active_servers(self) -> list[PlacedServer]:
        return [server for server in self.servers if server.value.active]

    def forwarding_of(self, server: RealServer) -> ForwardingMethod:
        return server.forward or self.configuration.network
