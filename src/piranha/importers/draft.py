"""Drafts of virtual servers: what translators fill in, and how it becomes a configuration."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from piranha.importers.checks import CONNECT, Check
from piranha.importers.ledger import Ledger, Place, Verdict
from piranha.importers.options import ImportOptions
from piranha.model.address import IPAddress
from piranha.model.configuration import (
    Configuration,
    DeviceAddress,
    RealServer,
    SchedulerFlagWord,
    VirtualServer,
)
from piranha.model.mark import MarkBlock
from piranha.model.service import ForwardingMethod, Protocol, TunnelChecksum, TunnelType

_HTTP_PORT = 80


@dataclass(slots=True, kw_only=True)
class DraftServer:
    """A real server in the making. `checks` are all that the source has for it; none means that it is not checked."""

    place: Place
    address: IPAddress
    port: int | None = None
    name: str = ""
    weight: int = 1
    method: ForwardingMethod = ForwardingMethod.MASQUERADE
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_checksum: TunnelChecksum = TunnelChecksum.NONE
    active: bool = True
    checks: list[tuple[Place, Check]] = field(default_factory=list)
    quiesce: bool = False


@dataclass(slots=True, kw_only=True)
class DraftVirtual:
    """A virtual server in the making; with `mark` it has no VIP of its own."""

    place: Place
    name: str
    vip: IPAddress | None = None
    port: int = 0
    mark: int = 0
    version: int = 4
    protocol: Protocol = Protocol.TCP
    active: bool = True
    scheduler: str = "wlc"
    flags: tuple[SchedulerFlagWord, ...] = ()
    one_packet: bool = False
    persistent_s: float = 0
    pmask: IPAddress | int | None = None
    engine: str | None = None
    interval_s: float | None = None
    timeout_s: float = 5
    rise: int = 1
    fall: int = 1
    sorry: IPAddress | None = None
    quiesce: bool = False
    quorum: int = 1
    hysteresis: int = 0
    quorum_up: str | None = None
    quorum_down: str | None = None
    servers: list[DraftServer] = field(default_factory=list)
    unchecked: str = "the source does not check its servers and takes them as up; here a connect to the port is checked"
    """What is said where a server has no check at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VipDevice:
    """Where a VIP stands in the source."""

    device: str
    mask: IPAddress | None = None


@dataclass(slots=True)
class Draft:
    """A whole configuration in the making. `pair` has the global directives; `devices` the VIPs with a known place."""

    pair: Configuration = field(default_factory=Configuration)
    virtuals: list[DraftVirtual] = field(default_factory=list)
    marks: list[MarkBlock] = field(default_factory=list)
    devices: dict[IPAddress, VipDevice] = field(default_factory=dict)


def finished(draft: Draft, ledger: Ledger, options: ImportOptions) -> Configuration:
    """The configuration of a draft; what does not fit together goes to the ledger."""
    network = _commonest_method(draft, options)
    names: Counter[str] = Counter()
    virtuals = []
    for virtual in draft.virtuals:
        names[virtual.name] += 1
        name = virtual.name if names[virtual.name] == 1 else f"{virtual.name}-{names[virtual.name]}"
        virtuals.append(_virtual(virtual, name, draft, network, ledger, options))
    if options.primary is not None and options.backup is not None:
        draft.pair = replace(draft.pair, primary=options.primary, backup=options.backup, backup_active=True)
    return replace(draft.pair, network=network, marks=tuple(draft.marks), virtuals=tuple(virtuals))


def _commonest_method(draft: Draft, options: ImportOptions) -> ForwardingMethod:
    counted = Counter(server.method for virtual in draft.virtuals for server in virtual.servers)
    return counted.most_common(1)[0][0] if counted else options.method


