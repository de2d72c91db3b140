"""The schedulers that look at live counts, and the rotating ones, against the choices of the kernel's IPVS.

Then what no recording shows: chance (twos), time (lblc, lblcr) and bounds.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address

import numpy as np
import pytest

from piranha.dataplane.ebpf import abi
from piranha.dataplane.ebpf.locality import DAY_S, Locality
from piranha.dataplane.ebpf.records import TRASH_S
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
)
from piranha.model.service import Destination, DestinationKey, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import Bench
from tests.packet.scenarios import Stage, differences, named
from tests.uml.scenario import Open, Scenario

FAMILIES = ("rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "lblc", "lblcr", "upper", "scheduler", "two")
WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.1"), port=80)


@pytest.mark.parametrize("scenario", named(*FAMILIES), ids=lambda scenario: scenario.name)
def test_choices_are_those_of_ipvs(bench: Bench, scenario: Scenario) -> None:
    assert differences(scenario, Stage(bench).play(scenario)) == []


class Farm:
    """One service and its numbered servers."""

    def __init__(self, bench: Bench, scheduler: str, *weights: int) -> None:
        self.bench = bench
        bench.plane.apply([AddService(service=Service(key=WEB, scheduler=scheduler))])
        self.numbers: dict[int, int] = {}
        for number, weight in enumerate(weights, 1):
            self.add(number, weight)
        self.ports = iter(range(1000, 60000))

    def server(self, number: int, weight: int = 1) -> Destination:
        key = DestinationKey(address=ip_address(f"10.2.0.{number}"), port=80)
        return Destination(key=key, method=ForwardingMethod.DIRECT, weight=weight)

    def add(self, number: int, weight: int = 1) -> None:
        self.bench.plane.apply([AddDestination(service=WEB, destination=self.server(number, weight))])
        self.bench.resolve(f"10.2.0.{number}")
        rows = self.bench.tables.dests
        address = np.frombuffer(abi.pack_address(ip_address(f"10.2.0.{number}")), "u1")
        self.numbers[int(np.flatnonzero((rows["addr"] == address).all(axis=1))[0])] = number

    def load(self, number: int, active: int, inactive: int = 0) -> None:
        (index,) = (index for index, it in self.numbers.items() if it == number)
        self.bench.tables.dests["active"][index], self.bench.tables.dests["inactive"][index] = active, inactive

    def pick(self, *, held: bool = False) -> int:
        """Who gets a new connection; 0 is nobody. Counts are as before afterwards, unless it is `held`."""
        columns = self.bench.tables.dests["active"], self.bench.tables.dests["inactive"]
        before = [column.copy() for column in columns]
        stats = self.bench.tables.dest_stats(64)["conns"]
        self.bench.run_raw(bytes(self.bench.to_vip(sport=next(self.ports), flags="S")))
        (got,) = np.flatnonzero(self.bench.tables.dest_stats(64)["conns"] - stats) if self._made(stats) else (0,)
        if not held:
            for column, values in zip(columns, before, strict=True):
                column[:] = values
        return self.numbers.get(int(got), 0)

    def _made(self, stats: np.ndarray) -> bool:
        return bool((self.bench.tables.dest_stats(64)["conns"] != stats).any())

    def picks(self, count: int) -> list[int]:
        return [self.pick() for _ in range(count)]

    def change_scheduler(self, name: str) -> None:
        self.bench.plane.apply([EditService(service=Service(key=WEB, scheduler=name))])


def test_none_refuses_and_lets_connections_go_on(bench: Bench) -> None:
    farm = Farm(bench, "rr", 1)
    packet = bytes(bench.to_vip(sport=999, flags="S"))
    assert bench.run_raw(packet)[0] == "redirect"
    farm.change_scheduler("none")
    assert farm.pick() == 0
    assert bench.run_raw(bytes(bench.to_vip(sport=999, flags="A")))[0] == "redirect"
    farm.change_scheduler("rr")
    assert farm.pick() == 1


# ---- twos ----


def test_twos_draws_by_weight(tc: Bench) -> None:
    """With equal loads per weight the first draw stands: its chance is the weight's, and one more for the newest."""
    farm = Farm(tc, "twos", 6, 3)
    total, count = 9, 2000
    drawn = Counter(farm.picks(count))
    newest = (3 + 1) / (total + 1)
    assert abs(drawn[2] - count * newest) < 4 * (count * newest * (1 - newest)) ** 0.5
    assert drawn[1] + drawn[2] == count


