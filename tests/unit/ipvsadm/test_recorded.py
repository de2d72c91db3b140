"""Every recorded command line, replayed on the memory plane: same exit code, same output, byte for byte."""

from __future__ import annotations

import pytest

from tests.unit.ipvsadm.recording import Run, recorded_names, recording

HELP = "the help is written afresh"
WHO = "who may use the table is judged before the line: test_access.py"
CIRCLE = "marks above 2^31 beside small ones sort in a circle, which begins where the kernel's hash table does"
DIFFERENCES = {
    ("no-arguments", "-h"): HELP,
    ("no-arguments", "--help"): HELP,
    ("no-arguments", "-h -L"): HELP,
    ("listings", "@nobody -Ln"): WHO,
    ("listings", "@nobody -A -t 10.9.0.9:80"): WHO,
    ("add-service", "-Ln"): CIRCLE,
    ("add-service", "-Sn"): CIRCLE,
}
"""Group and line -> why we say something else."""
OTHERWISE = {"no-ipvs": "a kernel without IPVS is no obstacle"}
"""Groups that do not apply."""
TRAFFIC = ("@open", "@option", "@settle")
"""From such a line on, a group shows what packets did: `test_entries.py` and the conformance suite have that."""


@pytest.mark.parametrize("name", [name for name in recording()["groups"] if name not in OTHERWISE])
def test_replay(name: str) -> None:
    run, misses = Run(names=recorded_names()), []
    for command in recording()["groups"][name]["commands"]:
        line = command["line"]
        if line.startswith(TRAFFIC):
            break
        if DIFFERENCES.get((name, line)) == CIRCLE:
            out = run(command["argv"], command["stdin"])[1]
            assert sorted(out.splitlines()) == sorted(command["stdout"].splitlines())
        elif (name, line) not in DIFFERENCES:
            wanted = command["exit"], command["stdout"], command["stderr"]
            got = run(command["argv"], command["stdin"])
            if got != wanted:
                misses.append(f"{line}\n  wanted {wanted}\n  got    {got}")
    assert not misses, "\n".join(misses)


def test_every_difference_is_one() -> None:
    lines = {(name, c["line"]) for name, group in recording()["groups"].items() for c in group["commands"]}
    assert set(DIFFERENCES) <= lines
