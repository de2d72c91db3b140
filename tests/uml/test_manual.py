"""The manual page of ipvsadm as a script: its examples leave the same table, whoever runs them and on either plane."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from piranha.lab import namespace as netns
from tests.uml.guest import PROJECT, Guest, why_not
from tests.uml.manual import examples

NAMESPACE = "pman-director"
TIMEOUT_S = 240


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our program, which works for `dataplane = ipvs` on the kernel's IPVS."""
    if reason := why_not():
        pytest.skip(reason)
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT / 'src'}:{PROJECT}")
    for name in ("RUN", "STATE"):
        monkeypatch.setenv(f"PIRANHA_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("PIRANHA_CONFIG", str(tmp_path / "lvs.cf"))
    folder = tmp_path / "sbin"
    folder.mkdir()
    program = folder / "ipvsadm"
    program.write_text(f"#!{sys.executable}\nfrom piranha.ipvsadm.program import main\nmain()\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def director(tmp_path: Path) -> Iterator[str]:
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and BPF programs")
    commands = (
        f"netns add {NAMESPACE}",
        f"-n {NAMESPACE} link add d0 type veth peer name d1",
        f"-n {NAMESPACE} addr add 10.67.0.1/24 dev d0",
        f"-n {NAMESPACE} link set d0 up",
        f"-n {NAMESPACE} link set d1 up",
    )
    try:
        for words in commands:
            subprocess.run(["ip", *words.split()], check=True, capture_output=True)
        yield NAMESPACE
    finally:
        subprocess.run([sys.executable, "-m", "piranha", "unload"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", NAMESPACE], capture_output=True, check=False)


def test_its_examples_run_unchanged(tmp_path: Path, ours: Path, director: str) -> None:
    scripts = examples()
    assert len(scripts) >= 7, "the page has another form"

    tmp_path.joinpath("lvs.cf").write_text("dataplane = ipvs\n")
    command = [sys.executable, "-m", "tests.uml.manual", "debian=/usr/sbin", f"ours={ours}"]
    done = Guest().run(command, timeout_s=TIMEOUT_S, rw=[]).check()
    in_guest = json.loads(done.stdout)

    tmp_path.joinpath("lvs.cf").unlink()
    with netns.entered(director):
        here = subprocess.run([*command[:3], f"ours={ours}"], capture_output=True, check=True, timeout=TIMEOUT_S)
    on_ebpf = json.loads(here.stdout)["ours"]

    for number, script in enumerate(scripts):
        code, _, said, table = in_guest["debian"][number]
        assert (code, said) == (0, ""), script
        assert len(table) >= 2, script
        assert in_guest["ours"][number] == in_guest["debian"][number], script
        assert on_ebpf[number] == in_guest["debian"][number], script
