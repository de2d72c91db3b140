"""A new life of lvsd on pinned tables, and the kernel's own sweep while nobody is there."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP

from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.tables import Capacity, open_tables
from piranha.dataplane.port import ConnectionFilter, DeleteDestination, DeleteService, SetSettings
from piranha.model.rules import PlaneRules
from piranha.model.service import DestinationKey, ForwardingMethod, ServiceKey
from tests.packet.bench import Bench, Net

CAPACITY = Capacity(connections=1024, services=64, destinations=256, slot_words=8192)


@pytest.fixture
def pins(tmp_path: Path) -> Iterator[Pins]:
    pins = Pins(tmp_path / "bpf")
    pins.mount()
    yield pins
    pins.remove_all()
    pins.unmount()


def opened(net: Net, pins: Pins, hook: str) -> Bench:
    return Bench(net, hook, open_tables(pins, CAPACITY))


def picks(bench: Bench, count: int, port: int = 80) -> list[int]:
    found = []
    for _ in range(count):
        out = bench.run(bench.to_vip(4, TCP, dport=port, flags="S"))
        found.append(int(out.packet[IP].dst.rsplit(".", 1)[1]))
    return found


def rows(bench: Bench) -> list[object]:
    """Connections without the time they have left, which goes on."""
    found = bench.plane.connections(ConnectionFilter(limit=-1)).rows
    return sorted((str(c.client), c.client_port, c.virtual_port, str(c.destination), c.state) for c in found)


def test_everything_is_there_again(net: Net, pins: Pins, hook: str) -> None:
    first = opened(net, pins, hook)
    assert not first.tables.adopted
    service = first.service()
    for host in (2, 3, 4):
        first.server(service, f"10.2.0.{host}", port=80, weight=host, method=list(ForwardingMethod)[host % 2])
    weighted = first.service(scheduler="wrr", port=81)
    for host, weight in ((2, 4), (3, 3), (4, 2)):
        first.server(weighted, f"10.2.0.{host}", port=81, weight=weight)
    six = first.service(6, scheduler="wlc")
    first.server(six)
    first.plane.apply([DeleteDestination(service=service, key=DestinationKey(address=ip_address("10.2.0.3"), port=80))])
    before_picks = picks(first, 3), picks(first, 4, 81)
    assert before_picks == ([4, 2, 4], [4, 3, 2, 2])
    before = first.plane.snapshot(), rows(first), first.plane.timeouts(), first.reasons()
    first.plane.close()

    second = opened(net, pins, hook)
    assert second.tables.adopted
    assert (second.plane.snapshot(), rows(second), second.plane.timeouts(), second.reasons()) == before
    for host in (2, 3, 4):
        second.resolve(f"10.2.0.{host}")
    assert picks(second, 3) == [2, 4, 2]
    assert picks(second, 5, 81) == [3, 2, 4, 3, 2], "the weighted turn goes on where it was"
    assert second.tables.dests["serial"].max() > 0
    added = second.server(service, "10.2.0.3", port=80)
    assert [d.destination.key for d in second.status(service).destinations][-1] == added.key
    assert second.reasons() == before[3]
    second.plane.close()


def test_packets_do_not_need_lvsd(net: Net, pins: Pins, hook: str) -> None:
    """Between two lives an established connection goes on; the next life finds it where it was."""
    first = opened(net, pins, hook)
    service = first.service()
    first.server(service, port=80)
    first.run(first.to_vip(4, TCP, 5000, flags="S"))
    first.run(first.to_vip(4, TCP, 5000, flags="A"))
    second = opened(net, pins, hook)  # the first one is still open, as in an upgrade
    assert first.run(first.to_vip(4, TCP, 5000, flags="PA")).verdict == "redirect"
    assert second.run(second.to_vip(4, TCP, 5000, flags="PA")).verdict == "redirect"
    (connection,) = second.connections()
    assert (connection.state, int(second.tables.conns["packets"].max())) == ("ESTABLISHED", 4)
    first.plane.close()
    second.plane.close()


def test_a_removed_destination_is_remembered_with_its_service(net: Net, pins: Pins) -> None:
    """Deleted before the restart, added again after it: connections and counters come back, to the right service."""
    first = opened(net, pins, "tc")
    service = first.service()
    first.server(service, port=80)
    first.run(first.to_vip(4, TCP, 5000, flags="S"))
    first.run(first.to_vip(4, TCP, 5000, flags="A"))
    first.plane.apply([DeleteService(key=service)])
    first.clock.advance(5)
    first.plane._records.collect()
    other: ServiceKey = first.service(port=81)  # must not come by the index of the deleted one
    first.plane.close()

    second = opened(net, pins, "tc")
    assert second.run(second.to_vip(4, TCP, 5000, flags="A")).verdict == "drop"
    second.server(other, port=80)
    assert second.status(other).destinations[0].counters.connections == 0
    second.service()
    second.server(service, port=80)
    assert second.run(second.to_vip(4, TCP, 5000, flags="A")).verdict == "redirect"
    assert second.status(service).destinations[0].active_connections == 1
    second.plane.close()


def test_an_edit_that_was_cut_short_is_finished(net: Net, pins: Pins) -> None:
    """Killed after a destination was written, before the table that packets are scheduled from."""
    first = opened(net, pins, "tc")
    service = first.service()
    first.server(service, "10.2.0.2", port=80)
    first.plane._records.publish = lambda: None  # type: ignore[method-assign]
    first.server(service, "10.2.0.3", port=80)
    assert picks(first, 2) == [2, 2]
    first.plane.close()

    second = opened(net, pins, "tc")
    assert picks(second, 4) == [3, 2, 3, 2]
    second.plane.close()


def test_a_table_that_was_cut_short_is_removed_and_made_anew(net: Net, pins: Pins) -> None:
    first = opened(net, pins, "tc")
    abi_id = first.tables.abi
    first.plane.close()
    pins.maps(abi_id)["conns"].unlink()
    second = opened(net, pins, "tc")
    assert not second.tables.adopted
    service = second.service()
    second.server(service, port=80)
    assert picks(second, 1) == [2]
    second.plane.close()


KEEPER = """
import sys
from pathlib import Path
from piranha.dataplane.ebpf.pins import Pins
from piranha.dataplane.ebpf.tables import Capacity, open_tables
tables = open_tables(Pins(Path(sys.argv[1])), Capacity())
assert tables.adopted
sys.exit(0 if tables.start_ticker() else 3)
"""


def test_the_kernel_sweeps_by_itself(net: Net, pins: Pins) -> None:
    """The process that started the ticker is gone; connections expire, counts go down, the reverse index is freed."""
    bench = opened(net, pins, "tc")
    service = bench.service()
    bench.server(service, port=80)
    keeper = subprocess.run([sys.executable, "-c", KEEPER, str(pins.root)], timeout=60, check=False)
    if keeper.returncode == 3:
        pytest.skip("the kernel refuses its timer (lvsd sweeps instead)")
    assert keeper.returncode == 0
    for port in range(5000, 5050):
        bench.run(bench.to_vip(4, TCP, port, flags="S"))
    live = np.flatnonzero(bench.tables.tags)[:10]
    bench.tables.conns["expires"][bench.tables.tags != 0] = bench.tables.jiffies() - 100
    bench.tables.conns["expires"][live] = bench.tables.jiffies() + 100_000
    deadline = time.monotonic() + 20
    while np.count_nonzero(bench.tables.tags) > 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert np.flatnonzero(bench.tables.tags).tolist() == live.tolist()
    status = bench.status(service).destinations[0]
    assert (status.active_connections, status.inactive_connections) == (10, 0)
    bench.plane.close()


def test_the_kernel_weighs_the_room_by_itself(net: Net, pins: Pins) -> None:
    """Automatic defences come and go with the fill of the table though nobody is there to look."""
    bench = opened(net, pins, "tc")
    bench.server(bench.service(), port=80)
    bench.plane.apply([SetSettings(settings=PlaneRules(drop_packet=1, secure_tcp=1, amemthresh=1))])
    keeper = subprocess.run([sys.executable, "-c", KEEPER, str(pins.root)], timeout=60, check=False)
    if keeper.returncode == 3:
        pytest.skip("the kernel refuses its timer (lvsd weighs instead)")
    row, capacity = bench.tables.defence[0], int(bench.tables.defence["capacity"][0])
    for port in range(5000, 5010):
        assert bench.run(bench.to_vip(4, TCP, port, flags="S")).verdict == "redirect"
    for threshold, expected in ((capacity, 3), (capacity - 20, 0), (capacity, 3)):
        row["amemthresh"] = threshold
        deadline = time.monotonic() + 30
        while int(bench.tables.settings["defences"][0]) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        assert int(bench.tables.settings["defences"][0]) == expected
    # Some of the ten may have expired meanwhile: secure_tcp gives a handshake ten seconds.
    assert capacity - 10 <= int(row["room"]) < capacity
    assert int(row["drop_rate"]) == capacity // 10
    bench.plane.close()