def test_twos_takes_the_less_loaded_of_two(tc: Bench) -> None:
    farm = Farm(tc, "twos", 1, 1, 1, 1)
    farm.load(1, 9)
    count = 2000
    drawn = Counter(farm.picks(count))
    both = (1 / 5) ** 2  # the loaded one must be drawn twice
    assert abs(drawn[1] - count * both) < 4 * (count * both * (1 - both)) ** 0.5
    assert min(drawn[number] for number in (2, 3, 4)) > count / 5


def test_twos_needs_one_that_is_usable(tc: Bench) -> None:
    farm = Farm(tc, "twos", 1, 1)
    tc.plane.apply([EditDestination(service=WEB, destination=farm.server(1, 0))])
    assert set(farm.picks(20)) == {2}
    tc.plane.apply([EditDestination(service=WEB, destination=farm.server(2, 0))])
    assert farm.pick() == 0


# ---- lblc, lblcr ----


def cached(bench: Bench, name: str) -> list[bytes]:
    return list(bench.tables.maps[f"{name}_cache"].keys())


def age(bench: Bench, name: str, seconds: float, *words: int) -> None:
    """Make the times at these offsets of every entry older."""
    table = bench.tables.maps[f"{name}_cache"]
    for key in cached(bench, name):
        value = bytearray(table.lookup(key) or b"")
        for at in words:
            ticks = int.from_bytes(value[at : at + 8], "little") - round(seconds * bench.tables.hz)
            value[at : at + 8] = ticks.to_bytes(8, "little")
        table.update(key, bytes(value))


LBLC_USED = (8,)
LBLCR_USED, LBLCR_CHANGED = 16 * 8 + 16 * 4 + 8, 16 * 8 + 16 * 4 + 16


@pytest.mark.parametrize(("name", "used"), [("lblc", LBLC_USED), ("lblcr", (LBLCR_USED,))])
def test_an_address_is_forgotten_after_its_time(bench: Bench, name: str, used: tuple[int, ...]) -> None:
    farm = Farm(bench, name, 100, 100)
    assert farm.pick() == 2
    farm.load(2, 50)
    age(bench, name, DAY_S - 60, *used)
    assert farm.picks(2) == [2, 2]  # and is used again now
    age(bench, name, DAY_S - 60, *used)
    assert farm.pick() == 2
    age(bench, name, DAY_S + 1, *used)
    assert farm.pick() == 1


def test_the_time_of_an_address_can_be_set(bench: Bench) -> None:
    locality = Locality(bench.tables)
    assert locality.expirations_s() == (DAY_S, DAY_S)
    locality.set_expirations(60, 120)
    assert locality.expirations_s() == (60, 120)
    farm = Farm(bench, "lblc", 100, 100)
    assert farm.pick() == 2
    farm.load(2, 50)
    age(bench, "lblc", 61, *LBLC_USED)
    assert farm.pick() == 1


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_a_changed_scheduler_or_a_new_service_has_no_memory(bench: Bench, name: str) -> None:
    farm = Farm(bench, name, 100, 100)
    assert farm.pick() == 2
    farm.load(2, 50)
    assert farm.pick() == 2
    bench.plane.apply([EditDestination(service=WEB, destination=farm.server(1, 90))])
    assert farm.pick() == 2  # an edit is no new life
    farm.change_scheduler("rr")
    farm.change_scheduler(name)
    assert farm.pick() == 1
    bench.plane.apply([DeleteService(key=WEB)])
    bench.clock.advance(300)
    bench.plane.apply([AddService(service=Service(key=WEB, scheduler=name))])
    farm.add(1, 100)
    farm.add(2, 100)
    farm.load(1, 50)
    farm.load(2, 0)
    assert farm.pick() == 2


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_a_place_in_the_table_that_passed_to_another_server_is_not_taken_for_it(bench: Bench, name: str) -> None:
    farm = Farm(bench, name, 100, 100)
    assert farm.pick() == 2
    (index,) = (index for index, number in farm.numbers.items() if number == 2)
    bench.tables.dests["addr"][index][15] = 9
    farm.load(2, 50)
    assert farm.pick() == 1


