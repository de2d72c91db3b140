"""One BPF map: single entries, batches, and its memory mapped into ours."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from piranha.dataplane.ebpf import syscall
from piranha.dataplane.ebpf.syscall import BpfError, MapSpec
from piranha.dataplane.ebpf.uapi import MapType, UpdateFlag

if TYPE_CHECKING:  # see syscall.py
    import numpy as np
    from numpy.typing import NDArray

    from piranha.dataplane.ebpf.syscall import Bytes

_PER_CPU = frozenset(
    {MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH, MapType.PERCPU_CGROUP_STORAGE}
)


def _round_up(size: int, to: int) -> int:
    return (size + to - 1) // to * to


def _length(data: Bytes) -> int:
    return len(data) if isinstance(data, bytes | bytearray) else data.nbytes


class BpfMap:
    """A map by its descriptor, which it owns and closes.

    Keys and values are bytes; those of a per-CPU map are all CPUs' values, each padded to 8 bytes.
    """

    def __init__(self, fd: int, spec: MapSpec | None = None) -> None:
        info = syscall.map_info(fd) if spec is None else spec
        self.fd = fd
        self.name = info.name
        self.type = info.type
        self.key_size = info.key_size
        self.value_size = info.value_size
        self.max_entries = info.max_entries
        self.flags = info.flags
        self._cpus = syscall.possible_cpus() if info.type in _PER_CPU else 0
        self._mapping: mmap.mmap | None = None

    @staticmethod
    def create(
        map_type: int, key_size: int, value_size: int, max_entries: int, *, flags: int = 0, name: str = ""
    ) -> BpfMap:
        """A new map in the kernel (the inner map of a map of maps, for one)."""
        return BpfMap(syscall.map_create(map_type, key_size, value_size, max_entries, flags=flags, name=name))

    @staticmethod
    def from_pin(path: Path) -> BpfMap:
        """The map pinned at `path`. Its name is the kernel's, which is cut to 15 characters."""
        return BpfMap(syscall.obj_get(path))

    @property
    def spec(self) -> MapSpec:
        return MapSpec(
            name=self.name,
            type=self.type,
            key_size=self.key_size,
            value_size=self.value_size,
            max_entries=self.max_entries,
            flags=self.flags,
        )

    @property
    def stride(self) -> int:
        """Bytes from one element of an array to the next, and from one CPU's value to the next."""
        return _round_up(self.value_size, 8)

    def lookup(self, key: Bytes) -> bytes | None:
        """The value, or None when there is none. From a map of maps it is the inner map's id (u32)."""
        size = self.stride * self._cpus if self._cpus else self.value_size
        return syscall.map_lookup(self.fd, self._key(key), size)

    def update(self, key: Bytes, value: Bytes, flags: int = UpdateFlag.ANY) -> None:
        """Write one entry. Raises BpfError: EEXIST or ENOENT by `flags`, E2BIG when full."""
        size = self.stride * self._cpus if self._cpus else self.value_size
        if _length(value) != size:
            raise ValueError(f"map {self.name}: a value has {size} bytes, not {_length(value)}")
        syscall.map_update(self.fd, self._key(key), value, flags)

    def update_fd(self, key: Bytes, fd: int) -> None:
        """Put a map or program into a map of maps or programs; one step, the old one is released by the kernel."""
        self.update(key, struct.pack("=I", fd))

    def delete(self, key: Bytes) -> bool:
        """Remove one entry; False when there was none."""
        return syscall.map_delete(self.fd, self._key(key))

    def _key(self, key: Bytes) -> Bytes:
        if _length(key) != self.key_size:
            raise ValueError(f"map {self.name}: a key has {self.key_size} bytes, not {_length(key)}")
        return key

    def keys(self) -> list[bytes]:
        """All keys, one system call each; for small maps. Bounded by max_entries."""
        found: list[bytes] = []
        key = syscall.map_next_key(self.fd, None, self.key_size)
        while key is not None and len(found) < self.max_entries:
            found.append(key)
            key = syscall.map_next_key(self.fd, key, self.key_size)
        return found

    def items(self, key_dtype: np.dtype[Any], value_dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """All entries of a map that is not per-CPU, in batches."""
        self._fits(key_dtype, self.key_size)
        self._fits(value_dtype, self.value_size)
        return syscall.lookup_batch(self.fd, key_dtype, value_dtype, self.max_entries)

    def update_batch(self, keys: NDArray[Any], values: NDArray[Any]) -> None:
        """Write many entries, overwriting; item sizes are the map's."""
        self._fits(keys.dtype, self.key_size)
        self._fits(values.dtype, self.value_size)
        syscall.update_batch(self.fd, keys, values)

    def delete_batch(self, keys: NDArray[Any]) -> int:
        """Remove many entries; how many there were."""
        self._fits(keys.dtype, self.key_size)
        return syscall.delete_batch(self.fd, keys)

    def _fits(self, dtype: np.dtype[Any], size: int) -> None:
        if dtype.itemsize != size:
            raise ValueError(f"map {self.name}: items of {size} bytes are needed, not {dtype.itemsize}")

    def mmap(self) -> mmap.mmap:
        """The memory of a BPF_F_MMAPABLE array, shared with the kernel; the same object every time."""
        if self._mapping is None:
            length = _round_up(self.stride * self.max_entries, mmap.PAGESIZE)
            try:
                self._mapping = mmap.mmap(self.fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            except OSError as error:
                raise BpfError(f"cannot map BPF map {self.name} into memory", error.errno or 0) from error
        return self._mapping

    def array(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A live, writable view of a mappable array, shape (max_entries,); items may leave out the padding to 8."""
        import numpy as np

        dtype = np.dtype(dtype)
        if dtype.itemsize != self.stride:
            self._fits(dtype, self.value_size)
        return np.ndarray((self.max_entries,), dtype, self.mmap(), 0, (self.stride,))

    def percpu(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """A copy of a per-CPU array, shape (max_entries, possible CPUs); sum over axis 1 for totals."""
        if self.type != MapType.PERCPU_ARRAY:
            raise ValueError(f"map {self.name} is not a per-CPU array")
        import numpy as np

        dtype = np.dtype(dtype)
        if dtype.itemsize != self.stride:
            self._fits(dtype, self.value_size)
        row = np.dtype((np.void, self.stride * self._cpus))
        indexes, rows = syscall.lookup_batch(self.fd, np.dtype("<u4"), row, self.max_entries)
        if len(rows) != self.max_entries or indexes[-1] != self.max_entries - 1:
            raise BpfError(f"BPF map {self.name} was read short ({len(rows)} of {self.max_entries} entries)", 5)
        shape, strides = (self.max_entries, self._cpus), (self.stride * self._cpus, self.stride)
        return np.ndarray(shape, dtype, rows, 0, strides)

    def percpu_head(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """As `percpu`, the first `count` entries only; shape (count, possible CPUs)."""
        import numpy as np

        row = np.dtype((np.void, self.stride * self._cpus))
        _, rows = syscall.lookup_head(self.fd, np.dtype("<u4"), row, count)
        if len(rows) != count:
            raise BpfError(f"BPF map {self.name} was read short ({len(rows)} of {count} entries)", 5)
        return np.ndarray((count, self._cpus), dtype, rows, 0, (self.stride * self._cpus, self.stride))

    def pin(self, path: Path) -> None:
        """Pin the map at `path` on a bpffs. Raises BpfError (EEXIST) when something is there."""
        syscall.obj_pin(self.fd, path)

    def close(self) -> None:
        """Close the descriptor; views made by `array` stay valid. May be called twice."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._mapping = None
