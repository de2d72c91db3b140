"""piranha import: files in, an lvs.cf out, and nothing overwritten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.importing_world import FIXTURES

from piranha.base.errors import ExitCode
from piranha.cli.main import run
from piranha.config.semantics import check_text
from piranha.dataplane.memory import MemoryPlane
from piranha.dataplane.plan import plan
from piranha.importers.comparison import EVERYTHING, differences, expected_entries
from piranha.model.service import ServiceStatus

PLAIN = str(FIXTURES / "keepalived" / "plain.conf")
SAVED = str(FIXTURES / "ipvsadm.save")


def test_the_lvs_cf_goes_to_stdout_and_the_report_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "keepalived", PLAIN]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert check_text(out).is_usable
    assert "virtual 192.0.2.100:80 {" in out
    assert f"{PLAIN}:30: not carried over: virtual_router_id 51: there is no VRRP" in err
    assert "carried over: lvs_sched" not in err
    assert err.splitlines()[-1].startswith(f"{len(Path(PLAIN).read_text().splitlines())} lines: ")


def test_every_line_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "keepalived", PLAIN, "--every"]) == ExitCode.DONE
    err = capsys.readouterr().err
    assert sum(line.startswith(f"{PLAIN}:") for line in err.splitlines()) == len(Path(PLAIN).read_text().splitlines())


def test_a_file_that_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "lvs.cf"
    assert run(["import", "keepalived", PLAIN, "--output", str(target)]) == ExitCode.DONE
    assert capsys.readouterr().out == ""
    written = target.read_text()
    assert check_text(written).is_usable
    target.write_text("mine\n")
    assert run(["import", "keepalived", PLAIN, "--output", str(target)]) == ExitCode.REFUSED
    assert "--force" in capsys.readouterr().err
    assert target.read_text() == "mine\n"
    assert run(["import", "keepalived", PLAIN, "--output", str(target), "--force"]) == ExitCode.DONE
    assert target.read_text() == written


def test_errors_make_no_lvs_cf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "lvs.cf"
    assert run(["import", "ipvsadm", SAVED, "--output", str(target)]) == ExitCode.REFUSED
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: -A -t 192.0.2.100:80" in err
    assert "--device" in err
    assert not target.exists()


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "ipvsadm", SAVED, "--device", "eth0", "--json"]) == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["usable"] is True
    assert check_text(document["lvs_cf"]).is_usable
    assert [line["line"] for line in document["lines"]] == list(range(1, 14))
    assert document["counts"]["error"] == 0
    assert document["differences"] is None


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "nginx-stream", "/nowhere/nginx.conf"]) == ExitCode.REFUSED
    assert "/nowhere/nginx.conf" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--primary", "192.0.2.1"], ["--force"], ["--primary", "one", "--backup", "two"], ["--config-id", "x"]]
)
def test_wrong_options_are_usage_errors(words: list[str]) -> None:
    assert run(["import", "ipvsadm", SAVED, "--device", "eth0", *words]) == ExitCode.USAGE


def test_the_pair_may_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device", "eth0", "--primary", "192.0.2.1", "--backup", "192.0.2.2"]
    assert run(["import", "ipvsadm", SAVED, *words]) == ExitCode.DONE
    found = check_text(capsys.readouterr().out).configuration
    assert (str(found.primary), str(found.backup), found.backup_active) == ("192.0.2.1", "192.0.2.2", True)


class _Running:
    """Stands for the table that runs here."""

    def __init__(self, statuses: Sequence[ServiceStatus]) -> None:
        self._statuses = statuses

    def __enter__(self) -> _Running:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def snapshot(self) -> Sequence[ServiceStatus]:
        return self._statuses


def test_the_difference_to_the_running_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["import", "ipvsadm", SAVED, "--device", "eth0"])
    configuration = check_text(capsys.readouterr().out).configuration
    plane = MemoryPlane(capabilities=EVERYTHING)
    plane.apply(plan((), expected_entries(configuration)))
    assert differences(configuration, plane.snapshot()) == ()
    shorter = plane.snapshot()[1:]
    monkeypatch.setattr("piranha.ipvsadm.access.FoundTable", lambda paths: _Running(shorter))
    assert run(["import", "ipvsadm", SAVED, "--device", "eth0", "--diff"]) == ExitCode.DONE
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "add tcp 192.0.2.100:80 wrr",
        "add tcp 192.0.2.100:80 to 10.0.0.11:8080 nat weight 3",
        "add tcp 192.0.2.100:80 to 10.0.0.12:8080 nat weight 0",
    ]
    assert err.splitlines()[-1] == "3 changes"
