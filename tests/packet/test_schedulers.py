"""Who gets the next connection: rr, wrr, lc and wlc as IPVS's kernel answers, packet by packet.

Servers are named 1, 2, 3 in the order they are added; the newest comes first in the list.
"""

from __future__ import annotations

from ipaddress import ip_address

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, TCPerror, UDPerror
from scapy.layers.inet6 import ICMPv6DestUnreach, IPerror6, IPv6
from scapy.packet import Packet

from piranha.dataplane.port import AddDestination, DeleteDestination, EditDestination, EditService, Operation
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, VIP, Bench


class Farm:
    """One service and its numbered servers."""

    def __init__(self, bench: Bench, scheduler: str, *weights: int) -> None:
        self.bench = bench
        self.service = bench.service(scheduler=scheduler)
        for number, weight in enumerate(weights, 1):
            self.add(number, weight)

    def destination(self, number: int, weight: int = 1) -> Destination:
        key = DestinationKey(address=ip_address(f"10.2.{number >> 8}.{number & 255}"), port=80)
        return Destination(key=key, method=ForwardingMethod.MASQUERADE, weight=weight)

    def add(self, number: int, weight: int = 1) -> None:
        destination = self.destination(number, weight)
        self.bench.server(self.service, str(destination.key.address), weight=weight, port=80)

    def edit(self, number: int, weight: int) -> None:
        self.apply(EditDestination(service=self.service, destination=self.destination(number, weight)))

    def remove(self, number: int) -> None:
        self.apply(DeleteDestination(service=self.service, key=self.destination(number).key))

    def apply(self, *operations: Operation) -> None:
        self.bench.plane.apply(operations)

    def pick(self) -> int:
        """Who gets a new connection; 0 when it is refused."""
        before = self.bench.status(self.service).counters.connections
        out = self.bench.run(self.bench.to_vip(4, TCP, flags="S"))
        if self.bench.status(self.service).counters.connections == before:
            return 0
        a, b = out.packet[IP].dst.split(".")[2:]
        return int(a) << 8 | int(b)

    def picks(self, count: int) -> str:
        return " ".join(str(self.pick()) for _ in range(count))

    def load(self, number: int, active: int, inactive: int = 0) -> None:
        """Say that a server has so many connections."""
        rows = self.bench.tables.dests
        address = np.frombuffer(bytes(10) + b"\xff\xff" + self.destination(number).key.address.packed, "u1")
        (index,) = np.flatnonzero((rows["addr"] == address).all(axis=1))
        rows["active"][index], rows["inactive"][index] = active, inactive


def test_rr_begins_with_the_newest_and_ignores_weights(bench: Bench) -> None:
    assert Farm(bench, "rr", 1, 9, 5).picks(7) == "3 2 1 3 2 1 3"


def test_rr_skips_the_quiesced(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 0, 1)
    assert farm.picks(4) == "3 1 3 1"


def test_rr_goes_on_where_it_was_when_others_change(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 1, 1, 1)
    assert farm.picks(2) == "4 3"
    farm.add(5)
    assert farm.picks(1) == "2"
    farm.remove(1)
    assert farm.picks(1) == "5"
    farm.edit(4, 0)
    assert farm.picks(1) == "3"
    farm.edit(4, 1)
    assert farm.picks(4) == "2 5 4 3"


def test_rr_steps_back_when_the_last_pick_is_removed(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 1, 1, 1)
    assert farm.picks(2) == "4 3"
    farm.remove(3)  # behind 4 now
    assert farm.picks(3) == "2 1 4"
    farm.remove(4)  # at the head now
    farm.add(5)
    assert farm.picks(1) == "5"


def test_rr_remembers_a_last_pick_that_is_quiesced(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 1, 1)
    assert farm.picks(1) == "3"
    for number, weight in ((3, 0), (2, 0), (1, 0)):
        farm.edit(number, weight)
    assert farm.pick() == 0
    for number in (3, 2, 1):
        farm.edit(number, 1)
    assert farm.picks(3) == "2 1 3"


@pytest.mark.parametrize(
    ("weights", "period"),
    [
        ((4, 3, 2), "3 2 1 1 2 1 3 2 1"),
        ((10, 20, 30), "3 2 1 3 3 2"),
        ((5, 1, 1), "3 2 1 1 1 1 1"),
        ((1, 1, 1), "3 2 1"),
        ((2, 0, 2), "3 1"),
    ],
)
def test_wrr_phases(bench: Bench, weights: tuple[int, ...], period: str) -> None:
    farm = Farm(bench, "wrr", *weights)
    turns = len(period.split())
    assert [farm.picks(turns) for _ in range(3)] == [period] * 3


