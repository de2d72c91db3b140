"""Set-up and undo on a machine in memory: idempotent, additive, and back to exactly what was before."""

from __future__ import annotations

import copy
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.realserver_world import FACTS, FakeMachine

from piranha.base.errors import PiranhaError
from piranha.realserver import record as records
from piranha.realserver.operate import check, load_record, set_up, undo
from piranha.realserver.plan import Make, Restore
from piranha.realserver.request import ArpMethod, SetupRequest
from piranha.realserver.requirement import FileIs

RECORD = Path("/var/lib/piranha/realserver.json")
V4, OTHER, V6 = ip_address("10.0.0.100"), ip_address("10.0.0.101"), ip_address("fd00:10::100")
REQUEST = SetupRequest(vips=(V4, V6))

requests = st.builds(
    SetupRequest,
    vips=st.lists(st.sampled_from([V4, OTHER, V6]), min_size=1, unique=True).map(tuple),
    method=st.sampled_from(ArpMethod),
    tunnel=st.booleans(),
    persist=st.booleans(),
)
machines = st.builds(
    lambda kinds, systemd: FakeMachine(replace(FACTS, tunnel_kinds=frozenset(kinds), has_systemd=systemd)),
    st.sampled_from([(), ("ipip",), ("ipip", "ip6tnl")]),
    st.booleans(),
)


@given(machines, requests)
def test_a_set_up_holds_and_doing_it_again_changes_nothing(machine: FakeMachine, request: SetupRequest) -> None:
    set_up(machine, RECORD, request)
    assert check(machine, request)[0] == []
    before = copy.deepcopy((machine.states, machine.files))
    again = set_up(machine, RECORD, request)
    assert again.plan.steps == ()
    assert (machine.states, machine.files) == before


@given(machines, st.lists(requests, min_size=1, max_size=4))
def test_undo_restores_exactly_what_was_there(machine: FakeMachine, asked: list[SetupRequest]) -> None:
    machine.states[("sysctl", "net/ipv4/conf/eth0/arp_ignore")] = "2"
    machine.states[("sysctl", "net/ipv4/conf/all/arp_announce")] = "1"
    machine.states[("address", "10.0.0.101/32 lo")] = "present"
    machine.states[("file", "etc/sysctl.d/90-piranha-realserver.conf")] = "somebody's\n"
    before = copy.deepcopy(machine.states)
    for request in asked:
        set_up(machine, RECORD, request)
    undo(machine, RECORD)
    assert machine.states == before
    assert machine.files == {}


@given(machines, requests, st.integers(0, 20))
def test_undo_finds_its_way_back_from_any_interrupted_set_up(
    machine: FakeMachine, request: SetupRequest, steps: int
) -> None:
    machine.fail_at = steps
    try:
        set_up(machine, RECORD, request)
    except PiranhaError:
        machine.fail_at = None
        undo(machine, RECORD)
        assert machine.states == {}
        assert machine.files == {}


@given(machines, requests, st.integers(0, 20))
def test_an_interrupted_undo_can_be_taken_up_again(machine: FakeMachine, request: SetupRequest, steps: int) -> None:
    set_up(machine, RECORD, request)
    machine.fail_at = machine.steps + steps
    try:
        undo(machine, RECORD)
    except PiranhaError:
        machine.fail_at = None
        undo(machine, RECORD)
    assert machine.states == {}
    assert machine.files == {}


def test_a_second_vip_keeps_the_first_and_each_can_be_undone() -> None:
    machine = FakeMachine()
    set_up(machine, RECORD, replace(REQUEST, vips=(V4,)))
    set_up(machine, RECORD, replace(REQUEST, vips=(OTHER,)))
    assert check(machine, replace(REQUEST, vips=(V4, OTHER)))[0] == []
    unit = next(
        text
        for (kind, name), text in machine.states.items()
        if name.endswith("realserver.service") and "wants" not in name
    )
    assert unit is not None
    assert "--vip 10.0.0.100 --vip 10.0.0.101" in unit
    undo(machine, RECORD, (V4,))
    assert ("address", "10.0.0.100/32 lo") not in machine.states
    assert ("address", "10.0.0.101/32 lo") in machine.states
    undo(machine, RECORD, (OTHER,))
    assert machine.states == {}


