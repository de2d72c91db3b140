"""Reading the configuration file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.director_world import LISTING

from piranha.base.errors import PiranhaError
from piranha.director.source import ConfigurationError, changed_on_disk, read_configuration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lvs.cf"
    path.write_text(LISTING)
    return path


def test_a_good_file_is_read(file: Path) -> None:
    reading = read_configuration(file)
    assert reading.configuration.serial_no == 7
    assert reading.text == LISTING


def test_all_errors_of_a_bad_file_come_at_once(file: Path) -> None:
    file.write_text(LISTING.replace("weight = 3", "weight = heavy").replace("active = 1", "active = perhaps"))
    with pytest.raises(ConfigurationError, match="has 4 errors and is not used") as refused:
        read_configuration(file)
    assert {p.line for p in refused.value.problems if p.severity == "error"} == {7, 16, 17, 21}


def test_a_missing_file_is_one_sentence(file: Path) -> None:
    with pytest.raises(PiranhaError, match=r"cannot read .*nothing.cf \(No such file or directory\): name a readable"):
        read_configuration(file.with_name("nothing.cf"))


def test_a_huge_file_is_refused_without_reading_it_all(file: Path) -> None:
    with file.open("wb") as sparse:
        sparse.truncate(100 * 1024 * 1024)
    with pytest.raises(PiranhaError, match="is longer than 4 MiB"):
        read_configuration(file)


def test_bytes_that_are_no_text_survive(file: Path) -> None:
    file.write_bytes(b"# \xff\n" + LISTING.encode())
    assert read_configuration(file).text.encode("utf-8", "surrogateescape").startswith(b"# \xff\n")


def test_an_edit_on_disk_is_seen(file: Path) -> None:
    reading = read_configuration(file)
    assert not changed_on_disk(reading)
    os.utime(file, (1, 1))
    assert not changed_on_disk(reading)
    file.write_text(LISTING + "# more\n")
    assert changed_on_disk(reading)
    file.unlink()
    assert changed_on_disk(reading)
