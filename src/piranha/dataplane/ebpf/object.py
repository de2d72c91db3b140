"""Loading: an object file through `libbpf.so.1`, its programs, and its maps as Python objects.

libbpf is asked for nothing but opening, relocating and loading (all there since 0.8); the rest is in `syscall.py`.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.map import BpfMap
from piranha.dataplane.ebpf.syscall import BpfError, MapSpec, map_info

if TYPE_CHECKING:
    from piranha.dataplane.ebpf.btf import Btf

logger = logging.getLogger(__name__)

_LOG_TAIL_CHARACTERS = 6000
_NAME = ctypes.c_char_p
_HANDLE = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_mem": (_HANDLE, (_HANDLE, ctypes.c_size_t, _HANDLE)),
    "bpf_object__load": (ctypes.c_int, (_HANDLE,)),
    "bpf_object__close": (None, (_HANDLE,)),
    "bpf_object__next_map": (_HANDLE, (_HANDLE, _HANDLE)),
    "bpf_object__next_program": (_HANDLE, (_HANDLE, _HANDLE)),
    "bpf_map__name": (_NAME, (_HANDLE,)),
    "bpf_map__fd": (ctypes.c_int, (_HANDLE,)),
    "bpf_map__type": (ctypes.c_int, (_HANDLE,)),
    "bpf_map__key_size": (ctypes.c_uint32, (_HANDLE,)),
    "bpf_map__value_size": (ctypes.c_uint32, (_HANDLE,)),
    "bpf_map__max_entries": (ctypes.c_uint32, (_HANDLE,)),
    "bpf_map__map_flags": (ctypes.c_uint32, (_HANDLE,)),
    "bpf_map__set_max_entries": (ctypes.c_int, (_HANDLE, ctypes.c_uint32)),
    "bpf_map__set_autocreate": (ctypes.c_int, (_HANDLE, ctypes.c_bool)),
    "bpf_map__reuse_fd": (ctypes.c_int, (_HANDLE, ctypes.c_int)),
    "bpf_map__initial_value": (_HANDLE, (_HANDLE, ctypes.POINTER(ctypes.c_size_t))),
    "bpf_program__name": (_NAME, (_HANDLE,)),
    "bpf_program__fd": (ctypes.c_int, (_HANDLE,)),
    "bpf_program__set_autoload": (ctypes.c_int, (_HANDLE, ctypes.c_bool)),
}
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class _OpenOptions(ctypes.Structure):
    """The head of `struct bpf_object_open_opts`; libbpf reads `size` bytes of it."""

    _fields_ = (("size", ctypes.c_size_t), ("object_name", ctypes.c_char_p))


class _Log:
    """What libbpf prints: warnings of the operation under way are kept (their ends), one operation at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._lines: list[str] = []
        libc = ctypes.CDLL(None)
        self._format = libc.vasprintf
        self._format.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_char_p, ctypes.c_void_p)
        self._free = libc.free
        self._free.argtypes = (ctypes.c_void_p,)
        self.callback = _PRINT(self._receive)

    def _receive(self, level: int, template: bytes, arguments: int) -> int:
        if level != 0:
            return 0
        text = ctypes.c_void_p()
        if self._format(ctypes.byref(text), template, arguments) >= 0 and text.value is not None:
            # The verifier's log comes as one message of up to 16 MB, of which only the end explains anything.
            length = len(ctypes.string_at(text.value))
            skipped = max(0, length - _LOG_TAIL_CHARACTERS)
            self._lines = [*self._lines[-50:], ctypes.string_at(text.value + skipped).decode(errors="replace")]
            self._free(text)
        return 0

    def take(self) -> str:
        """The end of what was printed since the last call."""
        text = "".join(self._lines)[-_LOG_TAIL_CHARACTERS:]
        self._lines = []
        return text


_log = _Log()


@functools.cache
def libbpf() -> ctypes.CDLL:
    """The system's libbpf, with the functions used here typed. Raises PiranhaError when it is missing or too old."""
    mend = "install it: `apt install libbpf1` (Debian, Ubuntu) or `dnf install libbpf` (Fedora, RHEL)"
    try:
        library = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except OSError as error:
        raise PiranhaError("the library libbpf.so.1 is missing", mend=mend) from error
    except AttributeError as error:
        raise PiranhaError(f"the library libbpf.so.1 is too old ({error})", mend=mend) from error
    library.libbpf_set_print.restype = ctypes.c_void_p
    library.libbpf_set_print(_log.callback)
    return library


