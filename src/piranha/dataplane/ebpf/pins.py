"""Our own bpffs: where maps and links stay alive between two lives of lvsd.

```
<root>/                 a bpffs of its own (`ip netns exec` hides pins under /sys/fs/bpf, as it remounts /sys)
  <abi>/maps/<map>      maps of one ABI (see `btf.abi_hash`); another version's lie in a folder beside it
  <abi>/programs/<program>
  <abi>/edition/<name>  an empty folder: which edition of the object made the pins beside it complete
  links/<link>          attachments; they do not depend on the ABI, their program is replaced in place
  marks/<mark>          empty folders: notes to a later life of lvsd
  gate/maps/<map>       the VIP lease: pulse's, shared with lvsd's programs
  gate/links/<link>     where pulse attached the gate
```
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from urllib.parse import quote, unquote

from piranha.base.errors import PiranhaError
from piranha.dataplane.ebpf.syscall import BpfError, MapSpec, map_create, map_info, obj_get, obj_pin

_BPFFS_MAGIC = 0xCAFE4A11
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MNT_DETACH = 2
_LINKS, _MARKS, _GATE = "links", "marks", "gate"
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


def safe_name(name: str) -> str:
    """A file name that bpffs accepts (it reserves dots) and that `pinned_name` turns back into `name`."""
    return quote(name, safe="").replace(".", "%2E").replace("~", "%7E")


def pinned_name(file_name: str) -> str:
    """The name behind `safe_name`."""
    return unquote(file_name)


class Pins:
    """The pins under `root`. All paths handed out lie there; nothing outside is ever touched."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def mounted(self) -> bool:
        """Whether a bpffs is mounted exactly at the root (a folder inside another bpffs does not count)."""
        try:
            target = self.root.resolve(strict=True)
        except OSError:
            return False
        return _filesystem_magic(target) == _BPFFS_MAGIC and _mount_types(target)[-1:] == ["bpf"]

    def mount(self) -> bool:
        """Make the root and mount it, unless it is; whether it was mounted now. Raises PiranhaError."""
        if self.mounted:
            return False
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PiranhaError(f"cannot make {self.root}: {error.strerror}") from error
        target = os.fsencode(self.root.resolve())
        if _libc.mount(b"piranha", target, b"bpf", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, b"mode=0700") != 0:
            number = ctypes.get_errno()
            mend = "this needs root (CAP_SYS_ADMIN)" if number == errno.EPERM else ""
            if number == errno.ENODEV:
                mend = "this kernel was built without BPF; take a distribution kernel, 6.1 or later"
            raise PiranhaError(f"cannot mount a bpffs at {self.root}: {os.strerror(number)}", mend=mend)
        return True

    def unmount(self) -> None:
        """Unmount the root where it is mounted; what was pinned there and is held nowhere else ends with it."""
        while self.mounted:
            if _libc.umount2(os.fsencode(self.root.resolve()), _MNT_DETACH) != 0:
                raise PiranhaError(f"cannot unmount {self.root}: {os.strerror(ctypes.get_errno())}")

    def map_path(self, abi: str, name: str) -> Path:
        """Where the map `name` of an ABI is (to be) pinned; the folder is made."""
        return self._folder(abi, "maps") / safe_name(name)

    def program_path(self, abi: str, name: str) -> Path:
        """Where the program `name` of an ABI is (to be) pinned; the folder is made."""
        return self._folder(abi, "programs") / safe_name(name)

    def link_path(self, name: str) -> Path:
        """Where the link `name` is (to be) pinned; the folder is made."""
        return self._folder(_LINKS) / safe_name(name)

    def gate_link_path(self, name: str) -> Path:
        """Where the gate's link `name` is (to be) pinned; the folder is made."""
        return self._folder(_GATE, _LINKS) / safe_name(name)

    def gate_links(self) -> dict[str, Path]:
        """The gate's pinned links, by name."""
        return {pinned_name(p.name): p for p in _entries(self.root / _GATE / _LINKS)}

    def gate_map_path(self, name: str) -> Path:
        """Where the gate's map `name` is (to be) pinned; the folder is made."""
        return self._folder(_GATE, "maps") / safe_name(name)

    def gate_map(self, spec: MapSpec) -> int | None:
        """A descriptor of the gate's map, made and pinned by whoever asks first; None where one of another shape is."""
        path = self.gate_map_path(spec.name)
        for _ in range(2):
            try:
                fd = obj_get(path)
            except BpfError as error:
                if error.errno != errno.ENOENT:
                    raise
            else:
                found = map_info(fd)
                if (found.type, found.key_size, found.value_size, found.flags) == (
                    spec.type, spec.key_size, spec.value_size, spec.flags,
                ):  # fmt: skip
                    return fd
                os.close(fd)
                return None
            fd = map_create(
                spec.type, spec.key_size, spec.value_size, spec.max_entries, flags=spec.flags, name=spec.name
            )
            try:
                obj_pin(fd, path)
                return fd
            except BpfError as error:
                os.close(fd)
                if error.errno != errno.EEXIST:  # the other process was quicker: take its map
                    raise
        raise BpfError(f"cannot share the map {spec.name}", errno.EAGAIN, mend="")

    @property
    def has_gate(self) -> bool:
        """Whether the gate has pins."""
        return (self.root / _GATE).is_dir()

    def remove_gate(self) -> None:
        """Remove the gate's pins, links and maps."""
        _remove(self.root / _GATE)

    def _folder(self, *parts: str) -> Path:
        folder = self.root.joinpath(*(safe_name(part) for part in parts))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PiranhaError(f"cannot make {folder}: {error.strerror}", mend="is the bpffs mounted?") from error
        return folder

    def abis(self) -> tuple[str, ...]:
        """The ABIs that have pins, the latest touched last."""
        folders = [p for p in _entries(self.root) if p.is_dir() and p.name not in (_LINKS, _MARKS, _GATE)]
        return tuple(pinned_name(p.name) for p in sorted(folders, key=lambda p: p.stat().st_mtime_ns))

    def maps(self, abi: str) -> dict[str, Path]:
        """The pinned maps of an ABI, by name."""
        return {pinned_name(p.name): p for p in _entries(self.root / safe_name(abi) / "maps")}

    def programs(self, abi: str) -> dict[str, Path]:
        """The pinned programs of an ABI, by name."""
        return {pinned_name(p.name): p for p in _entries(self.root / safe_name(abi) / "programs")}

    def set_edition(self, abi: str, edition: str | None) -> None:
        """Note which edition of the object the pins of an ABI are of, now that they are complete; None: they are not."""
        for older in _entries(self.root / safe_name(abi) / "edition"):
            older.rmdir()
        if edition is not None:
            self._folder(abi, "edition", edition)

    def abi_of_edition(self, edition: str) -> str | None:
        """The ABI whose pins are complete and of this edition, if there is one."""
        found = [abi for abi in self.abis() if (self.root / safe_name(abi) / "edition" / safe_name(edition)).is_dir()]
        return found[-1] if found else None

    def links(self) -> dict[str, Path]:
        """The pinned links, by name."""
        return {pinned_name(p.name): p for p in _entries(self.root / _LINKS) if not p.is_dir()}

    def mark(self, name: str) -> None:
        """Leave a note, as a bpffs holds no ordinary files."""
        self._folder(_MARKS, name)

    def unmark(self, name: str) -> bool:
        """Take a note away; False when there was none."""
        try:
            (self.root / _MARKS / safe_name(name)).rmdir()
        except FileNotFoundError:
            return False
        return True

    def replace(self, fd: int, path: Path) -> None:
        """Pin at `path`, in one step taking the place of what is pinned there."""
        fresh = path.with_name(f"{path.name}%new")
        fresh.unlink(missing_ok=True)
        obj_pin(fd, fresh)
        try:
            fresh.rename(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise BpfError(f"cannot pin at {path}", error.errno or 0) from error

    def unpin(self, path: Path) -> bool:
        """Remove one pin; False when there was none."""
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        return True

    def remove_abi(self, abi: str) -> None:
        """Remove all pins of an ABI."""
        _remove(self.root / safe_name(abi))

    def remove_all(self) -> None:
        """Remove every pin: links end (nothing is attached any more), then maps. The file system stays mounted."""
        if self.mounted:
            _remove(self.root / _LINKS)
            for path in _entries(self.root):
                _remove(path)


def _entries(folder: Path) -> list[Path]:
    """What we pinned there. Names with a dot (`maps.debug`) are the kernel's own and cannot be removed."""
    try:
        return sorted(path for path in folder.iterdir() if "." not in path.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for entry in _entries(path):
            _remove(entry)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _filesystem_magic(path: Path) -> int:
    """`f_type` of statfs(2), the first word of its answer on all 64-bit machines."""
    answer = (ctypes.c_ulong * 32)()
    if _libc.statfs(os.fsencode(path), ctypes.byref(answer)) != 0:
        return 0
    return int(answer[0]) & 0xFFFFFFFF


def _mount_types(target: Path) -> list[str]:
    """Types of the file systems mounted at `target` in this mount namespace, the top one last."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape").encode("latin-1")
        if point == os.fsencode(target):
            found.append(right.split()[0])
    return found
