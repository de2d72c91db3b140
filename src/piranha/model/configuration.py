"""What an `lvs.cf` says, resolved and typed. Field names are the directives' names, and units."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from piranha.model.address import IPAddress
from piranha.model.check_block import CheckBlock, ChecksNeeded
from piranha.model.mark import MarkBlock
from piranha.model.rules import DEFENCES, PlaneRules, defence_mode
from piranha.model.service import ForwardingMethod, Protocol, SchedulerFlag, TunnelChecksum, TunnelType


class ServiceMode(StrEnum):
    LVS = "lvs"
    FOS = "fos"


class DataPlaneChoice(StrEnum):
    AUTO = "auto"
    EBPF = "ebpf"
    IPVS = "ipvs"


class HookChoice(StrEnum):
    AUTO = "auto"
    XDP = "xdp"
    TC = "tc"


class TableEdits(StrEnum):
    """What lvsd does with edits of the table that others make, with ipvsadm for one."""

    SHOW = "show"
    REPAIR = "repair"
    ADOPT = "adopt"


class ProfileChoice(StrEnum):
    CALM = "calm"
    DEFAULT = "default"
    FAST = "fast"


class HeartbeatAuth(StrEnum):
    """How the directors know each other's heartbeats: by the pair's key, or, as the original did, not at all."""

    SEALED = "sealed"
    NONE = "none"


class ReservationConflictAction(StrEnum):
    NOTHING = "nothing"
    PREEMPT = "preempt"


class SchedulerFlagWord(StrEnum):
    """A word of `scheduler_flags`. Those of sh and mh name the same flags of a service as the numbered ones."""

    SH_FALLBACK = "sh-fallback"
    SH_PORT = "sh-port"
    MH_FALLBACK = "mh-fallback"
    MH_PORT = "mh-port"
    FLAG_1 = "flag-1"
    FLAG_2 = "flag-2"
    FLAG_3 = "flag-3"

    @property
    def flag(self) -> SchedulerFlag:
        return _FLAGS[self.rpartition("-")[2]]

    @property
    def scheduler(self) -> str:
        """The scheduler whose word it is; empty for the numbered ones, which any scheduler may have."""
        prefix = self.partition("-")[0]
        return "" if prefix == "flag" else prefix


_FLAGS = {
    "fallback": SchedulerFlag.SCHED1,
    "port": SchedulerFlag.SCHED2,
    "1": SchedulerFlag.SCHED1,
    "2": SchedulerFlag.SCHED2,
    "3": SchedulerFlag.SCHED3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceAddress:
    """An address with the device (or alias label, `eth0:1`) that carries it."""

    address: IPAddress
    device: str

    def __str__(self) -> str:
        return f"{self.address} {self.device}"


class SlowStartForm(StrEnum):
    """How the weight of a returning server grows."""

    LINEAR = "linear"
    DOUBLING = "doubling"


class LoadFormula(StrEnum):
    """How a weight follows a load average."""

    ORIGINAL = "original"
    BOUNDED = "bounded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RealServer:
    """A `server` block. `port` is already the virtual's port where the file gives none. Threshold 0 is no threshold.

    `checks` take the place of the virtual server's; `checks_needed` None is what the virtual server says.
    """

    name: str
    address: IPAddress | None = None
    active: bool = False
    weight: int = 1
    processors: int = 1
    port: int = 80
    forward: ForwardingMethod | None = None
    upper_threshold: int = 0
    lower_threshold: int = 0
    tunnel: TunnelType = TunnelType.IPIP
    tunnel_port: int = 0
    tunnel_checksum: TunnelChecksum = TunnelChecksum.NONE
    checks_needed: ChecksNeeded | None = None
    checks: tuple[CheckBlock, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualServer:
    """A `virtual` or `failover` block. Texts keep their escapes; None is "not set".

    `pmask` is a mask, or the length of a prefix in bits. With `fwmark` the port is that of the checks alone.
    """

    name: str
    active: bool = False
    address: DeviceAddress | None = None
    vip_nmask: IPAddress | None = None
    sorry_server: IPAddress | None = None
    fwmark: int = 0
    protocol: Protocol = Protocol.TCP
    port: int = 80
    scheduler: str = "wlc"
    scheduler_flags: tuple[SchedulerFlagWord, ...] = ()
    one_packet: bool = False
    persistent_s: float = 0
    pmask: IPAddress | int | None = None
    persistence_engine: str | None = None
    client_monitor: str | None = None
    send: str | None = None
    expect: str | None = None
    use_regex: bool = False
    send_program: str | None = None
    timeout_s: float = 10
    reentry_s: float = 180
    load_monitor: str | None = None
    quiesce_server: bool = False
    start_cmd: str | None = None
    stop_cmd: str | None = None
    interval_s: float | None = None
    rise: int | None = None
    fall: int | None = None
    slow_start_s: float = 0
    slow_start_form: SlowStartForm = SlowStartForm.LINEAR
    flap_limit: int = 3
    flap_window_s: float = 60
    flap_hold_s: float = 60
    quorum: int = 1
    quorum_hysteresis: int = 0
    quorum_up: str | None = None
    quorum_down: str | None = None
    depool_threshold: int = 0
    drain_timeout_s: float = 0
    checks_needed: ChecksNeeded = ChecksNeeded.ALL
    checks: tuple[CheckBlock, ...] = ()
    load_interval_s: float = 20
    load_port: int = 0
    load_path: str | None = None
    load_key: str | None = None
    load_formula: LoadFormula = LoadFormula.ORIGINAL
    load_lifetime_s: float = 0
    servers: tuple[RealServer, ...] = ()


_RULES = PlaneRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A whole file. `marks`, `virtuals` and `failovers` keep the file's order; their names may repeat.

    `keepalive_s` and `deadtime_s` are None where the profile decides.
    """

    serial_no: int = 0
    service: ServiceMode = ServiceMode.LVS
    primary: IPAddress | None = None
    primary_private: IPAddress | None = None
    primary_shared: str | None = None
    backup: IPAddress | None = None
    backup_private: IPAddress | None = None
    backup_shared: str | None = None
    backup_active: bool = False
    heartbeat: bool = False
    heartbeat_port: int = 539
    heartbeat_auth: HeartbeatAuth = HeartbeatAuth.SEALED
    pair_port: int | None = None
    keepalive_s: float | None = None
    deadtime_s: float | None = None
    network: ForwardingMethod = ForwardingMethod.MASQUERADE
    nat_router: DeviceAddress | None = None
    nat_nmask: IPAddress | None = None
    active_cmd: str | None = None
    inactive_cmd: str | None = None
    monitor_links: int = 0
    debug_level: str = "NONE"
    hard_shutdown: bool = True
    ipvsadm: str = "/sbin/ipvsadm"
    rsh_command: str = "rsh"
    syncdaemon: bool = False
    syncd_iface: str = "eth0"
    syncd_id: int = 0
    syncd_group: IPAddress | None = None
    syncd_port: int = 8848
    syncd_ttl: int = 1
    syncd_maxlen: int = 0
    syncd_link_port: int = 0
    sync_threshold: int | None = None
    sync_period: int = 50
    sync_refresh_period_s: float = 0
    sync_persist_mode: bool = False
    tcp_timeout_s: float = 0
    tcpfin_timeout_s: float = 0
    udp_timeout_s: float = 0
    reservation_conflict_action: ReservationConflictAction | None = None
    sync: bool = False
    dataplane: DataPlaneChoice = DataPlaneChoice.AUTO
    interfaces: tuple[str, ...] = ()
    hook: HookChoice = HookChoice.AUTO
    table_edits: TableEdits = TableEdits.SHOW
    api_group: str | None = None
    profile: ProfileChoice = ProfileChoice.DEFAULT
    failback: bool = False
    failback_delay_s: float = 30
    start_delay_s: float = 0
    am_droprate: int = _RULES.am_droprate
    amemthresh: int = _RULES.amemthresh
    cache_bypass: bool = _RULES.cache_bypass
    conn_reuse_mode: int = _RULES.conn_reuse_mode
    drop_entry: int = _RULES.drop_entry
    drop_packet: int = _RULES.drop_packet
    expire_nodest_conn: bool = _RULES.expire_nodest_conn
    expire_quiescent_template: bool = _RULES.expire_quiescent_template
    lblc_expiration: int = _RULES.lblc_expiration
    lblcr_expiration: int = _RULES.lblcr_expiration
    nat_icmp_send: bool = _RULES.nat_icmp_send
    pmtu_disc: bool = _RULES.pmtu_disc
    schedule_icmp: bool = _RULES.schedule_icmp
    secure_tcp: int = _RULES.secure_tcp
    sloppy_sctp: bool = _RULES.sloppy_sctp
    sloppy_tcp: bool = _RULES.sloppy_tcp
    marks: tuple[MarkBlock, ...] = field(default=())
    virtuals: tuple[VirtualServer, ...] = field(default=())
    failovers: tuple[VirtualServer, ...] = field(default=())

    @property
    def rules(self) -> PlaneRules:
        """The rules of the data plane, as this file has them."""
        values = {rule.name: getattr(self, rule.name) for rule in fields(PlaneRules)}
        return PlaneRules(**values | {name: defence_mode(values[name]) for name in DEFENCES})

    @property
    def link_port(self) -> int:
        """TCP port of the pair link; beside that of the heartbeats, where none is given."""
        beside = self.heartbeat_port + 1 if self.heartbeat_port < 65535 else self.heartbeat_port - 1
        return beside if self.pair_port is None else self.pair_port

    def version_of(self, virtual: VirtualServer) -> int:
        """The IP version of a virtual server's packets: that of its VIP, else that of its mark's blocks; of both 4."""
        if virtual.address is not None:
            return virtual.address.address.version
        blocks = [block for block in self.marks if block.mark == virtual.fwmark]
        return 6 if {network.version for block in blocks for network in block.addresses} == {6} else 4