@pytest.mark.parametrize("name", ["lblc", "lblcr"])
def test_a_server_that_returns_after_its_record_was_forgotten_has_its_addresses(bench: Bench, name: str) -> None:
    """In IPVS the memory of an address holds on to the server, however long it is away."""
    farm = Farm(bench, name, 100, 100)
    assert farm.pick() == 2
    bench.plane.apply([DeleteDestination(service=WEB, key=farm.server(2).key)])
    bench.clock.advance(TRASH_S + 1)
    bench.plane._records.collect()
    farm.add(9, 100)  # takes the place in the table
    bench.clock.advance(1)
    farm.add(2, 100)
    farm.load(2, 50)
    assert farm.pick() == 2
    farm.load(2, 70)
    assert farm.pick() == 2


def test_lblcr_set_loses_its_most_loaded_after_its_time(bench: Bench) -> None:
    farm = Farm(bench, "lblcr", 2, 4, 4)
    assert farm.pick() == 3
    farm.load(3, 5)
    farm.load(1, 1)
    assert farm.pick() == 2  # 3 is overburdened: 2 joins the set
    farm.load(3, 1)
    farm.load(2, 2)
    assert farm.pick() == 3
    age(bench, "lblcr", DAY_S + 1, LBLCR_CHANGED)
    assert farm.pick() == 3  # and 2 leaves the set
    farm.load(3, 4)
    farm.load(2, 0)
    assert farm.pick() == 3  # not overburdened
    (value,) = (bench.tables.maps["lblcr_cache"].lookup(key) for key in cached(bench, "lblcr"))
    assert value is not None
    members = np.frombuffer(value[:128], "<u4")[::2]
    assert [farm.numbers[int(member)] for member in members if member] == [3]


def test_lblcr_set_is_bounded_and_says_so(bench: Bench) -> None:
    farm = Farm(bench, "lblcr", *([1] * 18), 100)
    farm.load(19, 49)
    order = []
    for number in range(18, 0, -1):
        # Of each set the least loaded is overburdened, and the number is the least loaded of all.
        for other in range(1, 19):
            farm.load(other, 90 if other > number else 2 if other < number else 0)
        order.append(farm.pick())
        farm.load(number, 90)
    assert order[:16] == list(range(18, 2, -1))
    assert Locality(bench.tables).losses() == {"locality_servers": 2}
    assert order[16:] == [2, 1]  # used, not remembered
    bench.clock.advance(1)
    bench.plane.apply([DeleteDestination(service=WEB, key=farm.server(18).key)])
    farm.load(1, 0)
    assert farm.pick() == 1  # in the place of the one that is gone
    assert Locality(bench.tables).losses()["locality_servers"] == 2


def test_addresses_of_one_service_are_remembered_apart(bench: Bench) -> None:
    stage = Stage(bench)
    (scenario,) = (scenario for scenario in named("lblc") if scenario.name == "lblc-keeps")
    stage.play(scenario)
    assert len(cached(bench, "lblc")) == len({step.to for step in scenario.steps if isinstance(step, Open)})


@pytest.mark.parametrize("name", ["lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "lblc", "lblcr", "sh", "dh", "mh"])
def test_a_full_server_is_passed_by_and_an_empty_service_refuses(bench: Bench, name: str) -> None:
    farm = Farm(bench, name)
    assert farm.pick() == 0
    farm.add(1)
    assert farm.pick() == 1
    (index,) = farm.numbers
    bench.tables.dests["overload"][index] = 1
    assert farm.pick() == (1 if name == "lblc" else 0)  # IPVS's lblc does not look at what it remembers
