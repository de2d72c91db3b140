"""BTF is read right, damaged BTF is refused, and a mirror that differs is named by its first difference."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piranha.dataplane.ebpf.btf import AbiMismatch, Btf, BtfError, StructLayout, abi_hash, elf_section
from piranha.dataplane.ebpf.syscall import MapSpec

INT, PTR, ARRAY, STRUCT, UNION, ENUM, TYPEDEF, CONST, VAR, DATASEC = 1, 2, 3, 4, 5, 6, 8, 10, 14, 15


class Writer:
    """Writes BTF as a compiler does; each call returns the new type's id."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types = b""
        self.count = 0

    def name(self, text: str) -> int:
        if not text:
            return 0
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(
        self,
        kind: int,
        name: str,
        value: int,
        items: Sequence[tuple[int, ...]] = (),
        *,
        flag: bool = False,
        once: bool = False,
    ) -> int:
        rows = list(items)
        info = kind << 24 | (0 if once else len(rows)) | flag << 31
        self.types += struct.pack("<III", self.name(name), info, value)
        for row in rows:
            self.types += struct.pack(f"<{len(row)}I", *row)
        self.count += 1
        return self.count

    def integer(self, name: str, size: int, *, signed: bool = False) -> int:
        return self.add(INT, name, size, [(signed << 24 | size * 8,)], once=True)

    def array(self, element: int, count: int) -> int:
        return self.add(ARRAY, "", 0, [(element, element, count)], once=True)

    def compound(self, name: str, size: int, members: list[tuple[str, int, int]], kind: int = STRUCT) -> int:
        """Members are (name, type, byte offset)."""
        return self.add(kind, name, size, [(self.name(n), t, offset * 8) for n, t, offset in members])

    def blob(self) -> bytes:
        header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(self.types), len(self.types), len(self.strings))
        return header + self.types + self.strings


def example() -> bytes:
    """A struct with one member of each kind that the plane's structs have."""
    writer = Writer()
    u8, u16, u32 = (writer.integer(name, size) for name, size in (("__u8", 1), ("__u16", 2), ("__u32", 4)))
    s32 = writer.integer("int", 4, signed=True)
    be16, be32 = writer.add(TYPEDEF, "__be16", u16), writer.add(TYPEDEF, "__be32", u32)
    address = writer.compound(
        "address", 16, [("word", writer.array(be32, 4), 0), ("byte", writer.array(u8, 16), 0)], UNION
    )
    half = writer.compound("half", 4, [("low", u16, 0), ("high", u16, 2)])
    inner = writer.compound("", 4, [("whole", writer.add(CONST, "", u32), 0), ("parts", half, 0)], UNION)
    mode = writer.add(ENUM, "mode", 4, [(writer.name("MODE_A"), 0), (writer.name("MODE_B"), 0xFFFFFFFF)], flag=True)
    writer.compound(
        "thing",
        48,
        [
            ("address", address, 0),
            ("port", be16, 16),
            ("pad0", u16, 18),
            ("delta", s32, 20),
            ("", inner, 24),
            ("grid", writer.array(writer.array(u16, 2), 3), 28),
            ("mode", mode, 40),
            ("mask", u32, 44),
        ],
    )
    writer.add(
        STRUCT, "bits", 4, [(writer.name("low"), u32, 3 << 24), (writer.name("high"), u32, 29 << 24 | 3)], flag=True
    )
    answer = writer.add(VAR, "answer", u32, [(0,)], once=True)
    writer.add(DATASEC, ".rodata", 4, [(answer, 0, 4)])
    writer.add(DATASEC, "license", 4, [(answer, 0, 4)])
    return writer.blob()


BLOB = example()
FIELDS = {
    "address": ((">u4", (4,)), 0),
    "port": (">u2", 16),
    "delta": ("<i4", 20),
    "whole": ("<u4", 24),
    "grid": (("<u2", (3, 2)), 28),
    "mode": ("<i4", 40),
    "mask": ("<u4", 44),
}


def mirror(size: int = 48, **changes: tuple[object, int] | None) -> np.dtype[np.void]:
    fields = {name: entry for name, entry in {**FIELDS, **changes}.items() if entry is not None}
    return np.dtype(
        {
            "names": list(fields),
            "formats": [entry[0] for entry in fields.values()],
            "offsets": [entry[1] for entry in fields.values()],
            "itemsize": size,
        }
    )


def test_members_and_their_places() -> None:
    layout = Btf(BLOB).layout("thing")
    assert layout.size == 48
    assert [(m.name, m.offset, m.size, m.kind, m.count) for m in layout.members] == [
        ("address", 0, 16, "union", None),
        ("port", 16, 2, "big-endian", None),
        ("pad0", 18, 2, "unsigned", None),
        ("delta", 20, 4, "signed", None),
        ("whole", 24, 4, "unsigned", None),
        ("parts", 24, 4, "struct", None),
        ("grid", 28, 12, "unsigned", 6),
        ("mode", 40, 4, "enum", None),
        ("mask", 44, 4, "unsigned", None),
    ]


