"""Drafts of virtual servers: what translators fill in, and how it becomes a configuration."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from piranha.importers.checks import CONNECT, Check
from piranha.importers.ledger import Ledger, Place
from piranha.importers.options import ImportOptions
from piranha.importers.values import MOST_WEIGHT
from piranha.model.address import IPAddress
from piranha.model.check_block import CheckBlock, CheckKind
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
_SLOW_START_WEIGHT = 100
"""What weights are multiplied by where servers start slowly, since a weight of 1 has none below it."""


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
    slow_start_s: float = 0

    def set_own_times(self, *, interval_s: float, timeout_s: float, fall: int, rise: int) -> None:
        """Times of its checks that are not the virtual server's; a timeout fits into the interval."""
        self.checks = [
            (place, check.with_times(interval_s, min(timeout_s, interval_s), fall, rise))
            for place, check in self.checks
        ]


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
    common = _common_check(draft, ledger)
    shared: tuple[CheckBlock, ...] = ()
    own: list[tuple[CheckBlock, ...]] = [()] * len(draft.servers)
    if common is None:
        shared, own = _blocks(draft, ledger)
    slow_start_s, factor = _slow_start(draft, ledger)
    check = _checkable(draft, common or CONNECT, whole, ledger) if common is not None else CONNECT
    interval_s = draft.interval_s if draft.interval_s is not None else draft.timeout_s
    address, mask = _place_of_vip(draft, whole, ledger, options)
    send = check.send
    if common is not None and check.is_connect and draft.port == _HTTP_PORT and draft.protocol is Protocol.TCP:
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
        slow_start_s=slow_start_s,
        quiesce_server=draft.quiesce,
        quorum=draft.quorum,
        quorum_hysteresis=draft.hysteresis,
        quorum_up=draft.quorum_up,
        quorum_down=draft.quorum_down,
        checks=shared,
        servers=tuple(_servers(draft, network, own, factor)),
    )


def _servers(
    draft: DraftVirtual, network: ForwardingMethod, blocks: list[tuple[CheckBlock, ...]], factor: int
) -> list[RealServer]:
    names: Counter[str] = Counter()
    servers = []
    for server, own in zip(draft.servers, blocks, strict=True):
        name = server.name or str(server.address)
        names[name] += 1
        port = server.port if server.port is not None else draft.port
        servers.append(
            RealServer(
                name=name if names[name] == 1 else f"{name}-{names[name]}",
                address=server.address,
                active=server.active,
                weight=server.weight * factor,
                port=port,
                forward=None if server.method is network else server.method,
                upper_threshold=server.upper_threshold,
                lower_threshold=server.lower_threshold,
                tunnel=server.tunnel,
                tunnel_port=server.tunnel_port,
                tunnel_checksum=server.tunnel_checksum,
                checks=own,
            )
        )
    return servers


def _slow_start(draft: DraftVirtual, ledger: Ledger) -> tuple[float, int]:
    """The longest slow start of its servers, and what their weights are multiplied by."""
    times = {server.slow_start_s for server in draft.servers}
    longest = max(times, default=0.0)
    if not longest:
        return 0, 1
    if len(times) > 1:
        ledger.changed(draft.place, "all servers of a virtual server start slowly, or none: the longest time is kept")
    heaviest = max(server.weight for server in draft.servers)
    if all(server.weight != 1 for server in draft.servers) or heaviest * _SLOW_START_WEIGHT > MOST_WEIGHT:
        return longest, 1
    message = f"weights are multiplied by {_SLOW_START_WEIGHT}: a weight of 1 could not grow slowly"
    ledger.changed(draft.place, message)
    return longest, _SLOW_START_WEIGHT


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


def _common_check(draft: DraftVirtual, ledger: Ledger) -> Check | None:
    """The one plain check that all servers of a virtual server have; None where they need blocks of their own."""
    checks: list[tuple[Check, ...]] = []
    for server in draft.servers:
        if not server.checks:
            ledger.changed(server.place, draft.unchecked)
        for place, check in server.checks:
            if check.weaker:
                ledger.left(place, check.remark)
            else:
                ledger.carried(place)
            if check.remark:
                ledger.changed(place, check.remark)
        checks.append(tuple(replace(check, remark="", weaker=False) for _, check in server.checks))
    if not any(checks):
        return CONNECT
    if any(one != checks[0] for one in checks) or len(checks[0]) > 1:
        return None
    plain = checks[0][0]
    if plain.block is not None or plain.port is not None:
        return None
    return None if draft.protocol is Protocol.UDP and plain.send_program is None else plain


def _blocks(draft: DraftVirtual, ledger: Ledger) -> tuple[tuple[CheckBlock, ...], list[tuple[CheckBlock, ...]]]:
    """The blocks of the virtual server, where all its servers share them; else none, and those of each server."""
    unchecked = CheckBlock(kind=CheckKind.UDP if draft.protocol is Protocol.UDP else CheckKind.TCP)
    each = []
    for server in draft.servers:
        blocks = tuple(check.as_block for _, check in server.checks) or (unchecked,)
        if server.port is None and draft.port == 0 and any(block.port is None and _asks(block) for block in blocks):
            reason = "no port is named that could be checked: it is taken as up (check none)"
            ledger.changed(server.place, f"{reason}; write `port = N` into its check")
            blocks = (CheckBlock(kind=CheckKind.NONE),)
        each.append(blocks)
    if all(blocks == each[0] for blocks in each):
        return each[0], [()] * len(each)
    return (), each


def _asks(block: CheckBlock) -> bool:
    return block.kind not in (CheckKind.ICMP, CheckKind.PROGRAM, CheckKind.NONE)


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
