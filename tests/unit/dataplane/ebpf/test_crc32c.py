"""`bpf/crc32c.h`, compiled for this machine: a change of four bytes, for every length that a packet can have."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HEADER_FOLDER = Path(__file__).parents[4] / "bpf"
COMPILERS = (os.environ.get("CLANG", ""), "cc", "gcc", "clang", "clang-19", "clang-14")
COMPILER = next((path for name in COMPILERS if name and (path := shutil.which(name))), None)
SOURCE = '#define __noinline __attribute__((noinline))\n#include "crc32c.h"\n'


def crc32c_from_zero(state: int, byte: int) -> int:
    """One byte more of a CRC32c that began at 0, bit by bit."""
    state ^= byte
    for _ in range(8):
        state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("crc32c")
    (folder / "crc32c.c").write_text(SOURCE)
    command = [COMPILER, "-O2", "-w", "-shared", "-fPIC", f"-I{HEADER_FOLDER}"]
    subprocess.run([*command, "-o", str(folder / "crc32c.so"), str(folder / "crc32c.c")], check=True, timeout=60)
    loaded = ctypes.CDLL(str(folder / "crc32c.so"))
    loaded.crc32c_change.restype = ctypes.c_uint32
    loaded.crc32c_change.argtypes = [ctypes.c_uint32, ctypes.c_uint32]
    return loaded


@pytest.mark.parametrize("change", [b"\x13\x88\x00\x00", b"\x00\x00\x1f\x90", b"\x80\x00\x00\x01", b"\xff\xff\xff\xff"])
def test_every_length(library: ctypes.CDLL, change: bytes) -> None:
    word = int.from_bytes(change, "little")
    expected = 0
    for byte in change:
        expected = crc32c_from_zero(expected, byte)
    for length in range(4, 65536):
        assert library.crc32c_change(word, length) == expected, length
        expected = crc32c_from_zero(expected, 0)


def test_no_change_changes_nothing(library: ctypes.CDLL) -> None:
    assert {library.crc32c_change(0, length) for length in (4, 20, 1480, 65535)} == {0}