def test_bitfields_constants_and_variables() -> None:
    btf = Btf(BLOB)
    assert [(m.offset, m.size, m.kind) for m in btf.layout("bits").members] == [(0, 1, "bitfield"), (0, 4, "bitfield")]
    assert btf.constants() == {"MODE_A": 0, "MODE_B": -1}
    assert set(btf.variables()) == {"answer"}
    assert btf.variables()["answer"].section == ".rodata"
    assert btf.struct_names() == {"thing", "address", "half", "bits"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"address": ("V16", 0)},
        {"address": (("u1", (16,)), 0)},
        {"pad0": ("<u2", 18)},
        {"whole": None, "parts": ([("low", "<u2"), ("high", "<u2")], 24)},
        {"grid": (("<u2", (6,)), 28)},
        {"mode": ("<u4", 40)},
    ],
)
def test_a_fitting_mirror_passes(changes: dict[str, tuple[object, int] | None]) -> None:
    Btf(BLOB).check(mirror(**changes), "thing")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"size": 56}, "thing: the object has 48 bytes, the mirror 56"),
        ({"mask": None}, "thing.mask: missing in the mirror"),
        ({"whole": None}, "thing.whole: missing in the mirror"),
        ({"mask": None, "mark": ("<u4", 44)}, "thing.mark: the object has no such member"),
        ({"port": (">u2", 18)}, "thing.port: at byte 16 in the object, 18 in the mirror"),
        ({"port": (">u4", 16), "delta": None}, "thing.port: 2 bytes in the object, 4 in the mirror"),
        ({"port": ("<u2", 16)}, "thing.port: big-endian in the object, the other byte order in the mirror"),
        ({"mask": (">u4", 44)}, "thing.mask: unsigned in the object, the other byte order in the mirror"),
        ({"delta": ("<u4", 20)}, "thing.delta: signed in the object, uint32 in the mirror"),
        ({"mask": ("<f4", 44)}, "thing.mask: unsigned in the object, float32 in the mirror"),
        ({"mask": ("V4", 44)}, "thing.mask: unsigned in the object, raw bytes in the mirror"),
        ({"grid": (("<u4", (3,)), 28)}, "thing.grid: 6 elements in the object, 3 in the mirror"),
        (
            {"address": (("<u4", (4,)), 0)},
            "thing.address: big-endian in the object, the other byte order in the mirror",
        ),
        (
            {"whole": None, "parts": ([("low", "<u2"), ("hi", "<u2")], 24)},
            "thing.parts.hi: the object has no such member",
        ),
    ],
)
def test_the_first_difference_is_named(changes: dict[str, tuple[object, int] | None], text: str) -> None:
    with pytest.raises(AbiMismatch) as caught:
        Btf(BLOB).check(mirror(**changes), "thing")  # type: ignore[arg-type]
    assert str(caught.value) == text


def test_a_bitfield_cannot_be_mirrored() -> None:
    with pytest.raises(AbiMismatch, match=r"bits\.high: a bitfield"):
        Btf(BLOB).check(np.dtype([("high", "<u4")]), "bits")


def test_a_struct_that_is_not_there() -> None:
    with pytest.raises(BtfError, match="no struct nothing"):
        Btf(BLOB).check(mirror(), "nothing")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_btf_is_refused_or_read_never_a_crash_or_a_hang(data: st.DataObject) -> None:
    blob = bytearray(BLOB)
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    del blob[data.draw(st.integers(0, len(blob))) :]
    try:
        btf = Btf(bytes(blob))
        for name in btf.struct_names():
            btf.layout(name)
        btf.constants()
        btf.variables()
    except BtfError:
        pass


@pytest.mark.parametrize("image", [b"", b"\x7fELF\x02\x01", b"#!/bin/sh\n" * 20, b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_no_object_is_refused(image: bytes) -> None:
    with pytest.raises(BtfError):
        elf_section(image, ".BTF")


def test_an_endless_typedef_is_refused() -> None:
    writer = Writer()
    writer.add(TYPEDEF, "loop", 1)
    writer.compound("thing", 4, [("a", 1, 0)])
    with pytest.raises(BtfError, match="does not end"):
        Btf(writer.blob()).layout("thing")


class TestAbiHash:
    MAP = MapSpec(name="conns", type=2, key_size=4, value_size=64, max_entries=1000, flags=1024)
    OTHER = MapSpec(name="services", type=1, key_size=20, value_size=64, max_entries=10, flags=0)

    def layout(self) -> StructLayout:
        return Btf(BLOB).layout("thing")

    def test_it_is_the_same_whatever_the_order_and_the_table_sizes(self) -> None:
        larger = MapSpec(name="conns", type=2, key_size=4, value_size=64, max_entries=2000, flags=1024, id=17)
        assert abi_hash([self.MAP, self.OTHER], [self.layout()]) == abi_hash([self.OTHER, larger], [self.layout()])

    @pytest.mark.parametrize("change", [{"value_size": 72}, {"flags": 0}, {"type": 1}, {"key_size": 8}, {"name": "c"}])
    def test_it_changes_with_a_definition(self, change: dict[str, int]) -> None:
        plain = {"name": "conns", "type": 2, "key_size": 4, "value_size": 64, "max_entries": 1000, "flags": 1024}
        changed = MapSpec(**{**plain, **change})  # type: ignore[arg-type]
        assert abi_hash([self.MAP], []) != abi_hash([changed], [])

    def test_it_changes_with_a_layout(self) -> None:
        assert abi_hash([self.MAP], [self.layout()]) != abi_hash([self.MAP], [Btf(BLOB).layout("half")])