class BpfObject:
    """One object file: open, adjusted, then loaded. All descriptors it hands out die with `close()`, except BpfMaps.

    `maps` and `programs` are known at once; `set_*` and `reuse` come before `load()`, `map` and `program_fd` after it.
    """

    def __init__(self, source: Path | str | bytes, *, name: str = "piranha") -> None:
        if not isinstance(source, bytes):
            try:
                name, source = Path(source).name.split(".")[0], Path(source).read_bytes()
            except OSError as error:
                raise PiranhaError(f"cannot read the BPF object {error.filename}: {error.strerror}") from error
        self.name = name
        self._image = source
        self._library = libbpf()
        self._handle: int | None = None
        self._loaded = False
        options = _OpenOptions(ctypes.sizeof(_OpenOptions), name.encode())
        with _log.lock:
            _log.take()
            ctypes.set_errno(0)
            self._handle = self._library.bpf_object__open_mem(source, len(source), ctypes.byref(options))
            if not self._handle:
                raise BpfError(
                    f"libbpf cannot open {name}{_indented(_log.take())}", ctypes.get_errno() or errno.EINVAL, mend=""
                )
        self._maps = self._named("bpf_object__next_map", "bpf_map__name")
        self._programs = self._named("bpf_object__next_program", "bpf_program__name")
        self._opened: dict[str, BpfMap] = {}

    @functools.cached_property
    def btf(self) -> Btf:
        """The types of the object; parsed when first asked for, as not every user needs them."""
        from piranha.dataplane.ebpf.btf import Btf

        return Btf.from_elf(self._image)

    def _named(self, following: str, name_of: str) -> dict[str, int]:
        found: dict[str, int] = {}
        step, name = getattr(self._library, following), getattr(self._library, name_of)
        item = step(self._handle, None)
        while item:
            found[name(item).decode()] = item
            item = step(self._handle, item)
        return found

    @property
    def maps(self) -> dict[str, MapSpec]:
        """The maps as they are defined now (after `set_max_entries` and `reuse`)."""
        return {name: self._spec(name) for name in self._maps}

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(self._programs)

    def _spec(self, name: str) -> MapSpec:
        library, handle = self._library, self._map_handle(name)
        return MapSpec(
            name=name,
            type=library.bpf_map__type(handle),
            key_size=library.bpf_map__key_size(handle),
            value_size=library.bpf_map__value_size(handle),
            max_entries=library.bpf_map__max_entries(handle),
            flags=library.bpf_map__map_flags(handle),
        )

    def _map_handle(self, name: str) -> int:
        if self._handle is None:
            raise ValueError("the object is closed")
        try:
            return self._maps[name]
        except KeyError:
            raise PiranhaError(f"the BPF object {self.name} has no map {name}") from None

    def _program_handle(self, name: str) -> int:
        if self._handle is None:
            raise ValueError("the object is closed")
        try:
            return self._programs[name]
        except KeyError:
            raise PiranhaError(f"the BPF object {self.name} has no program {name}") from None

    def _done(self, result: int, what: str) -> None:
        if result < 0:
            raise BpfError(what, -result)

    def set_max_entries(self, name: str, entries: int) -> None:
        result = self._library.bpf_map__set_max_entries(self._map_handle(name), entries)
        self._done(result, f"cannot size BPF map {name}")

    def set_autocreate(self, name: str, wanted: bool) -> None:
        """Whether `load()` makes this map; one without may be named only by programs that do not load."""
        result = self._library.bpf_map__set_autocreate(self._map_handle(name), wanted)
        self._done(result, f"cannot leave out BPF map {name}")

    def set_autoload(self, program: str, wanted: bool) -> None:
        """Whether `load()` loads this program."""
        result = self._library.bpf_program__set_autoload(self._program_handle(program), wanted)
        self._done(result, f"cannot leave out BPF program {program}")

    def set_variable(self, name: str, value: bytes) -> None:
        """The initial value of a global variable (`volatile const` ones are constants to the verifier)."""
        variable = self.btf.variables().get(name)
        if variable is None or variable.size != len(value):
            raise PiranhaError(f"the BPF object {self.name} has no variable {name} of {len(value)} bytes")
        handle = next((h for n, h in self._maps.items() if n.endswith(variable.section)), None)
        size = ctypes.c_size_t()
        start = None if handle is None else self._library.bpf_map__initial_value(handle, ctypes.byref(size))
        if not start or variable.offset + len(value) > size.value:
            raise PiranhaError(f"the variable {name} cannot be set any more")
        ctypes.memmove(start + variable.offset, value, len(value))

    def reuse(self, name: str, fd: int) -> None:
        """Use an existing map instead of a new one; `fd` stays the caller's. Its max_entries replaces the object's.

        Raises BpfError (EINVAL) when it is a map of another type, key, value or flags.
        """
        wanted, found = self._spec(name), map_info(fd)
        for aspect in ("type", "key_size", "value_size", "flags"):
            if getattr(wanted, aspect) != getattr(found, aspect):
                difference = f"{aspect} is {getattr(found, aspect)} instead of {getattr(wanted, aspect)}"
                raise BpfError(f"cannot reuse BPF map {name} ({difference})", errno.EINVAL, mend="")
        self._done(self._library.bpf_map__reuse_fd(self._map_handle(name), fd), f"cannot reuse BPF map {name}")

    def load(self) -> None:
        """Make the maps and load the programs. The error carries the end of the verifier's log."""
        if self._handle is None or self._loaded:
            raise ValueError("an object is loaded once")
        with _log.lock:
            _log.take()
            result = self._library.bpf_object__load(self._handle)
            if result < 0:
                raise BpfError(f"the kernel refused {self.name}{_indented(_log.take())}", -result)
        self._loaded = True

    def map(self, name: str) -> BpfMap:
        """A loaded map; it outlives the object."""
        if name not in self._opened:
            fd = self._library.bpf_map__fd(self._map_handle(name))
            if not self._loaded or fd < 0:
                raise PiranhaError(f"the BPF map {name} is not loaded")
            self._opened[name] = BpfMap(os.dup(fd), self._spec(name))
        return self._opened[name]

    def program_fd(self, name: str) -> int:
        """The descriptor of a loaded program; the object's own, valid until `close()`."""
        fd: int = self._library.bpf_program__fd(self._program_handle(name))
        if fd < 0:
            raise PiranhaError(f"the BPF program {name} is not loaded")
        return fd

    def close(self) -> None:
        """Let go of programs and maps; what is pinned, attached or held elsewhere stays. May be called twice."""
        if self._handle is not None:
            self._library.bpf_object__close(self._handle)
            self._handle = None

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _indented(log: str) -> str:
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    return "".join(f"\n    {line}" for line in lines)
