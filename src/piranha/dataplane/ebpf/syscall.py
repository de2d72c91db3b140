"""`bpf(2)`: every command the plane uses, typed. libbpf only opens and loads objects; all the rest goes here.

Layouts are those of `union bpf_attr` in <linux/bpf.h>; the kernel takes an attr shorter than its own and reads the rest
as zero. Every function raises BpfError; descriptors returned belong to the caller and are closed on exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.uapi import SYSCALL_NUMBERS, AttachType, Command, TestRunFlag, UpdateFlag

if TYPE_CHECKING:  # numpy takes longer to import than pulse may take to start; the batches import it themselves
    import numpy as np
    from numpy.typing import NDArray

    Bytes = bytes | bytearray | memoryview | NDArray[Any]

_ENOTSUPP = 524
_OBJECT_NAME_BYTES = 16

_MENDS = {
    errno.EPERM: "this needs root, or the capabilities CAP_BPF and CAP_NET_ADMIN",
    errno.EACCES: "the verifier or a security module refused it; root or CAP_BPF and CAP_NET_ADMIN are needed",
    errno.ENOSYS: "this kernel was built without BPF (CONFIG_BPF_SYSCALL); take a distribution kernel, 6.1 or later",
    errno.ENOMEM: "the kernel has not enough memory for it; lower the table size or free memory",
    errno.EMFILE: "too many open files in this process; raise `ulimit -n` (LimitNOFILE= in the unit)",
    errno.EINVAL: "the kernel does not know this request; piranha needs Linux 6.1 or later",
}


class BpfError(PiranhaError):
    """The kernel (or libbpf) refused a BPF request. `errno` says how; `mend` is filled in where one is known."""

    def __init__(self, what: str, number: int, *, mend: str | None = None) -> None:
        text = "operation not supported by this kernel" if number == _ENOTSUPP else os.strerror(number)
        super().__init__(f"{what}: {text}", mend=_MENDS.get(number, "") if mend is None else mend)
        self.errno = number


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """What a map is; sizes are bytes. `id` is 0 before it is in the kernel, which cuts `name` to 15 characters."""

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgInfo:
    """A loaded program. `tag` is the kernel's hash of it; run figures move only while `enable_stats` is held."""

    type: int
    id: int
    tag: str
    name: str
    jited_bytes: int
    xlated_bytes: int
    run_time_ns: int
    run_count: int
    verified_instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkInfo:
    """An attachment. `ifindex` is 0 when the interface is gone (a defunct link); `attach_type` is set for tcx alone."""

    type: int
    id: int
    prog_id: int
    ifindex: int
    attach_type: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRun:
    """Outcome of `prog_test_run`; `duration_ns` is the mean of one run."""

    __test__ = False
    retval: int
    data_out: bytes
    ctx_out: bytes
    duration_ns: int


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


def _bpf(command: Command, attr: bytearray) -> int:
    """The system call itself: the result, or minus errno."""
    number = SYSCALL_NUMBERS.get(os.uname().machine)
    if number is None:
        return -errno.ENOSYS
    buffer = (ctypes.c_char * len(attr)).from_buffer(attr)
    result: int = _syscall(ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(len(attr)))
    return result if result >= 0 else -ctypes.get_errno()


def _require(result: int, what: str) -> int:
    if result < 0:
        raise BpfError(what, -result)
    return result


def _address(buffer: bytearray | NDArray[Any] | None) -> int:
    """Where a writable buffer lies in memory; the caller keeps it alive over the call."""
    if buffer is None or len(buffer) == 0:
        return 0
    if isinstance(buffer, bytearray):
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    return int(buffer.ctypes.data)


def _writable(data: Bytes) -> bytearray:
    """`data` itself where its address can be taken, else a copy."""
    if isinstance(data, bytearray):
        return data
    return bytearray(data if isinstance(data, bytes | memoryview) else data.tobytes())


def _object_name(name: str) -> bytes:
    kept = "".join(c if c.isalnum() or c in "_." else "_" for c in name)
    return kept.encode("ascii", "replace")[: _OBJECT_NAME_BYTES - 1]


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def map_create(
    map_type: int,
    key_size: int,
    value_size: int,
    max_entries: int,
    *,
    flags: int = 0,
    inner_fd: int = 0,
    name: str = "",
) -> int:
    """A descriptor of a new map. `inner_fd` is the template of a map of maps."""
    attr = bytearray(72)
    struct.pack_into(
        "=7I16s", attr, 0, map_type, key_size, value_size, max_entries, flags, inner_fd, 0, _object_name(name)
    )
    return _require(_bpf(Command.MAP_CREATE, attr), f"cannot create BPF map {name or '(unnamed)'}")


