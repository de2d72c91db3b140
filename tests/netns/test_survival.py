"""What the data plane survives: lvsd killed under load, restarted, reloaded; a hundred thousand connections."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from piranha.lab.options import LabOptions
from piranha.model.service import ForwardingMethod
from tests.netns.lab import LabUnderTest, lab_up, wait_until

PORT = 8000
SOAK = int(os.environ.get("PIRANHA_SOAK_CONNECTIONS", "100000"))


@pytest.fixture(scope="module")
def lab() -> Iterator[LabUnderTest]:
    """Masquerading: the method with most to lose, for it needs the director both ways."""
    options = LabOptions(prefix="pntsurvive-", forward=ForwardingMethod.MASQUERADE, virtual_port=PORT, server_port=PORT)
    with lab_up(options) as lab:
        lab.client_sources()
        for node in lab.topology.real_servers:
            lab.lab.stop(node.name)
        lab.load_servers(PORT)
        text = lab.config.read_text()
        lab.config.write_text(
            "\n".join(
                line for line in text.splitlines() if line.split("=")[0].strip() not in ("send", "expect", "use_regex")
            )
            + "\n"
        )
        lab.piranha("reload")
        wait_until(lambda: up(lab) == 2, 40)
        yield lab


def up(lab: LabUnderTest) -> int:
    (service,) = lab.services()
    return sum(server["health"] == "up" for server in service["servers"])


def plane_connections(lab: LabUnderTest) -> int:
    return int(json.loads(lab.piranha("connections", "--json", "--count"))["total"])


def test_kill_9_under_load_loses_nothing(lab: LabUnderTest) -> None:
    client = lab.start_client(4, PORT, count=1_000_000, at_once=50, seconds=8)
    time.sleep(1.5)
    for _ in range(2):
        lab.kill_lvsd()
        time.sleep(1)  # the kernel is alone here, under load
        lab.lab.start("lb1")
    result = lab.result(client)
    assert result["failed"] == {}
    assert sum(result["answered"].values()) == result["opened"] > 500
    assert set(result["answered"]) == {"web1", "web2"}


def test_a_long_connection_lives_through_restarts_and_reloads(lab: LabUnderTest) -> None:
    code = (
        "import socket\n"
        f"s=socket.create_connection(('10.0.0.100',{PORT}),timeout=20)\n"
        "print('open',flush=True); input(); s.sendall(b'?\\n'); print(s.recv(100).decode().strip())\n"
    )
    child = lab.popen("client", sys.executable, "-c", code)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "open"
    lab.kill_lvsd()
    lab.lab.start("lb1")
    assert plane_connections(lab) >= 1
    lab.signal_lvsd(signal.SIGTERM)
    wait_until(lambda: not lab.lvsd_runs())
    lab.lab.start("lb1")
    text = lab.config.read_text()
    lab.config.write_text(text.replace("scheduler = rr", "scheduler = wlc"))
    lab.piranha("reload")
    lab.config.write_text(text)
    lab.piranha("reload")
    out, _ = child.communicate("\n", timeout=20)
    assert out.strip() in ("web1", "web2")


def test_a_bad_file_is_refused_whole(lab: LabUnderTest) -> None:
    text = lab.config.read_text()
    before = [(s["name"], len(s["servers"])) for s in lab.services()]
    lab.config.write_text(text.replace("scheduler = rr", "schedulr = rr").replace("weight = 1", "weight = many"))
    try:
        refused = lab.command("reload")
        assert refused.returncode == 1
        assert "schedulr" in refused.stderr
        assert "many" in refused.stderr
        assert [(s["name"], len(s["servers"])) for s in lab.services()] == before
    finally:
        lab.config.write_text(text)
        lab.piranha("reload")


def test_soak_of_many_connections_loses_none(lab: LabUnderTest) -> None:
    """100,000 connections (PIRANHA_SOAK_CONNECTIONS), with reloads in between; afterwards every count agrees."""
    client = lab.start_client(4, PORT, count=SOAK, at_once=200, timeout=20)
    while client.poll() is None:
        lab.piranha("reload")
        time.sleep(2)
    result = lab.result(client, timeout_s=900)
    assert result["failed"] == {}
    assert sum(result["answered"].values()) == SOAK
    assert min(result["answered"].values()) > SOAK * 0.45
    reasons = lab.status()["plane"]["reasons"]
    assert not {"table_full", "creation_race", "rewrite_failed", "no_route", "no_destination"} & set(reasons)
