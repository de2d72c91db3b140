#!/usr/bin/env python3
"""Say how much stack the call chains of a BPF object take: `tools/bpf_stack.py [OBJECT]`.

The kernel allows 512 bytes and 8 frames for one chain of calls, and counts each function's stack in whole units: 32 bytes
before Linux 6.9 (the floor is 6.1), 16 since where the JIT is on. Callbacks of `bpf_loop` are part of the chain; those of
timers and workqueues begin a new one, which this count, on the safe side, does not know.
(kernel/bpf/verifier.c, check_max_stack_depth)
"""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path

OBJECT = Path(__file__).resolve().parent.parent / "src/piranha/dataplane/ebpf/objects/lb.bpf.o"
LIMIT_BYTES, LIMIT_FRAMES, UNIT_BYTES = 512, 8, 32

_STT_FUNC, _STT_SECTION = 2, 3
_SHT_SYMTAB, _SHT_REL = 2, 9
_FRAME = 10  # r10
_CALL, _LOAD_64 = 0x85, 0x18
_PSEUDO_CALL = 1
_MOVE_64, _ADD_64 = 0xBF, 0x07  # of a register; of a constant
_CLASS_LD, _CLASS_LDX, _CLASS_ST, _CLASS_STX, _CLASS_ALU, _CLASS_ALU64 = 0, 1, 2, 3, 4, 7


@dataclass(slots=True)
class Function:
    """One function: bytes of stack that it touches, and which functions it calls or hands to `bpf_loop`."""

    name: str
    stack_bytes: int = 0
    calls: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Chain:
    """The deepest chain from one entry point. `bytes` are counted in whole units."""

    functions: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    value: int
    size: int
    section: int
    kind: int


def read_functions(image: bytes) -> tuple[dict[str, Function], list[str]]:
    """Every function of a BPF object, and the names of its entry points (those in a section of their own)."""
    sections = _sections(image)
    symbols = _symbols(image, sections)
    code = {i for i, s in enumerate(sections) if any(t.section == i and t.kind == _STT_FUNC for t in symbols)}
    starts = {(s.section, s.value): s.name for s in symbols if s.kind == _STT_FUNC}
    moved: dict[tuple[int, int], _Symbol] = {}
    for section in sections:
        if section.kind == _SHT_REL and section.info in code:
            for at in range(section.offset, section.offset + section.size, 16):
                place, info = struct.unpack_from("<QQ", image, at)
                moved[section.info, place] = symbols[info >> 32]
    functions = {}
    for symbol in symbols:
        if symbol.kind == _STT_FUNC:
            begin = sections[symbol.section].offset + symbol.value
            functions[symbol.name] = _read(symbol, image[begin : begin + symbol.size], moved, code=code, starts=starts)
    entries = [s.name for s in symbols if s.kind == _STT_FUNC and sections[s.section].name != ".text"]
    return functions, entries


def deepest(functions: dict[str, Function], entry: str, unit_bytes: int = UNIT_BYTES) -> Chain:
    """The deepest chain of calls from `entry`."""
    function = functions[entry]
    own = -(-max(function.stack_bytes, 1) // unit_bytes) * unit_bytes
    below = [deepest(functions, name, unit_bytes) for name in sorted(function.calls)]
    longest = max(below, key=lambda chain: chain.bytes, default=Chain((), 0))
    return Chain((entry, *longest.functions), own + longest.bytes)


def frames(functions: dict[str, Function], entry: str) -> int:
    """How many functions of the longest chain from `entry` are on the stack at once."""
    return 1 + max((frames(functions, name) for name in functions[entry].calls), default=0)


def _read(symbol: _Symbol, code_bytes: bytes, moved: dict[tuple[int, int], _Symbol], *, code: set[int],
          starts: dict[tuple[int, int], str]) -> Function:  # fmt: skip
    function = Function(symbol.name)
    frame_pointers = {_FRAME: 0}  # registers that point into the stack, and where
    lowest = 0
    for at in range(0, len(code_bytes), 8):
        opcode, registers, offset, value = struct.unpack_from("<BBhi", code_bytes, at)
        target, source = registers & 15, registers >> 4
        place = symbol.value + at
        relocated = moved.get((symbol.section, place))
        kind = opcode & 7
        if opcode == _CALL and source == _PSEUDO_CALL:
            base = relocated.value if relocated else place
            section = relocated.section if relocated else symbol.section
            function.calls.add(starts[section, base + (value + 1) * 8])
        elif opcode == _LOAD_64 and relocated and relocated.section in code:
            function.calls.add(starts[relocated.section, relocated.value + value])
        if kind == _CLASS_LDX and source in frame_pointers:
            lowest = min(lowest, frame_pointers[source] + offset)
        elif kind in (_CLASS_ST, _CLASS_STX) and target in frame_pointers:
            lowest = min(lowest, frame_pointers[target] + offset)
        if opcode == _MOVE_64 and source in frame_pointers:
            frame_pointers[target] = frame_pointers[source]
        elif opcode == _ADD_64 and target in frame_pointers and target != _FRAME:
            frame_pointers[target] += value
            lowest = min(lowest, frame_pointers[target])
        elif kind in (_CLASS_LD, _CLASS_LDX, _CLASS_ALU, _CLASS_ALU64) and target != _FRAME:
            frame_pointers.pop(target, None)
        elif opcode == _CALL:
            for register in range(6):
                frame_pointers.pop(register, None)
    function.stack_bytes = -lowest
    return function


def _sections(image: bytes) -> list[_Section]:
    if image[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF object")
    (table,) = struct.unpack_from("<Q", image, 40)
    size, count, names = struct.unpack_from("<HHH", image, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", image, table + i * size) for i in range(count)]
    strings = headers[names][4]
    return [
        _Section(_text(image, strings + h[0]), kind=h[1], offset=h[4], size=h[5], link=h[6], info=h[7]) for h in headers
    ]


def _symbols(image: bytes, sections: list[_Section]) -> list[_Symbol]:
    table = next(section for section in sections if section.kind == _SHT_SYMTAB)
    strings = sections[table.link].offset
    found = []
    for at in range(table.offset, table.offset + table.size, 24):
        name, info, _, section, value, size = struct.unpack_from("<IBBHQQ", image, at)
        found.append(_Symbol(_text(image, strings + name), value, size, section, info & 15))
    return found


def _text(image: bytes, at: int) -> str:
    return image[at : image.index(b"\0", at)].decode()


def main(arguments: list[str]) -> int:
    path = Path(arguments[0]) if arguments else OBJECT
    functions, entries = read_functions(path.read_bytes())
    status = 0
    for entry in entries:
        chain = deepest(functions, entry)
        steps = " > ".join(f"{name} {functions[name].stack_bytes}" for name in chain.functions)
        too_deep = chain.bytes > LIMIT_BYTES or frames(functions, entry) > LIMIT_FRAMES
        status |= too_deep
        print(f"{entry}: {chain.bytes} of {LIMIT_BYTES} bytes{', TOO DEEP' if too_deep else ''}: {steps}")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
