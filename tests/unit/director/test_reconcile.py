"""Reconciliation: drift, holds of what awaits its first verdict, timeouts, foreign services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.port import (
    AddDestination,
    AddService,
    Capabilities,
    DeleteDestination,
    DeleteService,
    EditDestination,
    EditService,
    Operation,
    SetMarkRules,
    SetSettings,
    SetTimeouts,
)
from piranha.director.layout import lay_out
from piranha.director.reconcile import Reconciler, Repair, Standing
from piranha.model.configuration import Configuration, DeviceAddress, RealServer, VirtualServer
from piranha.model.health import Health
from piranha.model.mark import MarkBlock, rules_of
from piranha.model.rules import PlaneRules
from piranha.model.service import (
    Destination,
    DestinationKey,
    ForwardingMethod,
    Protocol,
    Service,
    ServiceEntry,
    ServiceKey,
    Timeouts,
)
from piranha.monitor.target import TargetKey

WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.100"), port=80)
RIP1 = DestinationKey(address=ip_address("10.0.0.11"), port=80)
RIP2 = DestinationKey(address=ip_address("10.0.0.12"), port=80)
WEB1 = TargetKey(service=WEB, destination=RIP1)
WEB2 = TargetKey(service=WEB, destination=RIP2)
HTTP = VirtualServer(
    name="HTTP",
    active=True,
    address=DeviceAddress(address=WEB.address, device="eth0"),
    scheduler="rr",
    timeout_s=6,
    servers=(
        RealServer(name="web1", address=RIP1.address, active=True, weight=3),
        RealServer(name="web2", address=RIP2.address, active=True),
    ),
)
LISTING = Configuration(network=ForwardingMethod.DIRECT, virtuals=(HTTP,))
EVERYTHING = Capabilities(schedulers=frozenset({"rr"}), persistence=True, thresholds=True)
BOTH_UP: Mapping[TargetKey, Health] = {WEB1: Health.UP, WEB2: Health.UP}


class Bench:
    """A reconciler at a memory plane, with the time and the health in hand."""

    def __init__(self, plane: MemoryPlane | None = None) -> None:
        self.plane = plane or MemoryPlane()
        self.reconciler = Reconciler()
        self.health: Mapping[TargetKey, Health] = {}
        self.now = 100.0

    def adopt(self, configuration: Configuration) -> None:
        layout = lay_out(configuration, self.plane.capabilities)
        self.reconciler.adopt(layout, configuration, self.plane.snapshot(), self.health, self.now)

    def step(self) -> Repair:
        standing = Standing(
            timeouts=self.plane.timeouts(), mark_rules=self.plane.mark_rules(), rules=self.plane.rules()
        )
        repair = self.reconciler.reconcile(self.plane.snapshot(), standing, self.health, self.now)
        self.plane.apply(repair.operations)
        return repair

    def weights(self) -> dict[str, int]:
        return {str(d.destination.key): d.destination.weight for s in self.plane.snapshot() for d in s.destinations}


@pytest.fixture
def running() -> Bench:
    """A director in service: both servers up."""
    bench = Bench()
    bench.health = BOTH_UP
    bench.adopt(LISTING)
    bench.step()
    assert bench.weights() == {"10.0.0.11:80": 3, "10.0.0.12:80": 1}
    assert bench.step().operations == ()
    return bench


def test_an_empty_pool_waits_for_the_first_verdict() -> None:
    bench = Bench()
    bench.adopt(LISTING)
    assert bench.step().difference == ("add tcp 10.0.0.100:80 rr",)
    bench.health = {WEB1: Health.UP}
    assert bench.step().difference == ("add tcp 10.0.0.100:80 to 10.0.0.11:80 direct weight 3",)


def test_a_restarted_lvsd_keeps_the_running_pool_until_the_first_verdict(running: Bench) -> None:
    """kill -9 of lvsd: the kernel goes on, the new lvsd knows no health, and must take nothing down."""
    restarted = Bench(running.plane)
    restarted.adopt(LISTING)
    assert restarted.step().operations == ()
    assert restarted.reconciler.held == {WEB1, WEB2}
    restarted.health = {WEB1: Health.UP, WEB2: Health.DOWN}
    assert restarted.step().operations == (DeleteDestination(service=WEB, key=RIP2),)
    assert restarted.reconciler.held == frozenset()


def test_a_hold_ends_after_two_timeouts_without_a_verdict(running: Bench) -> None:
    restarted = Bench(running.plane)
    restarted.adopt(LISTING)
    restarted.now += 2 * HTTP.timeout_s - 0.1
    assert restarted.step().operations == ()
    restarted.now += 0.2
    assert len(restarted.step().operations) == 2
    assert restarted.weights() == {}


def test_only_what_is_still_configured_is_held(running: Bench) -> None:
    restarted = Bench(running.plane)
    restarted.adopt(replace(LISTING, virtuals=(replace(HTTP, servers=HTTP.servers[:1]),)))
    assert restarted.step().operations == (DeleteDestination(service=WEB, key=RIP2),)


def test_a_held_destination_takes_its_new_weight(running: Bench) -> None:
    restarted = Bench(running.plane)
    servers = (replace(HTTP.servers[0], weight=9), HTTP.servers[1])
    restarted.adopt(replace(LISTING, virtuals=(replace(HTTP, servers=servers),)))
    assert restarted.step().difference == ("edit tcp 10.0.0.100:80 to 10.0.0.11:80 weight 3 -> 9",)


def test_a_quiesced_destination_stays_quiesced_while_held(running: Bench) -> None:
    quiet = replace(LISTING, virtuals=(replace(HTTP, quiesce_server=True),))
    running.adopt(quiet)
    running.health = {WEB1: Health.DOWN, WEB2: Health.UP}
    running.step()
    restarted = Bench(running.plane)
    restarted.adopt(quiet)
    assert restarted.step().operations == ()
    assert restarted.weights() == {"10.0.0.11:80": 0, "10.0.0.12:80": 1}


def test_the_sorry_server_of_a_restarted_lvsd_stays(running: Bench) -> None:
    sorry = replace(LISTING, virtuals=(replace(HTTP, sorry_server=ip_address("10.0.0.99")),))
    running.adopt(sorry)
    running.health = {WEB1: Health.DOWN, WEB2: Health.DOWN}
    running.step()
    assert running.weights() == {"10.0.0.99:80": 1}
    restarted = Bench(running.plane)
    restarted.adopt(sorry)
    assert restarted.step().operations == ()


def test_a_reload_that_voids_the_verdicts_keeps_the_pool(running: Bench) -> None:
    """A changed check makes a server unknown again; its connections must not notice."""
    running.health = {}
    running.adopt(LISTING)
    assert running.step().operations == ()
    running.health = {WEB1: Health.UP}
    assert running.step().operations == ()
    running.now += 2 * HTTP.timeout_s + 1
    assert running.step().operations == (DeleteDestination(service=WEB, key=RIP2),)


def test_reloading_again_and_again_does_not_prolong_a_hold(running: Bench) -> None:
    running.health = {}
    for _ in range(10):
        running.adopt(LISTING)
        running.step()
        running.now += HTTP.timeout_s / 2
    assert running.step().operations == ()
    assert running.weights() == {}


def test_drift_is_repaired_and_named(running: Bench) -> None:
    running.plane.apply(
        [
            EditService(service=Service(key=WEB, scheduler="wlc")),
            EditDestination(service=WEB, destination=Destination(key=RIP1, method=ForwardingMethod.TUNNEL, weight=7)),
            DeleteDestination(service=WEB, key=RIP2),
            AddDestination(
                service=WEB,
                destination=Destination(
                    key=DestinationKey(address=ip_address("10.0.0.66"), port=80), method=ForwardingMethod.DIRECT
                ),
            ),
        ]
    )
    assert running.step().difference == (
        "edit tcp 10.0.0.100:80 scheduler wlc -> rr",
        "edit tcp 10.0.0.100:80 to 10.0.0.11:80 weight 7 -> 3 method tunnel -> direct",
        "add tcp 10.0.0.100:80 to 10.0.0.12:80 direct weight 1",
        "delete tcp 10.0.0.100:80 to 10.0.0.66:80",
    )
    assert running.step().operations == ()


def test_a_wiped_table_is_built_again(running: Bench) -> None:
    running.plane.apply([DeleteService(key=WEB)])
    assert len(running.step().operations) == 3
    assert running.weights() == {"10.0.0.11:80": 3, "10.0.0.12:80": 1}


def test_a_foreign_service_on_a_desired_key_is_a_conflict_and_stays(running: Bench) -> None:
    plane = MemoryPlane()
    plane.inject_foreign(ServiceEntry(service=Service(key=WEB, scheduler="wrr")))
    bench = Bench(plane)
    bench.health = BOTH_UP
    bench.adopt(LISTING)
    repair = bench.step()
    assert (repair.operations, repair.conflicts) == ((), (WEB,))


def test_timeouts_are_set_once_and_kept(running: Bench) -> None:
    running.adopt(replace(LISTING, tcp_timeout_s=60))
    assert running.step().operations == (SetTimeouts(timeouts=Timeouts(tcp_s=60)),)
    assert running.step().operations == ()
    running.plane.apply([SetTimeouts(timeouts=Timeouts(tcp_s=61, udp_s=9))])
    assert running.step().difference == ("set timeouts tcp 60 tcpfin 0 udp 0",)
    assert running.plane.timeouts().udp_s == 9


def test_a_timeout_dropped_from_the_file_returns_to_its_default(running: Bench) -> None:
    running.adopt(replace(LISTING, udp_timeout_s=5))
    running.step()
    running.adopt(LISTING)
    running.step()
    assert running.plane.timeouts() == Timeouts(tcp_s=900, tcp_fin_s=120, udp_s=300)


MARKED = replace(
    LISTING,
    marks=(MarkBlock(mark=5, addresses=(ip_network("10.0.0.100"),)),),
    virtuals=(replace(HTTP, fwmark=5),),
)


@pytest.fixture
def marking() -> Bench:
    """A director whose plane knows marks."""
    bench = Bench(MemoryPlane(firewall_marks=True))
    bench.adopt(MARKED)
    bench.step()
    return bench


def test_mark_rules_follow_the_file_and_drift_is_repaired(marking: Bench) -> None:
    assert marking.plane.mark_rules() == rules_of(MARKED.marks)
    assert marking.step().operations == ()
    marking.plane.apply([SetMarkRules(rules=())])
    assert marking.step().difference == ("set mark rules: 1",)
    assert marking.plane.mark_rules() == rules_of(MARKED.marks)


def test_a_mark_is_given_while_its_service_stands(marking: Bench) -> None:
    """From one mark to another no packet finds itself marked without a service."""

    def kinds(operations: tuple[Operation, ...]) -> list[type]:
        return [type(operation) for operation in operations if not isinstance(operation, AddDestination)]

    other = replace(
        MARKED, marks=(replace(MARKED.marks[0], mark=6),), virtuals=(replace(MARKED.virtuals[0], fwmark=6),)
    )
    marking.adopt(other)
    assert kinds(marking.step().operations) == [AddService, SetMarkRules, DeleteService]
    marking.adopt(LISTING)
    assert kinds(marking.step().operations) == [AddService, SetMarkRules, DeleteService]
    assert marking.plane.mark_rules() == ()


def test_settings_follow_the_file_and_drift_is_repaired(running: Bench) -> None:
    running.adopt(replace(LISTING, sloppy_tcp=True, conn_reuse_mode=0))
    assert running.step().difference == ("set conn_reuse_mode 1 -> 0 sloppy_tcp 0 -> 1",)
    assert running.plane.rules() == PlaneRules(sloppy_tcp=True, conn_reuse_mode=0)
    running.plane.apply([SetSettings(settings=PlaneRules())])
    assert len(running.step().operations) == 1
    running.adopt(LISTING)
    running.step()
    assert running.plane.rules() == PlaneRules()


def test_every_change_of_a_service_or_destination_is_named() -> None:
    able = MemoryPlane(capabilities=EVERYTHING)
    bench = Bench(able)
    bench.health = BOTH_UP
    bench.adopt(LISTING)
    bench.step()
    servers = (replace(HTTP.servers[0], upper_threshold=9, lower_threshold=3), HTTP.servers[1])
    changed = replace(HTTP, persistent_s=300, pmask=24, servers=servers)
    bench.adopt(replace(LISTING, virtuals=(changed,)))
    assert bench.step().difference == (
        "edit tcp 10.0.0.100:80 persistent 0 -> 300 pmask none -> 24",
        "edit tcp 10.0.0.100:80 to 10.0.0.11:80 upper_threshold 0 -> 9 lower_threshold 0 -> 3",
    )
    assert bench.step().operations == ()


def test_a_long_difference_is_cut_with_a_count(running: Bench) -> None:
    many = tuple(replace(HTTP, port=1000 + n, servers=()) for n in range(50))
    running.adopt(replace(LISTING, virtuals=(HTTP, *many)))
    difference = running.step().difference
    assert len(difference) == 21
    assert difference[-1] == "and 30 more"