def _virtual(
    draft: DraftVirtual,
    name: str,
    whole: Draft,
    network: ForwardingMethod,
    ledger: Ledger,
    options: ImportOptions,
) -> VirtualServer:
    check = _checkable(draft, _common_check(draft, ledger), whole, ledger)
    interval_s = draft.interval_s if draft.interval_s is not None else draft.timeout_s
    address, mask = _place_of_vip(draft, whole, ledger, options)
    send = check.send
    if check.is_connect and draft.port == _HTTP_PORT and draft.protocol is Protocol.TCP:
        # Port 80 without a check of its own is asked for a page; an empty text to send is a mere connect.
        send = ""
    return VirtualServer(
        name=name,
        active=draft.active,
        address=address,
        vip_nmask=mask,
        sorry_server=draft.sorry,
        fwmark=draft.mark,
        protocol=draft.protocol,
        port=draft.port,
        scheduler=draft.scheduler,
        scheduler_flags=draft.flags,
        one_packet=draft.one_packet,
        persistent_s=draft.persistent_s,
        pmask=draft.pmask if draft.persistent_s else None,
        persistence_engine=draft.engine,
        send=send,
        expect=check.expect,
        use_regex=check.use_regex,
        send_program=check.send_program,
        timeout_s=draft.timeout_s,
        interval_s=None if interval_s == draft.timeout_s else interval_s,
        reentry_s=interval_s * draft.rise,
        fall=None if draft.fall == 1 else draft.fall,
        quiesce_server=draft.quiesce,
        quorum=draft.quorum,
        quorum_hysteresis=draft.hysteresis,
        quorum_up=draft.quorum_up,
        quorum_down=draft.quorum_down,
        servers=tuple(_servers(draft, network, check)),
    )


def _servers(draft: DraftVirtual, network: ForwardingMethod, check: Check) -> list[RealServer]:
    names: Counter[str] = Counter()
    servers = []
    for server in draft.servers:
        name = server.name or str(server.address)
        names[name] += 1
        port = server.port if server.port is not None else draft.port
        if check.port is not None:
            # Packets keep their port there, and this one is that of the checks alone.
            port = check.port
        servers.append(
            RealServer(
                name=name if names[name] == 1 else f"{name}-{names[name]}",
                address=server.address,
                active=server.active,
                weight=server.weight,
                port=port,
                forward=None if server.method is network else server.method,
                upper_threshold=server.upper_threshold,
                lower_threshold=server.lower_threshold,
                tunnel=server.tunnel,
                tunnel_port=server.tunnel_port,
                tunnel_checksum=server.tunnel_checksum,
            )
        )
    return servers


def _place_of_vip(
    draft: DraftVirtual, whole: Draft, ledger: Ledger, options: ImportOptions
) -> tuple[DeviceAddress | None, IPAddress | None]:
    vip = draft.vip
    if draft.mark:
        vip = _vip_of_mark(draft, whole)
        if vip is None and draft.version == 6 and whole_versions(whole, draft.mark) != {6}:
            message = f"nothing says that firewall mark {draft.mark} is IPv6 in lvs.cf"
            ledger.error(draft.place, f"{message}: give the rules that set the mark with --marks FILE")
        if vip is None:
            return None, None
    if vip is None:
        return None, None
    known = whole.devices.get(vip)
    if known is not None:
        return DeviceAddress(address=vip, device=known.device), known.mask
    if not options.device:
        if not draft.mark:
            ledger.error(draft.place, f"the source does not say which device carries {vip}: name it with --device eth0")
        return None, None
    return DeviceAddress(address=vip, device=options.device), None


def whole_versions(draft: Draft, mark: int) -> set[int]:
    """The IP versions that the rules of a mark have."""
    return {network.version for block in draft.marks if block.mark == mark for network in block.addresses}


def _vip_of_mark(draft: DraftVirtual, whole: Draft) -> IPAddress | None:
    """The only address that gives a mark in the virtual server's IP version, where there is exactly one."""
    networks = {network for block in whole.marks if block.mark == draft.mark for network in block.addresses}
    mine = [network for network in networks if network.version == draft.version]
    if len(mine) != 1 or mine[0].num_addresses != 1:
        return None
    return mine[0].network_address


