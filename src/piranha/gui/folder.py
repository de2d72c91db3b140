"""A folder held by its descriptor: its files stay within reach when the process has given up the right to walk there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from piranha.base.errors import PiranhaError

MODE = 0o700
FILE_MODE = 0o600
_MOST_BYTES = 64 << 20


class Folder:
    """The files of piranha-gui. They belong to whom the folder belongs to, and nobody else may read them."""

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self.path = path

    @staticmethod
    def open(path: Path, *, owner: tuple[int, int] | None = None) -> Folder:
        """Make the folder where it is missing, and give it to `owner` (uid, gid). Raises PiranhaError."""
        try:
            path.mkdir(mode=MODE, parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            os.fchmod(fd, MODE)
            folder = Folder(fd, path)
            if owner is not None:
                os.fchown(fd, *owner)
                for name in os.listdir(fd):  # noqa: PTH208 - by descriptor
                    os.chown(name, *owner, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            raise PiranhaError(f"cannot use {path} ({error.strerror})", mend="run as root") from error
        return folder

    def stamp(self, name: str) -> tuple[int, int, int]:
        """Changes whenever the file is replaced; zeros where there is none."""
        try:
            status = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return (0, 0, 0)
        return (status.st_ino, status.st_mtime_ns, status.st_size)

    def read(self, name: str) -> bytes | None:
        """The content; None where there is no such file. Raises PiranhaError."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise PiranhaError(f"cannot read {self.path / name} ({error.strerror})") from error
        with os.fdopen(fd, "rb") as file:
            return file.read(_MOST_BYTES)

    def replace(self, name: str, content: bytes) -> None:
        """The new content in one step: whoever reads has the old file or the new one. Raises PiranhaError."""
        temporary = f".{name}.{secrets.token_hex(6)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(temporary, flags, FILE_MODE, dir_fd=self._fd)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                    file.flush()
                    self._give(file.fileno())
                    os.fsync(file.fileno())
                os.replace(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=self._fd)
                raise
            os.fsync(self._fd)
        except OSError as error:
            raise PiranhaError(f"cannot write {self.path / name} ({error.strerror})") from error

    def append(self, name: str, content: bytes) -> None:
        """Behind what is there, on the disk before this returns. Raises PiranhaError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, FILE_MODE, dir_fd=self._fd)
            try:
                self._give(fd)
                os.write(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            raise PiranhaError(f"cannot write {self.path / name} ({error.strerror})") from error

    def rename(self, name: str, to: str) -> None:
        """In one step; what was named `to` is gone. Raises PiranhaError."""
        try:
            os.replace(name, to, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError as error:
            raise PiranhaError(f"cannot rename {self.path / name} ({error.strerror})") from error

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Alone among the processes that change files here. Held for moments, so it waits."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(name, flags, FILE_MODE, dir_fd=self._fd)
        except OSError as error:
            raise PiranhaError(f"cannot lock {self.path / name} ({error.strerror})") from error
        try:
            self._give(fd)
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def close(self) -> None:
        os.close(self._fd)

    def _give(self, fd: int) -> None:
        """To the folder's owner: root writes here too, from the command line."""
        owner, ours = os.fstat(self._fd), os.fstat(fd)
        if (owner.st_uid, owner.st_gid) != (ours.st_uid, ours.st_gid) and os.geteuid() == 0:
            os.fchown(fd, owner.st_uid, owner.st_gid)
