"""A command without lvsd: the tables in the kernel opened by their pins, and the programs that are there see its edits."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP

from piranha.dataplane.ebpf import tables as tables_module
from piranha.dataplane.ebpf.pinned import PinnedPlane
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.tables import open_tables, pinned_tables
from piranha.dataplane.port import (
    AddDestination,
    ConnectionFilter,
    DeleteDestination,
    EditDestination,
    SetTimeouts,
)
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Timeouts
from tests.packet.bench import DIRECTOR, SERVER, Bench, Net
from tests.packet.test_adoption import CAPACITY


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    pins = Pins(tmp_path / "bpf")
    pins.mount()
    yield pins
    pins.remove_all()
    pins.unmount()


def reopened(pins: Pins) -> PinnedPlane:
    tables = pinned_tables(pins)
    assert tables is not None
    return PinnedPlane(tables)


def test_what_stands_is_read_and_edited_without_loading(
    net: Net, pins: Pins, hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(net, hook, open_tables(pins, CAPACITY))
    service = bench.service()
    bench.server(service, port=80)
    bench.run(bench.to_vip(4, TCP, 5000, flags="S"))
    before = bench.plane.snapshot(), bench.plane.timeouts(), bench.connections()
    monkeypatch.setattr(tables_module, "BpfObject", None)

    pinned = net.inside(lambda: reopened(pins))
    found = pinned.connections(ConnectionFilter()).rows
    assert (pinned.snapshot(), pinned.timeouts(), len(found)) == (before[0], before[1], len(before[2]))
    assert pinned.capacity == CAPACITY.connections
    (first,) = (d.destination for d in before[0][0].destinations)
    other = Destination(key=DestinationKey(address=first.key.address, port=8080), method=first.method)
    net.inside(
        lambda: pinned.apply(
            [
                AddDestination(service=service, destination=other),
                DeleteDestination(service=service, key=first.key),
                SetTimeouts(timeouts=Timeouts(tcp_s=77)),
            ]
        )
    )
    assert bench.plane.timeouts().tcp_s == 77
    out = bench.run(bench.to_vip(4, TCP, 5001, flags="S"))
    assert (out.packet[IP].dst, out.packet[TCP].dport) == (SERVER[4], 8080)
    assert not pinned.needs_programs
    pinned.close()
    bench.plane.close()


def test_a_new_destination_has_its_next_hop_at_once(net: Net, pins: Pins) -> None:
    bench = Bench(net, "xdp", open_tables(pins, CAPACITY))
    service = bench.service()
    pinned = net.inside(lambda: reopened(pins))
    key = DestinationKey(address=ip_address(SERVER[4]), port=80)
    added = Destination(key=key, method=ForwardingMethod.MASQUERADE)
    net.inside(lambda: pinned.apply([AddDestination(service=service, destination=added)]))
    assert bench.run(bench.to_vip(4, TCP, 5000, flags="S")).verdict == "redirect"
    hop = bench.tables.nexthops[bench.tables.dests["nexthop"].max()]
    assert int(hop["ifindex"]) == net.index["rs"]
    # An edit of what has its way asks for nothing and takes nothing away.
    net.inside(lambda: pinned.apply([EditDestination(service=service, destination=added)]))
    assert bench.run(bench.to_vip(4, TCP, 5001, flags="S")).verdict == "redirect"
    pinned.close()
    bench.plane.close()


def test_a_server_of_this_host_asks_for_a_program(net: Net, pins: Pins) -> None:
    bench = Bench(net, "tc", open_tables(pins, CAPACITY))
    service = bench.service()
    pinned = net.inside(lambda: reopened(pins))
    key = DestinationKey(address=ip_address(DIRECTOR[4]), port=80)
    local = Destination(key=key, method=ForwardingMethod.MASQUERADE)
    net.inside(lambda: pinned.apply([AddDestination(service=service, destination=local)]))
    assert pinned.needs_programs
    again = net.inside(lambda: reopened(pins))
    assert not again.needs_programs, "whoever made it so has seen to it"
    again.close()
    pinned.close()
    bench.plane.close()


def test_only_complete_pins_of_this_edition_count(pins: Pins, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pinned_tables(pins) is None
    open_tables(pins, CAPACITY).close()
    found = pinned_tables(pins)
    assert found is not None
    assert found.jiffies() > 0
    found.close()
    (abi,) = pins.abis()
    with monkeypatch.context() as later:
        later.setattr(tables_module, "_edition", lambda: "another")
        assert pinned_tables(pins) is None
        taken_over = open_tables(pins, CAPACITY)
        assert taken_over.adopted
        taken_over.close()
    assert pinned_tables(pins) is None
    pins.set_edition(abi, None)
    open_tables(pins, CAPACITY).close()
    assert pinned_tables(pins) is not None
