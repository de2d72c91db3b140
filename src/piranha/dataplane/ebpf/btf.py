"""BTF: the types that the compiler wrote into an object, and the check of our numpy mirrors against them.

Format: Documentation/bpf/btf.rst of the kernel. Only little-endian objects (the ones we ship) are read.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.syscall import MapSpec

if TYPE_CHECKING:
    import numpy as np

_MAGIC = 0xEB9F
_MAX_DEPTH = 32


class _Kind(IntEnum):
    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_COMPOUND = frozenset({_Kind.STRUCT, _Kind.UNION})
_QUALIFIERS = frozenset({_Kind.TYPEDEF, _Kind.VOLATILE, _Kind.CONST, _Kind.RESTRICT, _Kind.TYPE_TAG})
_BIG_ENDIAN = frozenset({"__be16", "__be32", "__be64"})
# Words that follow a type: so many once, and so many for each of its `vlen` items.
_WORDS_ONCE = {_Kind.INT: 1, _Kind.ARRAY: 3, _Kind.VAR: 1, _Kind.DECL_TAG: 1}
_WORDS_EACH = {
    _Kind.STRUCT: 3,
    _Kind.UNION: 3,
    _Kind.ENUM: 2,
    _Kind.FUNC_PROTO: 2,
    _Kind.DATASEC: 3,
    _Kind.ENUM64: 3,
}


class BtfError(PiranhaError):
    """An object carries no BTF, or BTF that cannot be read."""


class AbiMismatch(PiranhaError):  # noqa: N818 -- it is not an error of the caller
    """A mirror in Python and the struct in the object differ; the text names the first difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member. `kind`: unsigned, signed, bool, big-endian (`__be…`), enum, float, pointer, struct, union, bitfield.

    `count` is that of all dimensions of an array together, None for what is not an array.
    """

    name: str
    offset: int
    size: int
    kind: str
    count: int | None
    type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StructLayout:
    """Where the members of a struct lie; those of unnamed inner structs and unions count as its own."""

    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A global variable: its section (`.rodata`, `.data`, `.bss`) and where it lies there."""

    section: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    kind: int
    name: str
    value: int
    flag: bool
    items: tuple[tuple[int, ...], ...]


def elf_section(image: bytes, wanted: str) -> bytes | None:
    """The bytes of a section of a 64-bit little-endian ELF file, or None. Raises BtfError for another file."""
    if image[:6] != b"\x7fELF\x02\x01":
        raise BtfError("not a 64-bit little-endian ELF object")
    try:
        (table,) = struct.unpack_from("<Q", image, 40)
        entry_size, count, names = struct.unpack_from("<HHH", image, 58)
        headers = [struct.unpack_from("<IIQQQQ", image, table + i * entry_size) for i in range(count)]
        names_at = headers[names][4]
        for name_at, _, _, _, offset, size in headers:
            end = image.index(b"\0", names_at + name_at)
            if image[names_at + name_at : end] == wanted.encode():
                if offset + size > len(image):
                    raise BtfError(f"the ELF object is cut off in section {wanted}")
                return image[offset : offset + size]
    except (struct.error, IndexError, ValueError) as error:
        raise BtfError("the ELF object is damaged") from error
    return None


