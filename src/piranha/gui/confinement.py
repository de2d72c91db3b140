"""Giving up root: another user, no capability, no way to start a program. Done before the first request is read."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import pwd

from piranha.base.errors import PiranhaError

USER = "piranha"

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 22, 24, 4, 38, 47
_AMBIENT_CLEAR_ALL = 4
_MODE_FILTER = 2
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION = 0x20080522

# Classic BPF (linux/filter.h): load a word of seccomp_data, compare, answer.
_LOAD, _EQUALS, _AT_LEAST, _ANSWER = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_X32 = 0x40000000

# The kernel's numbers (asm/unistd.h) of what a web server never does: run programs, trace others, mount, enter or make
# namespaces, load modules, kernels and BPF.
_CALLS: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (0xC000003E, (59, 322, 101, 310, 311, 165, 166, 155, 161, 272, 308, 175, 313, 176, 246, 320, 321, 298)),
    "aarch64": (0xC00000B7, (221, 281, 117, 270, 271, 40, 39, 41, 51, 97, 268, 105, 273, 106, 104, 294, 280, 241)),
}

logger = logging.getLogger(__name__)


def identity_of(user: str) -> tuple[int, int]:
    """The ids of the user to become. Raises PiranhaError with the mend."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise PiranhaError(
            f"there is no user {user}",
            mend=f"make it: useradd --system --no-create-home --shell /usr/sbin/nologin {user}",
        ) from None
    return entry.pw_uid, entry.pw_gid


def confine(user: str) -> None:
    """Become `user` for good, without capabilities, unable to run programs. Only root can; others are just locked in.

    Threads must not have been started yet. Raises PiranhaError where the kernel refuses.
    """
    try:
        if os.geteuid() == 0:
            uid, gid = identity_of(user)
            _drop_bounding_set()
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            _drop_capabilities()
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _prctl(_PR_SET_DUMPABLE, 0)
        _forbid_programs()
    except OSError as error:
        raise PiranhaError(f"cannot give up root ({error.strerror})") from error


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


def _forbid_programs() -> None:
    """A seccomp filter: the calls above fail with EPERM; calls of a foreign architecture end the process."""
    known = _CALLS.get(platform.machine())
    if known is None:
        logger.warning("no seccomp filter for this architecture machine=%s", platform.machine())
        return
    architecture, calls = known
    rows = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUALS, 1, 0, architecture),
        (_ANSWER, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        (_ANSWER, 0, 0, _KILL),
    ]
    rows += [(_EQUALS, len(calls) - at, 0, number) for at, number in enumerate(calls)]
    rows += [(_ANSWER, 0, 0, _ALLOW), (_ANSWER, 0, 0, _REFUSE)]
    filters = (_Filter * len(rows))(*(_Filter(*row) for row in rows))
    program = _Program(len(rows), filters)
    _prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(program))


def _drop_bounding_set() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            # Past the last one that this kernel knows.
            break


def _drop_capabilities() -> None:
    """A change of user away from root drops them by itself; `user` may be root."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(header), ctypes.byref(nothing)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)


def _prctl(option: int, value: int, more: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(word) for word in (value, more, 0, 0)]
    if libc.prctl(option, *arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
