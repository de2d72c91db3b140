"""The layout: a configuration as services and members of one data plane, and what that plane cannot do. Pure.

It changes only with the file; `desired.py` picks from it, with every verdict, what is fit now.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil
from operator import or_
from typing import TypedDict

from piranha.config.places import BlockPlaces, Places
from piranha.dataplane.port import Capabilities
from piranha.director import shortcoming
from piranha.model import contradiction
from piranha.model.address import IPAddress
from piranha.model.check_block import CheckKind
from piranha.model.configuration import Configuration, RealServer, ServiceMode, VirtualServer
from piranha.model.mark import MarkRule, rules_of
from piranha.model.service import (
    NO_FLAGS,
    Destination,
    DestinationKey,
    ForwardingMethod,
    Service,
    ServiceKey,
    TunnelChecksum,
    TunnelType,
)
from piranha.monitor.target import TargetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A real server of a service: as it is when fit, and as it is when quiesced. `server.port` is the checks'.

    `by_hand` says that both have a value that was given with ipvsadm, not the file's.
    """

    key: TargetKey
    server: RealServer
    fit: Destination
    quiesced: Destination
    by_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    """A virtual server that the plane can switch, with all the members it may have.

    `added` are destinations that ipvsadm added and that stay; `by_hand` says the same of the service's own values.
    """

    virtual: VirtualServer
    service: Service
    members: tuple[Member, ...]
    sorry: Destination | None = None
    added: tuple[Destination, ...] = ()
    by_hand: bool = False


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
    mark_rules: tuple[MarkRule, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


def lay_out(configuration: Configuration, capabilities: Capabilities, places: Places | None = None) -> Layout:
    """The services of all active virtual servers, in the file's order; where two claim one key, the first has it.

    `places` are those of the file that `configuration` was read from.
    """
    if configuration.service is ServiceMode.FOS:
        return Layout(warnings=("service = fos: failover services switch no packets, the table is kept empty",))
    layouter = _Layouter(configuration, capabilities)
    found = places.virtuals if places is not None else [None] * len(configuration.virtuals)
    for virtual, virtual_places in zip(configuration.virtuals, found, strict=True):
        if virtual.active:
            layouter.add(virtual, virtual_places)
    return Layout(
        services=tuple(layouter.services.values()),
        mark_rules=rules_of(configuration.marks),
        refusals=tuple(layouter.refusals),
        warnings=tuple(layouter.warnings),
    )


class _Layouter:
    """One pass over a configuration, collecting services and what is wrong with the rest."""

    def __init__(self, configuration: Configuration, capabilities: Capabilities) -> None:
        self.services: dict[ServiceKey, PlannedService] = {}
        self.refusals: list[Refusal] = []
        self.warnings: list[str] = []
        self._configuration = configuration
        self._network = configuration.network
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
            service=_service(key, virtual),
            members=tuple(members),
            sorry=self._sorry(key),
        )

    def _key(self) -> ServiceKey | None:
        """The key of the virtual server, or None with the first reason why the plane cannot switch it."""
        virtual = self._virtual
        if virtual.address is None and not virtual.fwmark:
            self._refuse("address", "it has no address", "add address = VIP DEVICE, or set active = 0")
            return None
        if virtual.fwmark:
            key = ServiceKey.of_mark(virtual.fwmark, self._configuration.version_of(virtual))
        else:
            assert virtual.address is not None
            key = ServiceKey(protocol=virtual.protocol, address=virtual.address.address, port=virtual.port)
        wrong: Iterable[tuple[str, str, str]] = (
            *contradiction.of_virtual(virtual, key.address.version),
            *shortcoming.of_virtual(virtual, self._capabilities),
        )
        for directive, reason, mend in wrong:
            self._refuse(directive, reason, mend)
            return None
        if key in self.services:
            reason = f"{key} already belongs to virtual {self.services[key].virtual.name}"
            where = "fwmark" if virtual.fwmark else "address"
            mend = "give it another " + ("mark" if virtual.fwmark else "address, port or protocol")
            self._refuse(where, reason, f"{mend}, or set active = 0")
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
            vip = "" if service.mark else f" ({service.address})"
            reason = f"{method} cannot reach {server.address} for a VIP of the other family{vip}"
            mend = "give it an address of the VIP's family, or forward = tunnel"
            self._refuse("address", reason, mend, index)
            return None
        check_port = server.port or self._virtual.port
        if check_port == 0 and not _names_a_port(self._virtual, server):
            mend = "write port = N in the server or `check` block, or a send_program in the virtual server"
            self._refuse("port", "no port is named that could be checked", mend, index)
            return None
        wrong: Iterable[tuple[str, str, str]] = (
            *contradiction.of_server(server, method),
            *shortcoming.of_server(server, method, self._capabilities),
        )
        for directive, reason, mend in wrong:
            self._refuse(directive, reason, mend, index)
            return None
        fit = Destination(
            key=DestinationKey(address=server.address, port=self._port(service, index, server, method)),
            method=method,
            weight=server.weight,
            upper_threshold=server.upper_threshold,
            lower_threshold=server.lower_threshold,
            **_tunnel(server, method),
        )
        return Member(
            key=TargetKey(service=service, destination=fit.key),
            server=replace(server, port=check_port),
            fit=fit,
            quiesced=replace(fit, weight=0),
        )

    def _port(self, service: ServiceKey, index: int, server: RealServer, method: ForwardingMethod) -> int:
        """The port that packets get on their way to a real server; 0 leaves them theirs, as a mark and port 0 ask.

        A mark's packets get another port only where the server's differs from that of the virtual server.
        """
        virtual = self._virtual
        own = server.port or virtual.port
        kept = 0 if service.mark else service.port
        if own == virtual.port or own == kept:
            return kept
        reason = ""
        if method is not ForwardingMethod.MASQUERADE:
            # Of a mark or of every port, the server's port is only that of its checks.
            reason = f"on {method} forwarding" if kept else ""
        elif kept or not virtual.persistent_s:
            return own
        elif service.mark:
            # Linux ip_vs_sched_persist: only a packet to the service's own port gets the server's.
            reason = f"with persistent for fwmark {service.mark}"
        if reason:
            keep = f"port {kept}" if kept else "their ports"
            where = _where(virtual.name, server.name, self._line("port", index))
            self.warnings.append(
                f"{where}: port = {own} has no effect {reason}, packets keep {keep} (checks go to port {own})"
            )
        return kept

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


