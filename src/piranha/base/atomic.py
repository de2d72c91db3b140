"""Replacing a file in one step: whoever reads meanwhile has the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes, *, new_mode: int) -> None:
    """Write, flush to the disk, take the old file's place. Its mode, owner and extended attributes stay.

    `new_mode` is that of a file that was not there. A symbolic link keeps pointing. Raises OSError when the disk refuses;
    the old file is then untouched.
    """
    target = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _like(file.fileno(), target, new_mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _like(descriptor: int, target: Path, new_mode: int) -> None:
    """Give the new file the old one's owner, mode and extended attributes."""
    try:
        status = target.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, new_mode)
        return
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)
    # Labels are refused by some file systems and to some users; the content matters more.
    with contextlib.suppress(OSError):
        for attribute in os.listxattr(target):
            os.setxattr(descriptor, attribute, os.getxattr(target, attribute))
