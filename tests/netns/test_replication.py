"""Two real lvsd with one lvs.cf: paired by the command, edited on either side, cut apart and joined again.

┌──── lb1 ─────┐   public   ┌──── lb2 ─────┐
│ pub 10.78.1.1 │───────────│ pub 10.78.1.2 │
│ prv 10.78.2.1 │───────────│ prv 10.78.2.2 │
└──────────────┘  private   └──────────────┘
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piranha.base.errors import PiranhaError
from piranha.base.paths import Paths
from piranha.client.http import Client
from piranha.cluster.keys import read_pair_keys
from piranha.lab import namespace as netns
from tests.netns.lab import ROOT, wait_until

PREFIX = f"prl{os.getpid() % 10000}-"
WAIT_S = 60.0
NUMBERS = {"lb1": 1, "lb2": 2}
EDITS = 6
LVS_CF = """\
# kept by both
serial_no = 1
primary = 10.78.1.1
primary_private = 10.78.2.1
backup = 10.78.1.2
backup_private = 10.78.2.2
backup_active = 1
"""


class Director:
    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.namespace = f"{PREFIX}{name}"
        self.home = home / name
        self.config = self.home / "lvs.cf"
        self.etc = self.home / "etc"
        self.client = Client(self.home / "run" / "api.sock")
        self._child: subprocess.Popen[bytes] | None = None
        for folder in ("run", "state", "etc"):
            (self.home / folder).mkdir(parents=True, mode=0o700)
        self.config.write_text(LVS_CF)

    def environment(self) -> dict[str, str]:
        places = {"CONFIG": "lvs.cf", "RUN_DIR": "run", "STATE_DIR": "state", "ETC_DIR": "etc"}
        ours = {f"PIRANHA_{name}": str(self.home / place) for name, place in places.items()}
        return os.environ | ours | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONUNBUFFERED": "1"}

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[Any]:
        command = [sys.executable, "-m", "piranha", *words]
        with netns.entered(self.namespace):
            return subprocess.Popen(command, cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL, **options)

    def command(self, *words: str) -> str:
        child = self.popen(*words, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = child.communicate(timeout=60)
        assert child.returncode in (0, 1), said
        return str(said)

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self._child = self.popen("lvsd", "--dataplane", "memory", stdout=log, stderr=log)
        wait_until(lambda: self.replication() is not None, WAIT_S)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._child is not None:
            self._child.send_signal(number)
            self._child.wait(30)
            self._child = None

    def replication(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.client.get("replication")
        except PiranhaError:
            return None
        return found

    def state(self) -> str:
        view = self.replication()
        return "" if view is None else str(view["state"])

    def in_force(self) -> str:
        document = self.client.get("configuration")
        return str(document["text"]) if document["in_force"] else "not loaded"

    def edit(self, text: str) -> None:
        self.config.write_text(text)
        self.client.post("reload")

    def links(self, state: str, *devices: str) -> None:
        netns.ip_batch(self.namespace, [f"link set {device} {state}" for device in devices])


class Both:
    def __init__(self, home: Path) -> None:
        self.first, self.second = Director("lb1", home), Director("lb2", home)

    def __iter__(self) -> Iterator[Director]:
        return iter((self.first, self.second))

    def up(self) -> None:
        for one in self:
            netns.add(one.namespace)
        for number, device in enumerate(("pub", "prv"), 1):
            netns.ip_batch(
                self.first.namespace,
                [f"link add {device} type veth peer name {device} netns {self.second.namespace}"],
            )
            for one in self:
                address = f"10.78.{number}.{NUMBERS[one.name]}/24"
                netns.ip_batch(one.namespace, [f"addr add {address} dev {device}", f"link set {device} up"])
        for one in self:
            netns.ip_batch(one.namespace, ["link set lo up"])

    def are_in_step(self, text: str) -> bool:
        return all(one.state() == "in step" and one.in_force() == text for one in self)

    def wait_in_step(self, text: str | None = None) -> None:
        wait_until(lambda: self.are_in_step(text or self.first.in_force()), WAIT_S)

    def down(self) -> None:
        for one in self:
            one.stop(signal.SIGKILL)
            if netns.exists(one.namespace):
                netns.delete(one.namespace)


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with tempfile.TemporaryDirectory(prefix="piranha-replication-") as home:
        both = Both(Path(home))
        try:
            both.up()
            for one in both:
                one.start()
            yield both
        finally:
            both.down()


def test_pairing_begins_replication_without_a_restart(both: Both) -> None:
    assert both.first.state() == both.second.state() == "off"
    host = both.first.popen("pair", text=True, stdout=subprocess.PIPE)
    assert host.stdout is not None
    code = next(line.strip() for line in host.stdout if line.startswith("    "))
    both.second.command("pair", "10.78.2.1", "--code", code)
    assert host.wait(30) == 0
    both.wait_in_step(LVS_CF)
    for one in both:
        assert "replication    in step with " in one.command("status")


def test_a_change_on_either_director_is_in_force_on_both_in_less_than_a_second(both: Both) -> None:
    took = []
    for number in range(EDITS):
        here, there = (both.first, both.second) if number % 2 else (both.second, both.first)
        text = LVS_CF.replace("# kept by both", f"# edit {number} of {here.name}")
        here.config.write_text(text)
        began_at = time.monotonic()
        here.client.post("reload")
        wait_until(lambda there=there, text=text: there.in_force() == text, WAIT_S)  # type: ignore[misc]
        took.append(time.monotonic() - began_at)
        both.wait_in_step(text)
        assert there.config.read_text() == text, "comments and order too"
    print(f"in force on the other: median {statistics.median(took) * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms")
    assert min(took) < 1.0


def test_one_network_is_enough(both: Both) -> None:
    for device, other in (("prv", "10.78.1."), ("pub", "10.78.2.")):
        both.first.links("down", device)
        wait_until(lambda other=other: both.first.replication()["peer_address"].startswith(other), WAIT_S)  # type: ignore[misc, index]
        text = LVS_CF.replace("# kept by both", f"# while {device} is down")
        both.second.edit(text)
        both.wait_in_step(text)
        both.first.links("up", device)


def test_edits_made_apart_are_shown_and_resolved(both: Both) -> None:
    both.first.links("down", "pub", "prv")
    wait_until(lambda: both.first.state() == both.second.state() == "alone", WAIT_S)
    texts = [LVS_CF.replace("# kept by both", f"# apart, {one.name}") for one in both]
    for one, text in zip(both, texts, strict=True):
        one.edit(text)
    began_at = time.monotonic()
    both.first.links("up", "pub", "prv")
    both.wait_in_step()
    print(f"in step {time.monotonic() - began_at:.1f} s after the networks came back")
    stays = both.first.in_force()
    assert stays in texts
    (other,) = (text for text in texts if text != stays)
    listed = both.second.command("config", "conflicts").splitlines()
    assert len(listed) == 2, listed
    conflict = listed[1].split()[0]
    assert both.second.command("config", "conflicts", "show", conflict[:5]) == other
    difference = both.first.command("config", "conflicts", "diff", conflict)
    assert f"+{other.splitlines()[0]}" in difference
    assert "problem" in both.first.command("status")
    said = both.first.command("config", "conflicts", "resolve", conflict, "--take", "theirs")
    assert "the kept configuration is in force" in said
    both.wait_in_step(other)
    events = [event["text"] for event in both.second.client.get("events")["events"]]
    assert any("in force, generation" in text for text in events), events
    for one in both:
        assert "no conflicts" in one.command("config", "conflicts")


def test_a_killed_director_takes_what_it_missed(both: Both) -> None:
    both.second.stop(signal.SIGKILL)
    text = LVS_CF.replace("# kept by both", "# while lb2 was dead")
    both.first.edit(text)
    wait_until(lambda: both.first.state() == "alone", WAIT_S)
    assert "is not reached over the pair link" in both.first.command("config", "push")
    both.second.start()
    both.wait_in_step(text)
    assert "has this configuration" in both.second.command("config", "push")
    assert "is in force" in both.second.command("config", "push", "--pull")


def test_the_key_of_a_running_pair_changes(both: Both) -> None:
    before = [read_pair_keys(one.etc) for one in both]
    assert before[0].keys == before[1].keys
    said = both.second.command("pair", "--rotate")
    assert "key 2" in said
    after = [read_pair_keys(one.etc) for one in both]
    assert after[0].keys == after[1].keys
    assert sorted(after[0].keys) == [1, 2]
    assert both.first.state() == both.second.state() == "in step"


def test_paths_are_the_products(both: Both) -> None:
    """What the documents name."""
    state = Paths.from_environment(both.first.environment()).state
    assert (state / "replication" / "head.json").exists()
    assert list((state / "history").glob("lvs.cf.*"))