def _service(key: ServiceKey, virtual: VirtualServer) -> Service:
    """The service of a virtual server without contradictions."""
    persistent_s = ceil(virtual.persistent_s)
    prefix = contradiction.persistence_prefix(virtual.pmask, key.address.version) if persistent_s else None
    return Service(
        key=key,
        scheduler=virtual.scheduler,
        flags=reduce(or_, (word.flag for word in virtual.scheduler_flags), NO_FLAGS),
        persistent_s=persistent_s,
        persistence_prefix=prefix,
        engine=virtual.persistence_engine or "",
        one_packet=virtual.one_packet,
    )


class _Tunnel(TypedDict, total=False):
    tunnel: TunnelType
    tunnel_port: int
    tunnel_checksum: TunnelChecksum


def _tunnel(server: RealServer, method: ForwardingMethod) -> _Tunnel:
    """The tunnel's fields as far as the method and the type have them: what has no effect is no difference either."""
    if method is not ForwardingMethod.TUNNEL or server.tunnel is TunnelType.IPIP:
        return {}
    port = server.tunnel_port if server.tunnel is TunnelType.GUE else 0
    return {"tunnel": server.tunnel, "tunnel_port": port, "tunnel_checksum": server.tunnel_checksum}


def _reachable(method: ForwardingMethod, address: IPAddress, service: ServiceKey) -> bool:
    """Only a tunnel may join the families: its outer header is the real server's own."""
    return method is ForwardingMethod.TUNNEL or address.version == service.address.version


_WITHOUT_PORT = (CheckKind.ICMP, CheckKind.PROGRAM, CheckKind.FILE, CheckKind.NONE)


def _names_a_port(virtual: VirtualServer, server: RealServer) -> bool:
    """Whether the checks can do without the real server's port."""
    blocks = server.checks or virtual.checks
    if not blocks:
        return virtual.send_program is not None
    return all(block.port is not None or block.kind in _WITHOUT_PORT for block in blocks)
