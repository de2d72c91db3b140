"""The layout: a configuration as services and members of one data plane, and what that plane cannot do. Pure.

It changes only with the file; `desired.py` picks from it, with every verdict, what is fit now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from piranha.config.places import BlockPlaces, Places
from piranha.dataplane.port import Capabilities
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration, RealServer, ServiceMode, VirtualServer
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Service, ServiceKey
from piranha.monitor.target import TargetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A real server of a service: as it is when fit, and as it is when quiesced."""

    key: TargetKey
    server: RealServer
    fit: Destination
    quiesced: Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """A virtual server that the plane can switch, with all the members it may have."""

    virtual: VirtualServer
    service: Service
    members: tuple[Member, ...]
    sorry: Destination | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something in a valid file that is not switched: where, why, and the mend. The other services go on.

    `line` is the directive's in the file, 0 where it is not known.
    """

    virtual: str
    reason: str
    mend: str
    server: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{_where(self.virtual, self.server, self.line)}: {self.reason}: {self.mend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A configuration as services of this plane. `warnings` say what is switched otherwise than written."""

    services: tuple[PlannedService, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


def lay_out(configuration: Configuration, capabilities: Capabilities, places: Places | None = None) -> Layout:
    """The services of all active virtual servers, in the file's order; where two claim one key, the first has it.

    `places` are those of the file that `configuration` was read from.
    """
    if configuration.service is ServiceMode.FOS:
        return Layout(warnings=("service = fos: failover services switch no packets, the table is kept empty",))
    layouter = _Layouter(configuration.network, capabilities)
    found = places.virtuals if places is not None else [None] * len(configuration.virtuals)
    for virtual, virtual_places in zip(configuration.virtuals, found, strict=True):
        if virtual.active:
            layouter.add(virtual, virtual_places)
    return Layout(
        services=tuple(layouter.services.values()),
        refusals=tuple(layouter.refusals),
        warnings=tuple(layouter.warnings),
    )


class _Layouter:
    """One pass over a configuration, collecting services and what is wrong with the rest."""

    def __init__(self, network: ForwardingMethod, capabilities: Capabilities) -> None:
        self.services: dict[ServiceKey, PlannedService] = {}
        self.refusals: list[Refusal] = []
        self.warnings: list[str] = []
        self._network = network
        self._capabilities = capabilities
        self._virtual = VirtualServer(name="")
        self._places: BlockPlaces | None = None

    def add(self, virtual: VirtualServer, places: BlockPlaces | None) -> None:
        self._virtual, self._places = virtual, places
        key = self._key()
        if key is None:
            return
        members = self._members(key)
        self.services[key] = PlannedService(
            virtual=virtual,
            service=Service(key=key, scheduler=virtual.scheduler),
            members=tuple(members),
            sorry=self._sorry(key),
        )

    def _key(self) -> ServiceKey | None:
        """The key of the virtual server, or None with the first reason why the plane cannot switch it."""
        virtual, capabilities = self._virtual, self._capabilities
        if virtual.fwmark and not capabilities.firewall_marks:
            reason = f"fwmark = {virtual.fwmark} cannot be switched by this data plane"
            self._refuse("fwmark", reason, "remove the fwmark line and name the address and port")
            return None
        if virtual.address is None:
            self._refuse("address", "it has no address", "add address = VIP DEVICE, or set active = 0")
            return None
        if virtual.port == 0:
            reason = "port = 0 (every port) cannot be switched by this data plane"
            self._refuse("port", reason, "name the port")
            return None
        if virtual.scheduler not in capabilities.schedulers:
            available = ", ".join(sorted(capabilities.schedulers))
            reason = f"scheduler = {virtual.scheduler} is not in this data plane"
            self._refuse("scheduler", reason, f"choose one that it has ({available})")
            return None
        if virtual.persistent_s and not capabilities.persistence:
            reason = f"persistent = {virtual.persistent_s:g} cannot be kept by this data plane"
            mend = "remove the persistent line to have each connection scheduled on its own"
            self._refuse("persistent", reason, mend)
            return None
        key = ServiceKey(protocol=virtual.protocol, address=virtual.address.address, port=virtual.port)
        if key in self.services:
            reason = f"{key} already belongs to virtual {self.services[key].virtual.name}"
            self._refuse("address", reason, "give it another address, port or protocol, or set active = 0")
            return None
        return key

    def _members(self, service: ServiceKey) -> Iterable[Member]:
        members: dict[DestinationKey, Member] = {}
        for index, server in enumerate(self._virtual.servers):
            if not server.active:
                continue
            member = self._member(service, index, server)
            if member is None:
                continue
            twin = members.setdefault(member.fit.key, member)
            if twin is not member:
                reason = f"{member.fit.key} is already server {twin.server.name}"
                self._refuse("address", reason, "give it another address or port, or set active = 0", index)
        return members.values()

    def _member(self, service: ServiceKey, index: int, server: RealServer) -> Member | None:
        if server.address is None:
            self._refuse("address", "it has no address", "add address = RIP, or set active = 0", index)
            return None
        method = server.forward or self._network
        if not _reachable(method, server.address, service):
            reason = f"{method} cannot reach {server.address} for a VIP of the other family ({service.address})"
            mend = "give it an address of the VIP's family, or forward = tunnel"
            self._refuse("address", reason, mend, index)
            return None
        port = server.port or service.port
        if method is not ForwardingMethod.MASQUERADE and port != service.port:
            where = _where(self._virtual.name, server.name, self._line("port", index))
            self.warnings.append(
                f"{where}: port = {port} has no effect on {method} forwarding, "
                f"packets keep port {service.port} (checks go to port {port})"
            )
            port = service.port
        fit = Destination(key=DestinationKey(address=server.address, port=port), method=method, weight=server.weight)
        return Member(
            key=TargetKey(service=service, destination=fit.key),
            server=server,
            fit=fit,
            quiesced=replace(fit, weight=0),
        )

    def _sorry(self, service: ServiceKey) -> Destination | None:
        address = self._virtual.sorry_server
        if address is None:
            return None
        if not _reachable(self._network, address, service):
            reason = f"{self._network} cannot reach sorry_server = {address} for a VIP of the other family"
            self._refuse("sorry_server", reason, "give it an address of the VIP's family")
            return None
        return Destination(key=DestinationKey(address=address, port=service.port), method=self._network, weight=1)

    def _refuse(self, directive: str, reason: str, mend: str, server: int | None = None) -> None:
        name = "" if server is None else self._virtual.servers[server].name
        line = self._line(directive, server)
        self.refusals.append(Refusal(virtual=self._virtual.name, server=name, reason=reason, mend=mend, line=line))

    def _line(self, directive: str, server: int | None) -> int:
        if self._places is None:
            return 0
        block = self._places if server is None else self._places.servers[server]
        return block.of(directive).line


def _where(virtual: str, server: str, line: int) -> str:
    names = f"virtual {virtual}" + (f", server {server}" if server else "")
    return f"{names} (line {line})" if line else names


def _reachable(method: ForwardingMethod, address: IPAddress, service: ServiceKey) -> bool:
    """Only a tunnel may join the families: its outer header is the real server's own."""
    return method is ForwardingMethod.TUNNEL or address.version == service.address.version
