from __future__ import annotations

import stat
from pathlib import Path

import pytest

from piranha.base.errors import ExitCode, PiranhaError
from piranha.cluster.identity import fingerprint, own_certificate
from piranha.cluster.keys import KeyFileError, PairKeys, Peer, node_id, read_pair_keys, write_pair_keys

PAIR = PairKeys(keys={1: b"k" * 32}, peer=Peer(node=b"peernode", name="other", certificate="PEM"))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_pair_keys(tmp_path / "etc", PAIR)
    assert read_pair_keys(tmp_path / "etc") == PAIR
    assert stat.S_IMODE((tmp_path / "etc").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "etc" / "pair.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    write_pair_keys(tmp_path, PAIR)
    (tmp_path / "pair.key").chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600") as caught:
        read_pair_keys(tmp_path)
    assert caught.value.exit_code == ExitCode.CONFIGURATION == 78


def test_a_missing_key_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="piranha pair"):
        read_pair_keys(tmp_path)


def test_a_key_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    write_pair_keys(tmp_path / "a", PAIR)
    (tmp_path / "pair.key").symlink_to(tmp_path / "a" / "pair.key")
    with pytest.raises(KeyFileError):
        read_pair_keys(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"version": 1, "keys": [], "peer": {}}',
        '{"version": 1, "keys": [{"id": 1, "key": "00"}], "peer": {"node": "00", "name": "", "certificate": ""}}',
        '{"version": 9, "keys": [{"id": 1, "key": "' + "00" * 32 + '"}], "peer": {"node": "'
        + "00" * 8 + '", "name": "", "certificate": ""}}',
    ],
)  # fmt: skip
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: str) -> None:
    write_pair_keys(tmp_path, PAIR)
    (tmp_path / "pair.key").write_text(content)
    with pytest.raises(KeyFileError, match="pair"):
        read_pair_keys(tmp_path)


def test_at_most_two_keys_are_kept() -> None:
    changed = PAIR.with_key(2, b"l" * 32).with_key(3, b"m" * 32)
    assert sorted(changed.keys) == [2, 3]
    assert changed.newest == 3
    with pytest.raises(ValueError, match="not newer"):
        changed.with_key(3, b"n" * 32)


def test_a_node_keeps_its_id(tmp_path: Path) -> None:
    node = node_id(tmp_path / "state")
    assert node_id(tmp_path / "state") == node
    assert len(node) == 8
    (tmp_path / "state" / "node-id").write_text("zz")
    with pytest.raises(PiranhaError, match="remove the file"):
        node_id(tmp_path / "state")


def test_a_node_keeps_its_certificate(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path / "etc", b"12345678")
    assert own_certificate(tmp_path / "etc", b"12345678") == certificate
    assert len(fingerprint(certificate)) == 95
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "etc").iterdir()} == {0o600}
    with pytest.raises(PiranhaError, match="no certificate"):
        fingerprint("nonsense")
