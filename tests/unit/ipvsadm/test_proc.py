"""The kernel's own text of the table, for each recorded table that no packet changed."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from piranha.ipvsadm.proc import format_ip_vs, format_ip_vs_stats
from piranha.model.service import Counters, Protocol, Rates, Service, ServiceKey, ServiceStatus
from tests.unit.ipvsadm.recording import SIZE, Run, recorded_names, recording

HZ = 100
"""Ticks of the recorded kernel."""
GROUPS = ("listings", "schedulers", "destinations", "tunnels", "mark-destinations", "save-and-restore", "order")


def blocks(text: str) -> list[str]:
    """The head, and each service with its servers; the kernel's order of services is that of its hash table."""
    head, rows = text.splitlines()[:3], text.splitlines()[3:]
    found: list[str] = []
    for row in rows:
        if row.startswith("  ->"):
            found[-1] += "\n" + row
        else:
            found.append(row)
    return [*head, *sorted(found)]


@pytest.mark.parametrize("group", GROUPS)
def test_ip_vs(group: str) -> None:
    run = Run(names=recorded_names())
    for command in recording()["groups"][group]["commands"]:
        if not command["line"].startswith("@nobody"):
            run(command["argv"], command["stdin"])
    text = "".join(format_ip_vs(run.plane.snapshot(), size=SIZE, hz=HZ))
    recorded = recording()["groups"][group]["proc"]["ip_vs"]
    assert blocks(text) == blocks(recorded)


def test_ip_vs_stats() -> None:
    empty = recording()["groups"]["empty"]["proc"]["ip_vs_stats"]
    assert format_ip_vs_stats(()) == empty
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.0.0.1"), port=80)
    status = ServiceStatus(
        service=Service(key=key), counters=Counters(255, 16, 1, 2**40, 10), rates=Rates(1, 2.6, 3, 4, 31)
    )
    lines = format_ip_vs_stats((status, status)).splitlines()
    assert lines[2] == "     1FE       20        2      20000000000               14"
    assert lines[5] == "       2        5        6                8               3E"
