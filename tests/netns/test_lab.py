"""The lab itself: it comes up as planned, runs the real daemon, and leaves nothing behind.

client ── net0 ── lb1 (VIP) ── ... ── web1, web2        every name begins with `plt-`
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.lab import namespace as netns
from piranha.lab import network
from piranha.lab.cluster import RUN, Lab
from piranha.lab.options import LabOptions
from piranha.lab.process import python_command, python_environment, start_ticks
from piranha.lab.readiness import ask_name, wait_until
from piranha.lab.topology import UDP_PORT, VIP4, VIP6, Role
from piranha.model.service import ForwardingMethod

PREFIX = "plt-"
METHODS = list(ForwardingMethod)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces"),
]


def options(forward: ForwardingMethod = ForwardingMethod.DIRECT, **others: object) -> LabOptions:
    return LabOptions(prefix=PREFIX, forward=forward, **others)  # type: ignore[arg-type]


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab(PREFIX)
    lab.down()
    yield lab
    lab.down()
    assert network.leftovers(PREFIX) == []
    assert not (RUN / PREFIX).exists()
    assert f"{RUN / PREFIX}/" not in Path("/proc/self/mounts").read_text()


def piranha_lab(*words: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    command = python_command("-m", "piranha", "lab", "--prefix", PREFIX, *words)
    return subprocess.run(
        command, env=python_environment(), capture_output=True, text=True, timeout=timeout_s, check=False
    )


def neighbour(namespace: str, address: str) -> str | None:
    """The MAC that a namespace has learnt for an address."""
    entries = json.loads(netns.run(["ip", "-n", namespace, "-j", "neigh", "show", address]) or "[]")
    return next((entry.get("lladdr") for entry in entries), None)


def mac(namespace: str, device: str) -> str:
    return str(json.loads(netns.run(["ip", "-n", namespace, "-j", "link", "show", device]))[0]["address"])


@pytest.mark.parametrize("forward", METHODS, ids=lambda m: m.value)
def test_every_real_server_answers_over_both_families(lab: Lab, forward: ForwardingMethod) -> None:
    topology = lab.up(options(forward), director=False)
    # Behind a masquerading director, clients do not reach the real servers themselves.
    asker = "plt-lb1" if forward is ForwardingMethod.MASQUERADE else "plt-client"
    for node in topology.real_servers:
        for version in (4, 6):
            assert ask_name(asker, node.address(version), 80, 3.0) == node.name


@pytest.mark.parametrize("forward", [ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL], ids=lambda m: m.value)
def test_only_the_director_answers_for_the_vip(lab: Lab, forward: ForwardingMethod) -> None:
    lab.up(options(forward), director=False)
    director = mac("plt-lb1", "eth0")
    for vip in (VIP4, VIP6):
        for _ in range(5):
            netns.run(["ip", "-n", "plt-client", "neigh", "flush", "all"])
            with pytest.raises(ConnectionRefusedError):  # lb1 has the address, but nobody listens without lvsd
                ask_name("plt-client", vip, 80, 3.0)
            assert neighbour("plt-client", str(vip)) == director


@pytest.mark.parametrize("forward", METHODS, ids=lambda m: m.value)
def test_lvsd_balances_tcp_and_udp_over_both_families(lab: Lab, forward: ForwardingMethod) -> None:
    port = 8080 if forward is ForwardingMethod.MASQUERADE else 80
    lab.up(options(forward, ipv6=True, udp=True, server_port=port, timeout_s=1, reentry_s=1))

    def all_answer() -> bool:
        try:
            return all(
                {ask_name("plt-client", vip, 80, 1.0) for _ in range(4)} == {"web1", "web2"} for vip in (VIP4, VIP6)
            )
        except (OSError, ValueError):
            return False

    assert wait_until(all_answer, 15.0)
    assert wait_until(lambda: udp_names(4) == {"web1", "web2"} and udp_names(6) == {"web1", "web2"}, 15.0)


def udp_names(version: int) -> set[str]:
    """Who answers four datagrams from four ports."""
    family, vip = (socket.AF_INET, VIP4) if version == 4 else (socket.AF_INET6, VIP6)
    names = set()
    for _ in range(4):
        with netns.entered("plt-client"):
            client = socket.socket(family, socket.SOCK_DGRAM)
        with client:
            client.settimeout(1.0)
            try:
                client.sendto(b"who", (str(vip), UDP_PORT))
                data, sender = client.recvfrom(100)
            except OSError:
                continue
            assert sender[:2] == (str(vip), UDP_PORT)
            names.add(data.split()[0].decode())
    return names


def test_up_twice_is_up_once_and_brings_back_what_is_missing(lab: Lab) -> None:
    lab.up(options(), director=False)
    before = {node.name: node.pid for node in lab.status()}
    lab.up(options(), director=False)
    assert {node.name: node.pid for node in lab.status()} == before
    lab.stop("web1", kill_at_once=True)
    lab.up(options(), director=False)
    after = {node.name: node for node in lab.status()}
    assert after["web1"].answers
    assert after["web2"].pid == before["web2"]


def test_other_options_are_refused_while_a_lab_is_up(lab: Lab) -> None:
    lab.up(options(), director=False)
    with pytest.raises(PiranhaError, match="lab down"):
        lab.up(options(real_servers=3), director=False)


def test_stop_and_start_a_web_server(lab: Lab) -> None:
    topology = lab.up(options(), director=False)
    address = topology.node("web1").address(4)
    assert lab.stop("web1")
    assert lab.stop("web1") is False
    with pytest.raises(ConnectionRefusedError):
        ask_name("plt-client", address, 80, 3.0)
    assert lab.start("web1")
    assert lab.start("web1") is False
    assert ask_name("plt-client", address, 80, 3.0) == "web1"


def test_down_after_a_crash_in_the_middle_of_up(lab: Lab) -> None:
    lab.up(options(), director=False)
    pids = [node.pid for node in lab.status() if node.pid]
    (lab.directory / "lab.json").unlink()
    (lab.directory / "processes" / "web1.json").write_text('{"pid": 3')
    netns.delete("plt-client")
    assert sorted(lab.down()) == ["plt-lb1", "plt-sw", "plt-web1", "plt-web2"]
    assert len(pids) == 2
    assert all(start_ticks(pid) is None for pid in pids)
    assert lab.down() == []


def test_down_leaves_foreign_namespaces_alone(lab: Lab) -> None:
    lab.up(options(), director=False)
    netns.add("plt-foreign")
    try:
        lab.down()
        assert netns.exists("plt-foreign")
    finally:
        netns.delete("plt-foreign")


def test_a_failed_start_says_what_the_program_said_and_leaves_nothing(lab: Lab) -> None:
    lab.up(options(), director=False)
    lab.stop("web1")
    with netns.entered("plt-web1"):
        squatter = socket.create_server(("0.0.0.0", 80))
    with squatter, pytest.raises(PiranhaError, match=r"web1 does not answer(.|\n)*address already in use"):
        lab.start("web1")


def test_exec_runs_in_the_node_with_the_labs_names(lab: Lab) -> None:
    lab.up(options(), director=False)
    shown = piranha_lab("exec", "web1", "--", "ip", "-br", "addr", "show", "eth0")
    assert "10.0.0.11/24" in shown.stdout
    names = piranha_lab("exec", "client", "getent", "ahostsv4", "web2")
    assert names.stdout.startswith("10.0.0.12 ")
    code = piranha_lab("exec", "client", "--", "sh", "-c", "exit 7")
    assert code.returncode == 7
    missing = piranha_lab("exec", "client", "--", "no-such-command")
    assert (missing.returncode, missing.stderr) == (1, "piranha: there is no command `no-such-command`\n")
    nowhere = piranha_lab("exec", "web9", "--", "true")
    assert nowhere.returncode == 1
    assert "its nodes are client, lb1, web1, web2" in nowhere.stderr


def test_status_tells_what_does_not_answer(lab: Lab) -> None:
    nothing = piranha_lab("status")
    assert nothing.returncode == 1
    assert "lab up" in nothing.stderr
    lab.up(options())
    whole = piranha_lab("status", "--json")
    assert whole.returncode == 0
    assert {n["name"]: n["answers"] for n in json.loads(whole.stdout)["nodes"]} == {
        "client": None, "lb1": True, "web1": True, "web2": True,
    }  # fmt: skip
    lab.stop("web2")
    partly = piranha_lab("status")
    assert partly.returncode == 1
    assert [line.split()[0] for line in partly.stdout.splitlines() if "DOES NOT ANSWER" in line] == ["web2"]


def test_piranha_commands_inside_the_director_reach_its_lvsd(lab: Lab) -> None:
    lab.up(options())
    shown = piranha_lab("exec", "lb1", "--", "piranha", "status")
    assert shown.returncode == 0
    assert "10.0.0.100:80" in shown.stdout


def test_the_doctor_finds_the_director_fit_and_mends_the_client(lab: Lab, tmp_path: Path) -> None:
    lab.up(options())
    director = piranha_lab("exec", "lb1", "--", "piranha", "doctor", "--director", "--json")
    findings = json.loads(director.stdout)["findings"]
    assert director.returncode == 0
    hooks = [f for f in findings if f["subject"] == "hooks"]
    assert [f["verdict"] for f in hooks] == ["ok"]
    assert "lb_tc (tcx ingress of eth0)" in hooks[0]["found"]
    doctor = ("exec", "client", "--", "piranha", "doctor", "--director", "--root", str(tmp_path))
    sick = piranha_lab(*doctor)
    assert sick.returncode == 1
    assert "IPv4 forwarding: off" in sick.stdout
    assert list(tmp_path.rglob("*.conf")) == []
    mended = piranha_lab(*doctor, "--fix")
    assert mended.returncode == 0
    with netns.entered("plt-client"):
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert (tmp_path / "etc/sysctl.d/90-piranha-director.conf").read_text().count(" = 1\n") == 2
    assert piranha_lab(*doctor).returncode == 0


@pytest.mark.parametrize("directors", [1, 2])
def test_the_story_comes_true_and_cleans_up(lab: Lab, directors: int) -> None:
    words = ("--acts-only", "--timeout", "1", "--reentry", "2", "--directors", str(directors))
    shown = piranha_lab("story", *words, timeout_s=200)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    acts = [line for line in shown.stdout.splitlines() if ": true (" in line]
    assert len(acts) == {1: 3, 2: 7}[directors]
    assert network.leftovers(PREFIX) == []


def test_a_pair_has_one_active_director_and_the_vip_moves_with_its_power(lab: Lab) -> None:
    lab.up(options(ForwardingMethod.MASQUERADE, directors=2, profile="default"))
    assert roles(lab) == {"lb1": "active", "lb2": "backup"}
    assert lab.power_off("lb1")
    assert lab.power_off("lb1") is False
    assert wait_until(lambda: roles(lab) == {"lb1": "", "lb2": "active"}, 30.0)
    assert {ask_name("plt-client", VIP4, 80, 20.0) for _ in range(4)} == {"web1", "web2"}
    shown = piranha_lab("status")
    assert [line.split()[:2] for line in shown.stdout.splitlines()][1:3] == [["lb1", "director"], ["lb2", "active"]]
    assert lab.power_on("lb1")
    assert roles(lab) == {"lb1": "backup", "lb2": "active"}
    asked = piranha_lab("exec", "lb1", "--", "piranha", "failover", "--to", "lb1")
    assert asked.returncode == 0, asked.stderr
    assert wait_until(lambda: roles(lab) == {"lb1": "active", "lb2": "backup"}, 30.0)


def roles(lab: Lab) -> dict[str, str]:
    return {node.name: node.cluster_role for node in lab.status() if node.role is Role.DIRECTOR}


def test_an_interrupted_story_cleans_up(lab: Lab) -> None:
    command = python_command("-m", "piranha", "lab", "--prefix", PREFIX, "story", "--directors", "1")
    with subprocess.Popen(command, env=python_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as told:
        assert told.stdout is not None
        while b"first answer" not in (line := told.stdout.readline()):
            assert line, "the story ended before its first answer"
        told.send_signal(signal.SIGTERM)
        _, said = told.communicate(timeout=30)
    assert told.returncode == 130
    assert b"removing the lab" in said
    assert network.leftovers(PREFIX) == []