def test_the_boot_command_leaves_the_files_alone() -> None:
    machine = FakeMachine()
    set_up(machine, RECORD, REQUEST)
    files = {key: text for key, text in machine.states.items() if key[0] == "file"}
    machine.states = dict(files)  # a boot: the files are all that lasted
    outcome = set_up(machine, RECORD, replace(REQUEST, persist=False))
    assert outcome.plan.steps
    assert not any(isinstance(s.requirement, FileIs) for s in outcome.plan.steps)
    assert check(machine, REQUEST)[0] == []
    undo(machine, RECORD)
    assert machine.states == {}


def test_what_somebody_changed_since_is_left_with_a_note() -> None:
    machine = FakeMachine()
    set_up(machine, RECORD, REQUEST)
    machine.states[("sysctl", "net/ipv4/conf/all/arp_ignore")] = "8"
    outcome = undo(machine, RECORD)
    assert machine.states == {("sysctl", "net/ipv4/conf/all/arp_ignore"): "8"}
    assert any("arp_ignore" in note and "somebody else" in note for note in outcome.notes)


def test_check_names_each_missing_thing_and_why() -> None:
    machine = FakeMachine()
    lacking, _ = check(machine, replace(REQUEST, persist=False))
    assert len(lacking) == 3 * 2 + 2
    assert all(make.requirement.reason for make in lacking)
    assert machine.steps == 0


def test_a_dry_run_changes_nothing() -> None:
    machine = FakeMachine()
    outcome = set_up(machine, RECORD, REQUEST, dry_run=True)
    assert outcome.plan.steps
    assert (machine.states, machine.files, machine.systemd_told) == ({}, {}, 0)
    set_up(machine, RECORD, REQUEST)
    before = copy.deepcopy((machine.states, machine.files))
    assert undo(machine, RECORD, dry_run=True).plan.steps
    assert (machine.states, machine.files) == before


def test_systemd_reads_units_only_when_files_changed() -> None:
    machine = FakeMachine()
    set_up(machine, RECORD, replace(REQUEST, persist=False))
    assert machine.systemd_told == 0
    set_up(machine, RECORD, REQUEST)
    assert machine.systemd_told == 1


def test_steps_say_what_they_do() -> None:
    machine = FakeMachine()
    machine.states[("sysctl", "net/ipv4/conf/all/arp_announce")] = "1"
    steps = set_up(machine, RECORD, REQUEST).plan.steps
    assert "set kernel setting net/ipv4/conf/all/arp_announce = 2 (was 1)" in map(str, steps)
    assert all(isinstance(step, Make) for step in steps)
    undone = undo(machine, RECORD).plan.steps
    assert "restore kernel setting net/ipv4/conf/all/arp_announce = 1" in map(str, undone)
    assert "remove address 10.0.0.100/32 on lo" in map(str, undone)
    assert all(isinstance(step, Restore) for step in undone)


@given(machines, requests)
def test_the_record_survives_its_file(machine: FakeMachine, request: SetupRequest) -> None:
    set_up(machine, RECORD, request)
    record = load_record(machine, RECORD)
    assert records.decode(records.encode(record), "x") == record


@given(st.one_of(st.text(), st.sampled_from(["{}", "[]", '{"format": 2}', '{"format": 1, "request": 3, "made": []}'])))
def test_a_spoilt_record_is_one_clear_error(text: str) -> None:
    with pytest.raises(PiranhaError, match="cannot be read"):
        records.decode(text, "/var/lib/piranha/realserver.json")