def map_lookup(fd: int, key: Bytes, value_size: int) -> bytes | None:
    """The value under `key`, or None. `value_size` of a per-CPU map is round_up(size, 8) * possible CPUs."""
    attr, key_buffer, value = bytearray(32), _writable(key), bytearray(value_size)
    struct.pack_into("=I4xQQQ", attr, 0, fd, _address(key_buffer), _address(value), 0)
    result = _bpf(Command.MAP_LOOKUP_ELEM, attr)
    if result == -errno.ENOENT:
        return None
    _require(result, "cannot read a BPF map entry")
    return bytes(value)


def map_update(fd: int, key: Bytes, value: Bytes, flags: int = UpdateFlag.ANY) -> None:
    """Write one entry. For a map of maps or programs the value is a descriptor (u32)."""
    attr, key_buffer, value_buffer = bytearray(32), _writable(key), _writable(value)
    struct.pack_into("=I4xQQQ", attr, 0, fd, _address(key_buffer), _address(value_buffer), flags)
    result = _bpf(Command.MAP_UPDATE_ELEM, attr)
    if result == -errno.E2BIG:
        raise BpfError("the BPF map is full, or the index lies beyond its end", errno.E2BIG)
    _require(result, "cannot write a BPF map entry")


def map_delete(fd: int, key: Bytes) -> bool:
    """Remove one entry; False when there was none."""
    attr, key_buffer = bytearray(32), _writable(key)
    struct.pack_into("=I4xQQQ", attr, 0, fd, _address(key_buffer), 0, 0)
    result = _bpf(Command.MAP_DELETE_ELEM, attr)
    if result == -errno.ENOENT:
        return False
    _require(result, "cannot delete a BPF map entry")
    return True


def map_next_key(fd: int, key: Bytes | None, key_size: int) -> bytes | None:
    """The key after `key` (None: the first), or None at the end. A `key` that is gone starts from the first again."""
    attr, following = bytearray(32), bytearray(key_size)
    key_buffer = None if key is None else _writable(key)
    struct.pack_into("=I4xQQQ", attr, 0, fd, _address(key_buffer), _address(following), 0)
    result = _bpf(Command.MAP_GET_NEXT_KEY, attr)
    if result == -errno.ENOENT:
        return None
    _require(result, "cannot walk a BPF map")
    return bytes(following)


def _batch_attr(fd: int, start: int, after: int, keys: int, values: int, count: int) -> bytearray:
    attr = bytearray(56)
    struct.pack_into("=QQQQIIQQ", attr, 0, start, after, keys, values, count, fd, 0, 0)
    return attr


def _count(attr: bytearray) -> int:
    return int(struct.unpack_from("=I", attr, 32)[0])


def update_batch(fd: int, keys: NDArray[Any], values: NDArray[Any]) -> None:
    """Write `len(keys)` entries, overwriting. Item sizes must be the map's (per-CPU: all CPUs' values)."""
    if len(keys) != len(values):
        raise ValueError("as many keys as values are needed")
    if len(keys) == 0:
        return
    import numpy as np

    keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
    attr = _batch_attr(fd, 0, 0, _address(keys), _address(values), len(keys))
    _require(_bpf(Command.MAP_UPDATE_BATCH, attr), "cannot write a batch of BPF map entries")


def delete_batch(fd: int, keys: NDArray[Any]) -> int:
    """Remove entries; how many were. Keys that are not there are passed over."""
    import numpy as np

    keys, position, removed = np.ascontiguousarray(keys), 0, 0
    while position < len(keys):
        attr = _batch_attr(fd, 0, 0, _address(keys[position:]), 0, len(keys) - position)
        result = _bpf(Command.MAP_DELETE_BATCH, attr)
        done = _count(attr)
        removed += done
        if result >= 0:
            break
        if result != -errno.ENOENT:
            _require(result, "cannot delete a batch of BPF map entries")
        position += done + 1
    return removed