def _common_check(draft: DraftVirtual, ledger: Ledger) -> Check:
    """The one check that all servers of a virtual server have; a connect where they differ."""
    chosen: Check | None = None
    differs = False
    for server in draft.servers:
        mine = _one_check(server, ledger)
        if mine is None:
            ledger.changed(server.place, draft.unchecked)
            mine = CONNECT
        if chosen is None:
            chosen = mine
        elif replace(mine, remark="", weaker=False) != replace(chosen, remark="", weaker=False):
            differs = True
    if chosen is None:
        return CONNECT
    if differs:
        for server in draft.servers:
            for place, check in server.checks:
                if not check.is_connect or check.port is not None:
                    message = f"the servers of {draft.name} have different checks, lvs.cf has one for a virtual server"
                    ledger.left(place, f"{message}: a connect to the port is checked instead")
        return CONNECT
    if draft.protocol is Protocol.UDP and chosen.send_program is None:
        # lvs.cf checks by the protocol of the service; what speaks TCP would never be answered.
        said = "lvs.cf checks a UDP service by UDP: its servers are down only when their port is unreachable"
        for server in draft.servers:
            for place, _ in server.checks:
                ledger.note(place, Verdict.CHANGED if chosen == CONNECT else Verdict.LEFT, said)
        return CONNECT
    if chosen.port is not None:
        chosen = _with_port(draft, chosen, ledger)
    return chosen


def _checkable(draft: DraftVirtual, check: Check, whole: Draft, ledger: Ledger) -> Check:
    """The check, where its servers have a port to be checked; else one that always succeeds."""
    if draft.mark and draft.port == 0:
        ports = {ports for block in whole.marks if block.mark == draft.mark for ports in block.ports}
        if len(ports) == 1 and (only := next(iter(ports))).first == only.last:
            draft.port = only.first
    lacking = [server for server in draft.servers if not (check.port or server.port or draft.port)]
    if not lacking or check.send_program is not None:
        return check
    for server in lacking:
        reason = "no port is named that could be checked: it is taken as up (send_program = /bin/true)"
        ledger.changed(server.place, f"{reason}; write `port = N` into its block, and remove send_program")
    return Check(send_program="/bin/true")


def _with_port(draft: DraftVirtual, check: Check, ledger: Ledger) -> Check:
    """The check's own port, as far as the forwarding method lets `port` be that of the checks alone."""
    port = check.port
    assert port is not None
    if all((server.port if server.port is not None else draft.port) == port for server in draft.servers):
        return replace(check, port=None)
    if draft.mark and all(server.port is None for server in draft.servers):
        # The port of a mark's virtual server is that of the checks alone.
        draft.port = port
        return replace(check, port=None)
    if any(server.method is ForwardingMethod.MASQUERADE for server in draft.servers):
        for server in draft.servers:
            for place, _ in server.checks:
                message = f"port {port} of the check is not the server's, and lvs.cf has one port for both"
                ledger.left(place, f"{message} where packets are masqueraded: the server's port is checked")
        return replace(check, port=None)
    for server in draft.servers:
        for place, _ in server.checks:
            ledger.changed(place, f"port = {port} of the real server is that of its checks: packets keep their port")
    return check


def _one_check(server: DraftServer, ledger: Ledger) -> Check | None:
    """The check that is kept of a server's, and the others' fate."""
    if not server.checks:
        return None
    strongest = next((pair for pair in server.checks if not pair[1].is_connect), server.checks[0])
    for pair in server.checks:
        place, check = pair
        if pair is not strongest:
            ledger.left(place, "lvs.cf has one check for a server: the other one is kept")
        elif check.weaker:
            ledger.left(place, check.remark)
        elif check.remark:
            ledger.changed(place, check.remark)
        else:
            ledger.carried(place)
    return strongest[1]