def test_wrr_edit_begins_a_pass_anew_with_the_threshold_kept(bench: Bench) -> None:
    farm = Farm(bench, "wrr", 4, 3, 2)
    assert farm.picks(4) == "3 2 1 1"  # the threshold is 4 now
    farm.edit(3, 1)  # the same step, the same top: a pass at 4 from the head
    assert farm.picks(8) == "1 2 1 2 1 3 2 1"
    farm.edit(3, 2)  # a whole period was taken: the threshold is still that of its last pass
    assert farm.picks(4) == "3 2 1 1"


def test_wrr_all_quiesced_and_back(bench: Bench) -> None:
    farm = Farm(bench, "wrr", 3, 1)
    assert farm.picks(3) == "2 1 1"
    farm.edit(1, 0)
    farm.edit(2, 0)
    assert farm.pick() == 0
    farm.edit(1, 3)
    farm.edit(2, 1)
    assert farm.picks(6) == "2 1 1 1 2 1"


def test_wrr_looks_past_a_heavy_server_that_takes_nothing(bench: Bench) -> None:
    """A thousand turns in a row belong to a server that is over its threshold: the other still gets its turn."""
    farm = Farm(bench, "wrr", 1000, 1)
    (heavy,) = np.flatnonzero(bench.tables.dests["weight"] == 1000)
    bench.tables.dests["overload"][heavy] = 1
    assert farm.picks(3) == "2 2 2"


def test_lc_counts_active_256_times(bench: Bench) -> None:
    farm = Farm(bench, "lc", 1, 1)
    farm.load(1, 1, 0)
    farm.load(2, 0, 255)
    assert farm.pick() == 2
    farm.load(2, 0, 256)  # a tie with 1: the newest comes first
    assert farm.pick() == 2
    farm.load(2, 0, 257)
    assert farm.pick() == 1


def test_lc_ignores_weights_but_not_0(bench: Bench) -> None:
    farm = Farm(bench, "lc", 100, 1, 0)
    farm.load(1, 2)
    farm.load(2, 2)
    farm.load(3, 0)
    assert farm.pick() == 2


def test_lc_spreads(bench: Bench) -> None:
    assert Farm(bench, "lc", 1, 1, 1).picks(6) == "3 2 1 3 2 1"


def test_wlc_compares_by_cross_multiplication(bench: Bench) -> None:
    farm = Farm(bench, "wlc", 3, 7)
    farm.load(1, 30, 1)
    farm.load(2, 70, 2)  # (256 * 70 + 2) / 7 is less than (256 * 30 + 1) / 3
    assert farm.pick() == 2
    farm.load(2, 70, 3)
    farm.load(1, 30, 1)
    assert farm.pick() == 1


def test_wlc_all_idle_gives_the_newest_not_the_heaviest(bench: Bench) -> None:
    farm = Farm(bench, "wlc", 9, 1)
    assert farm.pick() == 2


def test_wlc_fills_by_weight(bench: Bench) -> None:
    farm = Farm(bench, "wlc", 3, 1, 0)
    picked = [farm.pick() for _ in range(40)]
    assert (picked.count(1), picked.count(2), picked.count(3)) == (30, 10, 0)


def test_wlc_with_large_numbers(bench: Bench) -> None:
    farm = Farm(bench, "wlc", 2**31 - 1, 2**31 - 1)
    farm.load(1, 2**24, 0)
    farm.load(2, 2**24, 1)
    assert farm.pick() == 1


@pytest.mark.parametrize("scheduler", ["rr", "wrr", "lc", "wlc"])
def test_a_thousand_destinations(tc: Bench, scheduler: str) -> None:
    farm = Farm(tc, scheduler)
    farm.apply(*(AddDestination(service=farm.service, destination=farm.destination(n)) for n in range(1, 1001)))
    assert [farm.pick() for _ in range(5)] == [1000, 999, 998, 997, 996]
    for number in range(2, 1001):
        if number != 500:
            farm.load(number, 5)
    if scheduler in ("lc", "wlc"):
        assert {farm.pick(), farm.pick()} == {1, 500}


def test_scheduler_changed_at_run_time(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 2, 3)
    key = farm.service
    assert farm.picks(2) == "3 2"
    farm.apply(EditService(service=Service(key=key, scheduler="wrr")))
    assert farm.picks(6) == "3 3 2 3 2 1"
    farm.load(1, 0)
    farm.load(2, 9)
    farm.load(3, 9)
    farm.apply(EditService(service=Service(key=key, scheduler="lc")))
    assert farm.picks(2) == "1 1"
    farm.apply(EditService(service=Service(key=key, scheduler="rr")))
    assert farm.picks(3) == "3 2 1"


IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(("l4", "protocol"), [(TCP, Protocol.TCP), (UDP, Protocol.UDP)])
@pytest.mark.parametrize("servers", [0, 1], ids=["none", "quiesced"])
def test_no_destination_is_answered_with_port_unreachable(
    tc: Bench, version: int, l4: type[Packet], protocol: Protocol, servers: int
) -> None:
    service = tc.service(version, protocol)
    if servers:
        tc.server(service, weight=0)
    request = tc.to_vip(version, l4, 5000, **({"flags": "S"} if l4 is TCP else {}))
    out = tc.run(request)
    layer = IP_LAYER[version]
    assert out.verdict == "redirect"
    assert (out.packet.dst, out.packet.src) == (CLIENT_MAC, tc.net.mac["cl"])
    assert (out.packet[layer].src, out.packet[layer].dst) == (VIP[version], CLIENT[version])
    if version == 4:
        assert (out.packet[ICMP].type, out.packet[ICMP].code) == (3, 3)
        assert out.packet[IP].len == len(out.raw) - 14
        quote = out.packet[IPerror]
        ports = out.packet[TCPerror if l4 is TCP else UDPerror]
    else:
        assert (out.packet[ICMPv6DestUnreach].type, out.packet[ICMPv6DestUnreach].code) == (1, 4)
        assert out.packet[IPv6].plen == len(out.raw) - 54
        quote = out.packet[IPerror6]
        ports = out.packet[TCPerror if l4 is TCP else UDPerror]
    assert (quote.src, quote.dst, ports.sport, ports.dport) == (CLIENT[version], VIP[version], 5000, 80)
    header = (20 if version == 4 else 40) + (20 if l4 is TCP else 8)
    assert out.raw[-header:] == bytes(request)[14 : 14 + header], "the quote is not what was sent"
    assert_checksums_of_error(out.raw)
    assert not tc.connections()
    assert tc.reasons() == {"no_destination": 1, "icmp_sent": 1}


def assert_checksums_of_error(raw: bytes) -> None:
    """Of the IP header and the ICMP message; scapy knows both."""
    packet = IP_LAYER[4 if raw[12:14] == b"\x08\x00" else 6](raw[14:])
    copy = packet.copy()
    if IP in packet:
        del copy[IP].chksum, copy[ICMP].chksum
        again = IP(bytes(copy))
        assert (again.chksum, again[ICMP].chksum) == (packet.chksum, packet[ICMP].chksum)
    else:
        got = copy[1].cksum
        del copy[1].cksum
        assert IPv6(bytes(copy))[1].cksum == got


def test_xdp_hands_on_what_nobody_can_take(xdp: Bench) -> None:
    xdp.service()
    request = xdp.to_vip(4, TCP, flags="S")
    out = xdp.run(request)
    assert (out.verdict, out.raw) == ("pass", bytes(request))
    assert xdp.reasons() == {"xdp_handed_on": 1}


def test_errors_have_a_rate(tc: Bench) -> None:
    """After the burst, silence: dropped and counted."""
    tc.service()
    tc.tables.settings["icmp_rate"], tc.tables.settings["icmp_burst"] = 1, 5
    verdicts = [tc.run(tc.to_vip(4, TCP, flags="S")).verdict for _ in range(60)]
    sent, limited = tc.reasons()["icmp_sent"], tc.reasons()["icmp_limited"]
    # The budget is each CPU's own, and we may run on any.
    assert 5 <= sent <= 20
    assert (verdicts.count("redirect"), verdicts.count("drop")) == (sent, limited)
    assert sent + limited == 60


def test_the_last_destination_leaves_and_another_comes(bench: Bench) -> None:
    """The last destination goes: refused, and with the first one back, served."""
    farm = Farm(bench, "rr", 1)
    assert farm.pick() == 1
    farm.remove(1)
    assert farm.pick() == 0
    farm.add(2)
    assert farm.picks(2) == "2 2"


def test_counters_of_the_service_are_its_own(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1, 1)
    other: ServiceKey = bench.service(port=81)
    farm.picks(4)
    status = bench.status(farm.service)
    assert [d.counters.connections for d in status.destinations] == [2, 2]
    assert status.counters.connections == 4
    assert bench.status(other).counters.connections == 0
