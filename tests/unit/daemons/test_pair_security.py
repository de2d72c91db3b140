from __future__ import annotations

from pathlib import Path

import pytest

from piranha.base.errors import PiranhaError
from piranha.cluster.identity import own_certificate
from piranha.cluster.keys import PairKeys, Peer, write_pair_keys
from piranha.daemons.pair_security import PairSecurity


def pair(folder: Path, key: bytes = b"k" * 32) -> None:
    own_certificate(folder, b"A" * 8)
    other = own_certificate(folder / "other", b"B" * 8)
    write_pair_keys(folder, PairKeys(keys={1: key}, peer=Peer(node=b"B" * 8, name="other", certificate=other)))


def test_without_a_pair_there_is_no_tls(tmp_path: Path) -> None:
    assert PairSecurity(tmp_path)() is None


def test_contexts_are_made_once_a_pair(tmp_path: Path) -> None:
    security = PairSecurity(tmp_path)
    pair(tmp_path)
    first = security()
    assert first is not None
    assert security() is first
    pair(tmp_path, b"l" * 32)
    assert security() is not first


def test_files_that_are_not_sound_make_no_link(tmp_path: Path) -> None:
    pair(tmp_path)
    (tmp_path / "pair.key").chmod(0o644)
    with pytest.raises(PiranhaError, match="chmod 600"):
        PairSecurity(tmp_path)()