class Btf:
    """The types of one object. Raises BtfError when they are damaged."""

    def __init__(self, raw: bytes) -> None:
        try:
            magic, version, _, header_size = struct.unpack_from("<HBBI", raw)
            if magic != _MAGIC or version != 1:
                raise BtfError("the BTF section has an unknown format")
            types_at, types_size, strings_at, strings_size = struct.unpack_from("<IIII", raw, 8)
            self._strings = raw[header_size + strings_at : header_size + strings_at + strings_size]
            self._types = list(self._parse(raw[header_size + types_at : header_size + types_at + types_size]))
        except (struct.error, IndexError, ValueError) as error:
            raise BtfError("the BTF section is damaged") from error
        self._structs = {t.name: i for i, t in enumerate(self._types) if t.kind in _COMPOUND and t.name}

    @staticmethod
    def from_elf(image: bytes) -> Btf:
        """The types of an object file. Raises BtfError when it carries none."""
        raw = elf_section(image, ".BTF")
        if raw is None:
            raise BtfError("the object carries no BTF", mend="compile it with -g")
        return Btf(raw)

    def _string(self, at: int) -> str:
        try:
            return self._strings[at : self._strings.index(b"\0", at)].decode()
        except ValueError as error:
            raise BtfError(f"the BTF section is damaged: no name at {at}") from error

    def _parse(self, raw: bytes) -> Iterator[_Type]:
        yield _Type(kind=_Kind.VOID, name="void", value=0, flag=False, items=())
        at = 0
        while at < len(raw):
            name_at, info, value = struct.unpack_from("<III", raw, at)
            kind, vlen, flag = _Kind((info >> 24) & 0x1F), info & 0xFFFF, bool(info >> 31)
            words, items = (_WORDS_ONCE[kind], 1) if kind in _WORDS_ONCE else (_WORDS_EACH.get(kind, 0), vlen)
            at += 12
            rows = tuple(
                struct.unpack_from(f"<{words}I", raw, at + i * words * 4) for i in range(items if words else 0)
            )
            at += len(rows) * words * 4
            yield _Type(kind=kind, name=self._string(name_at), value=value, flag=flag, items=rows)

    def _type(self, type_id: int) -> _Type:
        try:
            return self._types[type_id]
        except IndexError as error:
            raise BtfError(f"the BTF section is damaged: type {type_id} does not exist") from error

    def _resolve(self, type_id: int) -> tuple[int, bool]:
        """The type behind typedefs and qualifiers, and whether a name on the way says it is big-endian."""
        big_endian = False
        for _ in range(_MAX_DEPTH):
            found = self._type(type_id)
            if found.kind not in _QUALIFIERS:
                return type_id, big_endian
            big_endian = big_endian or found.name in _BIG_ENDIAN
            type_id = found.value
        raise BtfError("the BTF section is damaged: a chain of typedefs does not end")

    def _size(self, type_id: int, depth: int = 0) -> int:
        found = self._type(self._resolve(type_id)[0])
        if depth > _MAX_DEPTH:
            raise BtfError("the BTF section is damaged: arrays nest without end")
        if found.kind == _Kind.PTR:
            return 8
        if found.kind == _Kind.ARRAY:
            element, _, count = found.items[0]
            return self._size(element, depth + 1) * count
        return found.value

    def _describe(self, type_id: int) -> tuple[str, int | None, int]:
        """(kind, count of an array or None, type of one element)."""
        count: int | None = None
        for _ in range(_MAX_DEPTH):
            type_id, big_endian = self._resolve(type_id)
            found = self._type(type_id)
            if found.kind != _Kind.ARRAY:
                break
            element, _, dimension = found.items[0]
            count = dimension if count is None else count * dimension
            type_id = element
        else:
            raise BtfError("the BTF section is damaged: arrays nest without end")
        if found.kind == _Kind.INT:
            encoding = (found.items[0][0] >> 24) & 0xF
            word = "bool" if encoding & 4 else "signed" if encoding & 1 else "unsigned"
            return ("big-endian" if big_endian else word), count, type_id
        words = {
            _Kind.PTR: "pointer",
            _Kind.STRUCT: "struct",
            _Kind.UNION: "union",
            _Kind.ENUM: "enum",
            _Kind.ENUM64: "enum",
            _Kind.FLOAT: "float",
        }
        return words.get(_Kind(found.kind), "unsigned"), count, type_id

    def _members(self, type_id: int, base: int = 0, depth: int = 0) -> Iterator[Member]:
        found = self._type(type_id)
        if depth > _MAX_DEPTH:
            raise BtfError("the BTF section is damaged: structs nest without end")
        for name_at, member_type, position in found.items:
            bit_size, bit_offset = (position >> 24, position & 0xFFFFFF) if found.flag else (0, position)
            offset, name = base + bit_offset // 8, self._string(name_at)
            kind, count, element = self._describe(member_type)
            if not name and kind in ("struct", "union"):
                yield from self._members(element, offset, depth + 1)
                continue
            size = (bit_offset % 8 + bit_size + 7) // 8 if bit_size else self._size(member_type)
            kind = "bitfield" if bit_size else kind
            yield Member(name=name, offset=offset, size=size, kind=kind, count=count, type_id=element)

    def struct_names(self) -> frozenset[str]:
        return frozenset(self._structs)

    def layout(self, name: str) -> StructLayout:
        """The layout of a struct or union. Raises BtfError when the object knows none of this name."""
        if name not in self._structs:
            raise BtfError(
                f"the object has no struct {name}", mend="a type is kept only where a map or program uses it"
            )
        return self._layout(self._structs[name])

    def _layout(self, type_id: int) -> StructLayout:
        found = self._type(type_id)
        return StructLayout(name=found.name, size=found.value, members=tuple(self._members(type_id)))

    def constants(self) -> dict[str, int]:
        """Every enum constant of the object, of named and unnamed enums."""
        values: dict[str, int] = {}
        for found in self._types:
            for item in found.items if found.kind in (_Kind.ENUM, _Kind.ENUM64) else ():
                raw = item[1] | (item[2] << 32 if found.kind == _Kind.ENUM64 else 0)
                bits = 64 if found.kind == _Kind.ENUM64 else 32
                values[self._string(item[0])] = raw - (1 << bits) if found.flag and raw >> (bits - 1) else raw
        return values

    def variables(self) -> dict[str, Variable]:
        """Global variables by name (offsets as in the object file)."""
        found: dict[str, Variable] = {}
        for section in (t for t in self._types if t.kind == _Kind.DATASEC):
            if not section.name.startswith((".rodata", ".data", ".bss")):
                continue
            for variable, offset, size in section.items:
                name = self._type(variable).name
                found[name] = Variable(section=section.name, offset=offset, size=size)
        return found

    def check(self, dtype: np.dtype[Any], name: str) -> None:
        """Compare a numpy mirror with the struct `name`. Raises AbiMismatch with the first difference.

        Every field of `dtype` must be a member of the same name, offset, size and kind; every byte of a member must lie
        under some field (so one view of a union is enough), but for members named `pad…` or `_…`.
        """
        import numpy as np

        self._check_struct(np.dtype(dtype), self.layout(name), name)

    def _check_struct(self, dtype: np.dtype[Any], layout: StructLayout, where: str) -> None:
        if dtype.itemsize != layout.size:
            raise AbiMismatch(f"{where}: the object has {layout.size} bytes, the mirror {dtype.itemsize}")
        if dtype.fields is None:
            raise AbiMismatch(f"{where}: the mirror has no fields")
        members = {member.name: member for member in layout.members}
        covered = bytearray(layout.size)
        for name, entry in dtype.fields.items():
            field, offset = entry[0], entry[1]
            member = members.get(name)
            if member is None:
                raise AbiMismatch(f"{where}.{name}: the object has no such member")
            if offset != member.offset:
                raise AbiMismatch(f"{where}.{name}: at byte {member.offset} in the object, {offset} in the mirror")
            if field.itemsize != member.size:
                raise AbiMismatch(f"{where}.{name}: {member.size} bytes in the object, {field.itemsize} in the mirror")
            if (wrong := self._difference(field, member, f"{where}.{name}")) is not None:
                raise AbiMismatch(f"{where}.{name}: {wrong}")
            covered[offset : offset + field.itemsize] = b"\1" * field.itemsize
        for member in layout.members:
            if not member.name.startswith(("pad", "_")) and not all(
                covered[member.offset : member.offset + member.size]
            ):
                raise AbiMismatch(f"{where}.{member.name}: missing in the mirror")

    def _difference(self, field: np.dtype[Any], member: Member, where: str) -> str | None:
        """What differs between a field and a member of one size, or None. Raises AbiMismatch from inner structs."""
        if member.kind == "bitfield":
            return "a bitfield cannot be mirrored"
        element, shape = field.subdtype if field.subdtype is not None else (field, ())
        if element.kind in "VS" and element.fields is None:
            opaque = member.kind in ("struct", "union") or (
                member.count is not None and element.itemsize == member.size
            )
            return None if opaque else f"{member.kind} in the object, raw bytes in the mirror"
        count = math.prod(shape) if shape else None
        if member.kind in ("struct", "union"):
            return self._difference_inside(element, count, member, where)
        if count != member.count:
            return f"{member.count or 'no array'} elements in the object, {count or 'no array'} in the mirror"
        kinds = {
            "unsigned": "u",
            "big-endian": "u",
            "signed": "i",
            "bool": "bu",
            "enum": "ui",
            "float": "f",
            "pointer": "u",
        }
        if element.kind not in kinds[member.kind]:
            return f"{member.kind} in the object, {element} in the mirror"
        if element.itemsize > 1 and (element.newbyteorder("=") != element) != (member.kind == "big-endian"):
            return f"{member.kind} in the object, the other byte order in the mirror"
        return None

    def _difference_inside(self, element: np.dtype[Any], count: int | None, member: Member, where: str) -> str | None:
        inner = self._layout(member.type_id)
        if element.fields is not None:
            if count != member.count:
                return f"{member.count or 'no array'} elements in the object, {count or 'no array'} in the mirror"
            self._check_struct(element, inner, where)
            return None
        # A plain field may stand for one view that fills the whole struct or union (16 bytes of an address).
        whole = [m for m in inner.members if m.offset == 0 and m.size == inner.size]
        if member.count is None and whole:
            import numpy as np

            field = np.dtype((element, (count,))) if count is not None else element
            differences = [self._difference(field, view, where) for view in whole]
            return None if None in differences else differences[0]
        return f"{member.kind} in the object, {element} in the mirror"


def abi_hash(maps: Iterable[MapSpec], layouts: Iterable[StructLayout]) -> str:
    """12 hexadecimal digits that change when a map's definition or a struct's layout does; not with sizes of tables.

    Names a folder of pins, so that a newer version never adopts maps of another shape.
    """
    lines = [f"map {m.name} {int(m.type)} {m.key_size} {m.value_size} {int(m.flags)}" for m in maps]
    lines += [
        f"struct {s.name} {s.size} " + " ".join(f"{m.name}@{m.offset}+{m.size}:{m.kind}[{m.count}]" for m in s.members)
        for s in layouts
    ]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:12]
