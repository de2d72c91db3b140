"""Questions to the kernel that have no file: bpf(2), ethtool and adjtimex, each asked once and without a trace."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import sys

from piranha.doctor.facts import HookedProgram

_BPF_NUMBERS = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _PROG_GET_FD_BY_ID, _OBJ_GET_INFO_BY_FD, _PROG_QUERY = 0, 13, 15, 16
_TCX = {"tcx ingress": 46, "tcx egress": 47}
_MAX_PROGRAMS = 64
_SIOCETHTOOL = 0x8946
_ETHTOOL_GTXCSUM = 0x16
_STA_UNSYNC = 0x40

_libc = ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attribute: bytearray) -> int:
    """The result of bpf(2), negative errno on failure; -ENOSYS where its number is not known."""
    number = _BPF_NUMBERS.get(platform.machine())
    if number is None:
        return -errno.ENOSYS
    buffer = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    result: int = _libc.syscall(number, command, ctypes.byref(buffer), len(attribute))
    return -ctypes.get_errno() if result < 0 else result


def bpf_error() -> int | None:
    """0 when a small map can be made, else the errno; None on a machine whose system calls we do not know."""
    if platform.machine() not in _BPF_NUMBERS or sys.byteorder != "little":
        return None
    attribute = bytearray(72)
    struct.pack_into("=4I", attribute, 0, 2, 4, 4, 1)  # an array of one number
    result = _bpf(_MAP_CREATE, attribute)
    if result < 0:
        return -result
    os.close(result)
    return 0


def tcx_programs(ifindex: int) -> tuple[HookedProgram, ...] | None:
    """Programs in the tcx chains of a device; None when the kernel has no tcx or refuses to tell."""
    found = []
    for hook, attach_type in _TCX.items():
        identifiers = array.array("I", [0] * _MAX_PROGRAMS)
        attribute = bytearray(64)
        struct.pack_into(
            "=IIIIQI", attribute, 0, ifindex, attach_type, 0, 0, identifiers.buffer_info()[0], _MAX_PROGRAMS
        )
        result = _bpf(_PROG_QUERY, attribute)
        if result == -errno.ENOENT:  # nothing attached
            continue
        if result < 0:
            return None
        (count,) = struct.unpack_from("=I", attribute, 24)
        found += [HookedProgram(hook=hook, name=program_name(number)) for number in identifiers[: min(count, 64)]]
    return tuple(found)


def program_name(number: int) -> str:
    """What the kernel calls the program with this id; the id itself where it does not tell."""
    attribute = bytearray(16)
    struct.pack_into("=I", attribute, 0, number)
    fd = _bpf(_PROG_GET_FD_BY_ID, attribute)
    if fd < 0:
        return f"with id {number}"
    try:
        info = array.array("B", bytes(224))
        question = bytearray(16)
        struct.pack_into("=IIQ", question, 0, fd, len(info), info.buffer_info()[0])
        if _bpf(_OBJ_GET_INFO_BY_FD, question) < 0:
            return f"with id {number}"
        name = bytes(info[64:80]).split(b"\0")[0].decode(errors="replace")
        return name or f"with id {number}"
    finally:
        os.close(fd)


def tx_checksum_offload(device: str) -> bool | None:
    """Whether the device finishes checksums for its senders; None when it does not say."""
    value = array.array("B", struct.pack("=II", _ETHTOOL_GTXCSUM, 0))
    request = struct.pack("@16sP", device.encode(), value.buffer_info()[0])
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCETHTOOL, request)
    except OSError:
        return None
    return bool(struct.unpack("=II", value.tobytes())[1])


def clock_synchronised() -> bool | None:
    """Whether something keeps the kernel's clock in step (adjtimex(2))."""
    timex = ctypes.create_string_buffer(512)  # struct timex is smaller; modes 0 changes nothing
    if _libc.adjtimex(timex) < 0:
        return None
    # unsigned modes, then (aligned) long offset, freq, maxerror, esterror, then int status
    word = ctypes.sizeof(ctypes.c_long)
    (status,) = struct.unpack_from("=i", timex.raw, word * 5)
    return not status & _STA_UNSYNC


def libbpf_version() -> str | None:
    """The version of libbpf.so.1, `unknown` when it does not tell; None when there is none."""
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return None
    try:
        library.libbpf_version_string.restype = ctypes.c_char_p
        text: bytes = library.libbpf_version_string()
    except AttributeError:
        return "0.0"
    return text.decode(errors="replace").removeprefix("v")


def may_run_fifo() -> bool:
    """Whether the kernel grants SCHED_FIFO to this process; leaves its scheduling as it was."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, policy, parameter)
    return True
