"""What is measured: our tables with services and servers in them, and the peer on the very same maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench import build, net
from bench.driver import FILL, Driver, Hook, Stream
from bench.frames import ACK, SERVER_PORT, SYN, VIP_PORT, request
from bench.net import Net
from piranha.base.clock import ManualClock
from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.conntable import ConnectionTable
from piranha.dataplane.ebpf.hops import NextHopRecords
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.nexthop import NextHop
from piranha.dataplane.ebpf.object import BpfObject
from piranha.dataplane.ebpf.records import Records
from piranha.dataplane.ebpf.tables import Capacity, Tables, open_tables
from piranha.dataplane.port import AddDestination, AddService
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol, Service, ServiceKey

MILLION = 1_000_000
REAL_SERVERS = 100
_PEER_TABLES = frozenset({"lru_conns", "lru_replies"})
# Scratch memory, laid out by what a flow is in the build; and the lease, which no table of the plane is.
_PEER_OWN = frozenset({"workbench", "gate_lease"})
_OURS_ONLY = frozenset({"conn_tags", "conns", "rev_tags"})


class Unverified(Exception):  # noqa: N818 -- it is not an error of the program
    """A run did not do what it was to measure; its figure is worthless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a world is made for. Equal shapes may share a world.

    `peer_entries` is a little above `connections`: near the brim an LRU map evicts early, since each CPU keeps free
    entries of its own. The kernel makes as many hash buckets as the next power of two.
    """

    method: ForwardingMethod = ForwardingMethod.DIRECT
    version: int = 4
    services: int = 1
    servers: int = 1  # of each service
    scheduler: str = "rr"
    connections: int = MILLION
    peer_entries: int = 2**20


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of all destinations together."""

    conns: int
    in_packets: int
    out_packets: int

    def __sub__(self, other: Totals) -> Totals:
        return Totals(
            self.conns - other.conns, self.in_packets - other.in_packets, self.out_packets - other.out_packets
        )


class World:
    """Tables, ours and the peer's, for one shape. Both programs read the same services, destinations and next hops."""

    def __init__(self, here: Net, driver: Driver, shape: Shape) -> None:
        self.shape = shape
        self.net = here
        self._driver = driver
        services = max(256, shape.services * 2)
        destinations = services * shape.servers
        words = max(destinations * 8, 16_384)
        self.tables: Tables = open_tables(
            None,
            Capacity(connections=shape.connections, services=services, destinations=destinations, slot_words=words),
        )
        self.table = ConnectionTable(self.tables)
        row = self.tables.settings[0]
        row["mac"][0] = int.from_bytes(here.mac, "little")
        row["xdp_device"][0] = here.ifindex
        self._furnish()
        self._peer = self._load_peer()

    def _furnish(self) -> None:
        clock = ManualClock(1000.0)
        records = Records(self.tables, clock)
        hops = NextHopRecords(self.tables, records, clock)
        hops.set_xdp_devices(frozenset({self.net.ifindex}))
        version, masquerade = self.shape.version, self.shape.method is ForwardingMethod.MASQUERADE
        servers = self.shape.servers
        distinct = max(min(self.shape.services, REAL_SERVERS), servers)
        addresses = [net.server(version, 1 + number) for number in range(distinct)]
        for number in range(self.shape.services):
            key = ServiceKey(protocol=Protocol.TCP, address=net.VIP[version] + number, port=VIP_PORT)
            records.apply(AddService(service=Service(key=key, scheduler=self.shape.scheduler)))
            for place in range(number, number + servers):
                destination = Destination(
                    key=DestinationKey(
                        address=addresses[place % distinct], port=SERVER_PORT if masquerade else VIP_PORT
                    ),
                    method=self.shape.method,
                )
                records.apply(AddDestination(service=key, destination=destination))
        records.publish()
        hop = NextHop(
            ifindex=self.net.ifindex,
            gateway=None,
            source=net.DIRECTOR[version],
            source_mac=self.net.mac,
            destination_mac=net.SERVER_MAC,
            mtu=1500,
            local=False,
        )
        hops.update(dict.fromkeys(addresses, hop))

    def _load_peer(self) -> BpfObject:
        peer = BpfObject(build.PEER)
        for name in peer.maps:
            if name in _OURS_ONLY:
                peer.set_autocreate(name, False)
            elif name in _PEER_TABLES:
                peer.set_max_entries(name, self.shape.peer_entries)
            elif name in self.tables.maps and name not in _PEER_OWN:
                peer.reuse(name, self.tables.maps[name].fd)
        peer.set_autoload("lb_tc_egress", False)
        peer.load()
        return peer

    def contenders(self, hook: Hook) -> Mapping[str, int]:
        """The programs to compare, by name."""
        return {"ours": self.tables.program(f"lb_{hook}"), "peer": self._peer.program_fd(f"lb_{hook}")}

    def peer_maps(self) -> tuple[BpfMap, BpfMap]:
        """Connections and replies."""
        return self._peer.map("lru_conns"), self._peer.map("lru_replies")

    def totals(self) -> Totals:
        stats = self.tables.dest_stats(self.shape.services * self.shape.servers + 1)
        return Totals(int(stats["conns"].sum()), int(stats["in_packets"].sum()), int(stats["out_packets"].sum()))

    def fill(self, services: int = 1) -> None:
        """Establish every connection in both tables, over so many of the services: a SYN and an ACK each.

        Raises Unverified.
        """
        flows = self.shape.connections
        for name, program in self.contenders("xdp").items():
            before = self.totals()
            for flags in (SYN, ACK):
                stream = Stream(request(self.net, flags, self.shape.version), flows, services)
                self._driver.run(program, stream, flows, multiplier=FILL)
            done = self.totals() - before
            if done != Totals(flows, 2 * flows, 0):
                raise Unverified(f"filling {name}: {done}, refused {self.refusals()}")
        if self.table.count() != flows:
            raise Unverified(f"{self.table.count()} of {flows} connections are alive after filling")

    def clear(self) -> None:
        """Forget all connections."""
        self.tables.tags[:] = 0
        self.tables.maps["rev_tags"].array(abi.REV_LINE)["word"][:] = 0
        self.tables.dests["active"] = self.tables.dests["inactive"] = 0
        self._peer.close()
        self._peer = self._load_peer()

    def refusals(self) -> dict[str, int]:
        return {name: count for name, count in self.tables.reasons().items() if count}

    def close(self) -> None:
        self._peer.close()
        self.tables.close()
