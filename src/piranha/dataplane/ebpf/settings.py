"""Marks' rules, timeouts and IPVS's switches: what concerns all services, written to and read back from the kernel's settings."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

import numpy as np

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.abi import FilterBit, Rule, SettingFlag
from piranha.dataplane.ebpf.filter import AddressFilter
from piranha.dataplane.ebpf.locality import Locality
from piranha.dataplane.ebpf.tables import Tables
from piranha.dataplane.port import RefusalKind, RefusedError
from piranha.model.address import IPAddress
from piranha.model.mark import MarkRule
from piranha.model.rules import PlaneRules
from piranha.model.service import Protocol, Timeouts

_SWITCHES = {
    "expire_nodest_conn": Rule.EXPIRE_NODEST_CONN,
    "expire_quiescent_template": Rule.EXPIRE_QUIESCENT_TEMPLATE,
    "sloppy_tcp": Rule.SLOPPY_TCP,
    "sloppy_sctp": Rule.SLOPPY_SCTP,
    "pmtu_disc": Rule.PMTU_DISC,
    "schedule_icmp": Rule.SCHEDULE_ICMP,
    "nat_icmp_send": Rule.NAT_ICMP_SEND,
    "cache_bypass": Rule.CACHE_BYPASS,
}
_DEFENCE_NUMBERS = ("am_droprate", "amemthresh", "drop_entry", "drop_packet", "secure_tcp")


class Settings:
    """The plane's rules. `adopt` takes over what an earlier life wrote."""

    def __init__(self, tables: Tables, address_filter: AddressFilter) -> None:
        self._tables = tables
        self._filter = address_filter
        self._locality = Locality(tables)
        self._marked: list[IPAddress] = []

    def adopt(self) -> None:
        self._mark_addresses(self.mark_rules())

    # ---- firewall marks ----

    def mark_rules(self) -> tuple[MarkRule, ...]:
        """The rules in force, in the order in which they are tried."""
        count = int(self._tables.settings["mark_rules"][0])
        return tuple(_read_rule(row) for row in self._tables.mark_rules[:count])

    def set_mark_rules(self, rules: Sequence[MarkRule]) -> None:
        """Replace the rules. Raises RefusedError when there are too many."""
        table = self._tables.mark_rules
        if len(rules) > len(table):
            raise RefusedError(RefusalKind.FULL, f"{len(rules)} rules of marks: there is room for {len(table)}")
        # Packets see none for a moment rather than a mixture; connections that exist do not need them.
        self._tables.settings["mark_rules"][0] = 0
        for place, rule in enumerate(rules):
            row = table[place]
            row["addr"] = np.frombuffer(abi.pack_address(rule.network.network_address), "u1")
            row["mask"] = np.frombuffer(abi.pack_mask(rule.network), "u1")
            row["first_port"], row["last_port"] = rule.first_port, rule.last_port
            row["mark"], row["proto"] = rule.mark, int(rule.protocol)
        self._mark_addresses(rules)
        self._tables.settings["mark_rules"][0] = len(rules)

    def _mark_addresses(self, rules: Sequence[MarkRule]) -> None:
        """Packets to single addresses pass the filter; networks do not fit there, so then every packet is looked at."""
        single = [rule.network.network_address for rule in rules if rule.network.num_addresses == 1]
        for address in single:
            self._filter.add(address, FilterBit.VIP)
        for address in self._marked:
            self._filter.remove(address, FilterBit.VIP)
        self._marked = single
        self.set_flag(SettingFlag.MARK_ANY, len(single) < len(rules))

    # ---- timeouts ----

    def timeouts(self) -> Timeouts:
        s, hz = self._tables.settings[0], self._tables.hz
        return Timeouts(
            tcp_s=int(s["tcp_timeout"][abi.TCP_ESTABLISHED]) / hz,
            tcp_fin_s=int(s["tcp_timeout"][abi.TCP_FIN_WAIT]) / hz,
            udp_s=int(s["udp_timeout"]) / hz,
        )

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """A timeout of 0 stays as it is."""
        s, hz = self._tables.settings[0], self._tables.hz
        if timeouts.tcp_s:
            s["tcp_timeout"][abi.TCP_ESTABLISHED] = jiffies(timeouts.tcp_s, hz)
        if timeouts.tcp_fin_s:
            s["tcp_timeout"][abi.TCP_FIN_WAIT] = jiffies(timeouts.tcp_fin_s, hz)
        if timeouts.udp_s:
            s["udp_timeout"] = jiffies(timeouts.udp_s, hz)

    # ---- switches ----

    def rules(self) -> PlaneRules:
        row = self._tables.settings[0]
        bits = int(row["rules"])
        switches = {name: bool(bits & bit) for name, bit in _SWITCHES.items()}
        defence = self._tables.defence[0]
        lblc_s, lblcr_s = self._locality.expirations_s()
        return PlaneRules(
            conn_reuse_mode=int(row["conn_reuse_mode"]),
            lblc_expiration=lblc_s,
            lblcr_expiration=lblcr_s,
            am_droprate=int(defence["am_droprate"]),
            amemthresh=int(defence["amemthresh"]),
            drop_entry=int(defence["drop_entry"]),
            drop_packet=int(defence["drop_packet"]),
            secure_tcp=int(defence["secure_tcp"]),
            **switches,
        )

    def set_rules(self, rules: PlaneRules) -> None:
        """Put IPVS's switches in force."""
        row = self._tables.settings[0]
        row["conn_reuse_mode"] = rules.conn_reuse_mode
        row["rules"] = sum(int(bit) for name, bit in _SWITCHES.items() if getattr(rules, name))
        defence = self._tables.defence[0]
        for name in _DEFENCE_NUMBERS:
            defence[name] = getattr(rules, name)
        self._locality.set_expirations(rules.lblc_expiration, rules.lblcr_expiration)
        self._tables.weigh()

    def ftp_ports(self) -> tuple[int, ...]:
        """Virtual ports whose masqueraded connections are read as FTP's control connections."""
        return tuple(int(port) for port in self._tables.settings["ftp_ports"][0] if port)

    def set_flag(self, flag: SettingFlag, on: bool) -> None:
        flags = int(self._tables.settings["flags"][0])
        self._tables.settings["flags"][0] = flags | flag if on else flags & ~int(flag)


def jiffies(seconds: float, hz: int) -> int:
    """The kernel's ticks, at least one and no more than its comparisons bear."""
    return max(1, min(2**31 - 1, round(seconds * hz)))


def _read_rule(row: np.void) -> MarkRule:
    address = abi.unpack_address(row["addr"])
    bits = int.from_bytes(bytes(row["mask"]), "big").bit_count() - (96 if address.version == 4 else 0)
    network: IPv4Network | IPv6Network = ip_network((address, bits))
    return MarkRule(
        mark=int(row["mark"]),
        network=network,
        protocol=Protocol(int(row["proto"])),
        first_port=int(row["first_port"]),
        last_port=int(row["last_port"]),
    )
