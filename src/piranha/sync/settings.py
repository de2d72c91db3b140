"""What `lvs.cf` says of connection sync, and the rule that follows from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from piranha.dataplane.ebpf.departures import Rule
from piranha.dataplane.port import SyncDaemon, SyncRole
from piranha.model.address import IPAddress
from piranha.model.configuration import Configuration
from piranha.sync.rules import EveryConnection, EveryFewPackets

DEFAULT_PERIOD = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncSettings:
    """`threshold` None tells of every connection at once; a number is IPVS's rule.

    `local` and `peer` are the ends of the pair link; None where there is no partner with an address of its own.
    """

    enabled: bool = False
    interface: str = "eth0"
    sync_id: int = 0
    group: IPAddress | None = None
    port: int = 8848
    ttl: int = 1
    max_length: int = 0
    threshold: int | None = None
    period: int = DEFAULT_PERIOD
    refresh_s: float = 0
    templates_only: bool = False
    link_port: int = 0

    @staticmethod
    def of(configuration: Configuration) -> SyncSettings:
        return SyncSettings(
            enabled=configuration.syncdaemon,
            interface=configuration.syncd_iface,
            sync_id=configuration.syncd_id,
            group=configuration.syncd_group,
            port=configuration.syncd_port,
            ttl=configuration.syncd_ttl,
            max_length=configuration.syncd_maxlen,
            threshold=configuration.sync_threshold,
            period=configuration.sync_period,
            refresh_s=configuration.sync_refresh_period_s,
            templates_only=configuration.sync_persist_mode,
            link_port=configuration.syncd_link_port,
        )

    def daemon(self, role: SyncRole) -> SyncDaemon:
        return SyncDaemon(
            role=role,
            interface=self.interface,
            sync_id=self.sync_id,
            group=self.group,
            port=self.port,
            ttl=self.ttl,
            max_length=self.max_length,
        )

    @property
    def rule(self) -> Rule:
        if self.threshold is None:
            return EveryConnection(templates_only=self.templates_only)
        return EveryFewPackets(
            threshold=self.threshold,
            period=self.period,
            refresh_s=self.refresh_s,
            templates_only=self.templates_only,
        )
