"""Network namespaces: entering one for a moment, listing, making and removing them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from piranha.base.errors import PiranhaError

NAMED = Path("/run/netns")
COMMAND_TIMEOUT_S = 20.0
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd: int, kind: int = _CLONE_NEWNET) -> None:
    if _libc.setns(fd, kind):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """The calling thread is in the namespace inside the block; sockets and children made there stay there.

    Never `await` inside: the whole thread has moved. Raises PiranhaError where there is no such namespace.
    """
    try:
        target = os.open(NAMED / namespace, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise PiranhaError(
            f"there is no network namespace `{namespace}`", mend="`piranha lab up` makes the lab"
        ) from None
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(target)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)
        os.close(target)


@contextmanager
def host_named(name: str) -> Iterator[None]:
    """The calling thread's host has this name inside the block; children made there keep it."""
    home = os.open("/proc/thread-self/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.unshare(_CLONE_NEWUTS) or _libc.sethostname(name.encode(), len(name)):
            raise PiranhaError(f"the kernel refused a host name of its own: {os.strerror(ctypes.get_errno())}")
        yield
    finally:
        _setns(home, _CLONE_NEWUTS)
        os.close(home)


def exists(namespace: str) -> bool:
    return (NAMED / namespace).exists()


def names() -> list[str]:
    """Every named network namespace of the machine."""
    return sorted(path.name for path in NAMED.iterdir()) if NAMED.is_dir() else []


def run(command: Sequence[str], *, given: str | None = None) -> str:
    """Run a command of the system to its end, bounded in time; its output. Raises PiranhaError with what it said."""
    try:
        done = subprocess.run(
            command, input=given, stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise PiranhaError(
            f"the command `{command[0]}` is not installed", mend="on Debian and Ubuntu the package iproute2 has `ip`"
        ) from None
    except subprocess.TimeoutExpired:
        raise PiranhaError(f"`{' '.join(command)}` did not end within {COMMAND_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise PiranhaError(f"`{' '.join(command)}` failed: {said}")
    return done.stdout


def ip_batch(namespace: str, lines: Iterable[str]) -> None:
    """Run `ip` commands, one a line and without the word `ip`, inside the namespace."""
    run(["ip", "-n", namespace, "-batch", "-"], given="".join(line + "\n" for line in lines))


def add(namespace: str) -> None:
    run(["ip", "netns", "add", namespace])


def delete(namespace: str) -> None:
    """Remove the name and, when no process is left in it, the namespace with all its devices."""
    run(["ip", "netns", "delete", namespace])


def write_sysctls(settings: Iterable[tuple[str, str]]) -> None:
    """Write kernel settings of the namespace the thread is in. One that this kernel does not have is passed over."""
    for key, value in settings:
        path = Path("/proc/sys") / key.replace(".", "/")
        if path.exists():
            path.write_text(value + "\n")


def processes_inside(namespace: str) -> list[int]:
    """Process ids of everything that runs in the namespace."""
    try:
        wanted = (NAMED / namespace).stat().st_ino
    except FileNotFoundError:
        return []
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            try:
                if (path / "ns/net").stat().st_ino == wanted:
                    found.append(int(path.name))
            except OSError:  # the process ended meanwhile
                continue
    return found