def lookup_batch(
    fd: int, key_dtype: np.dtype[Any], value_dtype: np.dtype[Any], capacity: int, *, chunk: int = 65536
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Every entry as (keys, values). Item sizes must be the map's; `capacity` is its max_entries (a first guess).

    Entries that come and go during the walk of a hash may be missed or seen twice.
    """
    import numpy as np

    keys = np.empty(max(capacity, 1), key_dtype)
    values = np.empty(len(keys), value_dtype)
    tokens = [bytearray(max(keys.itemsize, 8)), bytearray(max(keys.itemsize, 8))]
    filled, started = 0, False
    while True:
        room = min(chunk, len(keys) - filled)
        if room == 0:
            keys, values = np.resize(keys, len(keys) * 2), np.resize(values, len(keys) * 2)
            continue
        attr = _batch_attr(
            fd,
            _address(tokens[0]) if started else 0,
            _address(tokens[1]),
            keys.ctypes.data + filled * keys.itemsize,
            values.ctypes.data + filled * values.itemsize,
            room,
        )
        result = _bpf(Command.MAP_LOOKUP_BATCH, attr)
        if result == -errno.ENOSPC:
            # One hash bucket holds more than `room`: nothing was copied, ask again for more.
            chunk = max(chunk, room) * 2
            if filled + room == len(keys):
                keys, values = np.resize(keys, len(keys) * 2), np.resize(values, len(keys) * 2)
            continue
        if result < 0 and result != -errno.ENOENT:
            raise BpfError("cannot read a batch of BPF map entries", -result)
        filled += _count(attr)
        if result < 0:
            return keys[:filled], values[:filled]
        tokens.reverse()
        started = True


def lookup_head(
    fd: int, key_dtype: np.dtype[Any], value_dtype: np.dtype[Any], count: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first `count` entries of an array as (keys, values); fewer when it is shorter."""
    import numpy as np

    keys, values, token = np.empty(count, key_dtype), np.empty(count, value_dtype), bytearray(8)
    if not count:
        return keys, values
    attr = _batch_attr(fd, 0, _address(token), keys.ctypes.data, values.ctypes.data, count)
    result = _bpf(Command.MAP_LOOKUP_BATCH, attr)
    if result < 0 and result != -errno.ENOENT:
        raise BpfError("cannot read a batch of BPF map entries", -result)
    filled = _count(attr)
    return keys[:filled], values[:filled]


def _info(fd: int, size: int, what: str) -> bytearray:
    attr, info = bytearray(16), bytearray(size)
    struct.pack_into("=IIQ", attr, 0, fd, size, _address(info))
    _require(_bpf(Command.OBJ_GET_INFO_BY_FD, attr), f"cannot ask about a BPF {what}")
    return info


def map_info(fd: int) -> MapSpec:
    """What the map behind `fd` is."""
    map_type, number, key, value, entries, flags, name = struct.unpack_from("=6I16s", _info(fd, 80, "map"))
    return MapSpec(
        name=_text(name), type=map_type, key_size=key, value_size=value, max_entries=entries, flags=flags, id=number
    )


def prog_info(fd: int) -> ProgInfo:
    """What the program behind `fd` is and how often it ran."""
    info = _info(fd, 224, "program")
    prog_type, number, tag, jited, xlated = struct.unpack_from("=II8sII", info)
    (name,) = struct.unpack_from("=16s", info, 64)
    run_time_ns, run_count = struct.unpack_from("=QQ", info, 192)
    (verified,) = struct.unpack_from("=I", info, 216)
    return ProgInfo(
        type=prog_type,
        id=number,
        tag=tag.hex(),
        name=_text(name),
        jited_bytes=jited,
        xlated_bytes=xlated,
        run_time_ns=run_time_ns,
        run_count=run_count,
        verified_instructions=verified,
    )


def link_info(fd: int) -> LinkInfo:
    """What the link behind `fd` attaches, and to which interface (of the netns it was made in)."""
    link_type, number, prog, ifindex, attach_type = struct.unpack_from("=III4xII", _info(fd, 64, "link"))
    return LinkInfo(type=link_type, id=number, prog_id=prog, ifindex=ifindex, attach_type=attach_type)


def obj_pin(fd: int, path: Path) -> None:
    """Pin a map, program or link at `path` on a bpffs; EEXIST when something is there."""
    attr, name = bytearray(16), bytearray(os.fsencode(path) + b"\0")
    struct.pack_into("=QI", attr, 0, _address(name), fd)
    _require(_bpf(Command.OBJ_PIN, attr), f"cannot pin at {path}")


def obj_get(path: Path) -> int:
    """A descriptor of what is pinned at `path`."""
    attr, name = bytearray(16), bytearray(os.fsencode(path) + b"\0")
    struct.pack_into("=QI", attr, 0, _address(name), 0)
    return _require(_bpf(Command.OBJ_GET, attr), f"cannot open the pin {path}")


def link_create(prog_fd: int, ifindex: int, attach_type: AttachType, *, flags: int = 0, relative_fd: int = 0) -> int:
    """Attach a program; a link descriptor. The program stays attached while the link is open or pinned.

    `ifindex` is looked up in the calling thread's network namespace. `relative_fd` is a program that tcx puts this one
    before or after (LinkFlag.BEFORE or AFTER; without it BEFORE means first and AFTER last).
    """
    attr = bytearray(64)
    struct.pack_into("=5I", attr, 0, prog_fd, ifindex, attach_type, flags, relative_fd)
    return _require(_bpf(Command.LINK_CREATE, attr), f"cannot attach to interface {ifindex} ({attach_type.name})")


def link_update(link_fd: int, prog_fd: int) -> None:
    """Put another program in the place of the attached one, without a gap. ENOLINK when the interface is gone."""
    attr = bytearray(16)
    struct.pack_into("=4I", attr, 0, link_fd, prog_fd, 0, 0)
    _require(_bpf(Command.LINK_UPDATE, attr), "cannot replace the program of a link")


def link_detach(link_fd: int) -> None:
    """Take the program off its interface now, however many descriptors and pins hold the link."""
    attr = bytearray(16)
    struct.pack_into("=I", attr, 0, link_fd)
    _require(_bpf(Command.LINK_DETACH, attr), "cannot detach a link")


def prog_test_run(
    fd: int,
    data_in: Bytes | None = None,
    ctx_in: Bytes | None = None,
    *,
    repeat: int = 1,
    out_size: int | None = None,
    ctx_out: int = 0,
    flags: int = 0,
    batch_size: int = 0,
) -> TestRun:
    """Run a program on one packet.

    `out_size` bytes are kept for the packet (default: the input and 512 more), `ctx_out` for the context.

    With `repeat` the packet is not restored between runs. SEC("syscall") programs take only `ctx_in` (written back into
    `ctx_in` when it is a bytearray) and refuse `repeat`; live frames (TestRunFlag.XDP_LIVE_FRAMES) have no output.
    """
    data = None if data_in is None else _writable(data_in)
    data_size = 0 if data is None else len(data)
    if out_size is None:
        out_size = data_size + 512 if data is not None and not flags & TestRunFlag.XDP_LIVE_FRAMES else 0
    out, ctx_result = bytearray(out_size), bytearray(ctx_out)
    context = None if ctx_in is None else _writable(ctx_in)
    attr = bytearray(80)
    struct.pack_into(
        "=IIIIQQIIIIQQIIII",
        attr,
        0,
        fd,
        0,
        data_size,
        len(out),
        _address(data),
        _address(out),
        repeat if data is not None else 0,
        0,
        0 if context is None else len(context),
        len(ctx_result),
        _address(context),
        _address(ctx_result),
        flags,
        0,
        batch_size,
        0,
    )
    _require(_bpf(Command.PROG_TEST_RUN, attr), "the BPF test run failed")
    retval, _, data_out_size = struct.unpack_from("=III", attr, 4)
    duration_ns, _, ctx_out_size = struct.unpack_from("=III", attr, 36)
    return TestRun(
        retval=retval,
        data_out=bytes(out[:data_out_size]),
        ctx_out=bytes(ctx_result[:ctx_out_size]),
        duration_ns=duration_ns,
    )


def enable_stats() -> int:
    """Count run time of all programs while the returned descriptor is open."""
    return _require(_bpf(Command.ENABLE_STATS, bytearray(16)), "cannot switch on BPF run statistics")


def possible_cpus() -> int:
    """How many values a per-CPU entry has."""
    return int(Path("/sys/devices/system/cpu/possible").read_text().strip().replace(",", "-").split("-")[-1]) + 1
