"""The record of our services: kept in order, good for one table, safe against kills and damage."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.dataplane.ipvs.ownership import Ownership
from piranha.model.service import Protocol, ServiceKey

TABLE = "boot/1"
WEB = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.1.0.1"), port=80)
DNS = ServiceKey(protocol=Protocol.UDP, address=ip_address("fd00::1"), port=53)
MARK = ServiceKey.of_mark(5, 6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ipvs.json"


def remembered(file: Path, table: str = TABLE) -> tuple[ServiceKey, ...]:
    return Ownership(file, table).keys


def test_keys_come_back_in_their_order(file: Path) -> None:
    ownership = Ownership(file, TABLE)
    for key in (MARK, WEB, DNS):
        ownership.add(key)
    ownership.save()
    assert remembered(file) == (MARK, WEB, DNS)
    ownership.discard(WEB)
    ownership.add(WEB)
    ownership.save()
    assert remembered(file) == (MARK, DNS, WEB)
    assert WEB in ownership


def test_an_intention_is_written_before_it_is_held(file: Path) -> None:
    ownership = Ownership(file, TABLE)
    ownership.add(WEB)
    ownership.intend([WEB, DNS])
    assert DNS not in ownership
    assert remembered(file) == (WEB, DNS)
    ownership.save()
    assert remembered(file) == (WEB,)


def test_what_is_gone_is_forgotten(file: Path) -> None:
    ownership = Ownership(file, TABLE)
    ownership.intend([WEB, DNS])
    again = Ownership(file, TABLE)
    again.keep_only({DNS, MARK})
    again.save()
    assert remembered(file) == (DNS,)


def test_another_table_has_its_own_owners(file: Path) -> None:
    Ownership(file, TABLE).intend([WEB])
    assert remembered(file, "boot/2") == ()
    assert remembered(file, "boot later/1") == ()
    assert remembered(file) == (WEB,)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format":2,"table":"boot/1","services":[]}',
     '{"format":1,"table":"boot/1","services":[[6,"10.1.0.1"]]}',
     '{"format":1,"table":"boot/1","services":[[7,"10.1.0.1",80,0]]}',
     '{"format":1,"table":"boot/1","services":[[6,"nowhere",80,0]]}'],
)  # fmt: skip
def test_a_damaged_file_owns_nothing(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    assert remembered(file) == ()


def test_nothing_new_is_not_written_again(file: Path) -> None:
    ownership = Ownership(file, TABLE)
    ownership.intend([WEB])
    ownership.add(WEB)
    file.unlink()
    ownership.save()
    assert not file.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    ownership = Ownership(tmp_path / "state" / "ipvs.json", TABLE)
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(PiranhaError, match=r"cannot write .*: make .* writable: it remembers"):
        ownership.intend([WEB])
