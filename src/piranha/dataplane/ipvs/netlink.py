"""A synchronous generic-netlink socket: requests, dumps and the attributes in them.

pyroute2's IPVS class runs an event loop of its own inside, so it cannot be called from a coroutine; it also lacks half of
the family (daemons, timeouts, info, zero, flush) and sends tunnel ports in the wrong byte order. The wire is small enough
to speak it here (Linux `netlink.h`, `genetlink.h`).

A socket belongs to the network namespace of the thread that made it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping

from piranha.base.errors import PiranhaError

_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 16, 3
_CTRL_ATTR_FAMILY_ID, _CTRL_ATTR_FAMILY_NAME = 1, 2
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NETLINK_GENERIC = 16
_SOL_NETLINK, _CAP_ACK = 270, 10
_HEADER = struct.Struct("=IHHII")
_COMMAND = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_ERROR = struct.Struct("=i")
_NLA_F_NESTED, _NLA_TYPE_MASK = 0x8000, 0x3FFF
_BODY_AT = _HEADER.size + _COMMAND.size
_BUFFER_BYTES = 64 * 1024
_VERSION = 1


class NetlinkError(PiranhaError):
    """The kernel refused a netlink request. `errno` says how."""

    def __init__(self, what: str, number: int) -> None:
        mend = "this needs root or CAP_NET_ADMIN" if number in (errno.EPERM, errno.EACCES) else ""
        super().__init__(f"{what}: {os.strerror(number)}", mend=mend)
        self.errno = number


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute: length, kind, payload, padding to four bytes."""
    size = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(size, kind) + payload + bytes(-size & 3)


def packed(values: Mapping[int, bytes]) -> bytes:
    """Attributes in the mapping's order."""
    return b"".join(attribute(kind, payload) for kind, payload in values.items())


def nested(kind: int, payload: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | _NLA_F_NESTED, payload)


def attributes(data: bytes) -> dict[int, bytes]:
    """The payloads of the attributes in `data`, by kind. Reading stops where a length is impossible."""
    found: dict[int, bytes] = {}
    at, end = 0, len(data)
    while at + 4 <= end:
        size, kind = _ATTRIBUTE.unpack_from(data, at)
        if size < 4 or at + size > end:
            break
        found[kind & _NLA_TYPE_MASK] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def text_of(payload: bytes) -> str:
    """A NUL-terminated name."""
    return payload.split(b"\0", 1)[0].decode("ascii", errors="replace")


class GenericNetlink:
    """The commands of one generic-netlink family, each answered before the call returns.

    The kernel carries a request out while it is being sent, and each part of a dump while the one before is being read:
    there is never anything to wait for. No answer means that the kernel was interrupted (`netlink_rcv_skb` leaves out
    the acknowledgement then); that is a NetlinkError with EINTR.
    """

    def __init__(self, family: str) -> None:
        """Raises NetlinkError; its errno is ENOENT where the kernel has no such family."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
            self._socket.bind((0, 0))
            self._sequence = 0
            self._id = _GENL_ID_CTRL
            self._what = f"netlink family {family}"
            answer = self.get(_CTRL_CMD_GETFAMILY, attribute(_CTRL_ATTR_FAMILY_NAME, family.encode() + b"\0"))
            self._id = int.from_bytes(attributes(answer)[_CTRL_ATTR_FAMILY_ID], sys.byteorder)
            self._what = family
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def call(self, command: int, payload: bytes = b"") -> None:
        """A change. Raises NetlinkError when the kernel refuses it."""
        self._send(command, payload, _NLM_F_ACK)
        for _ in self._answers():
            pass

    def get(self, command: int, payload: bytes = b"") -> bytes:
        """The attributes of the one object that the kernel answers with. Raises NetlinkError."""
        self._send(command, payload, _NLM_F_ACK)
        found = list(self._answers())
        if not found:
            raise NetlinkError(self._what, errno.ENODATA)
        return found[0]

    def dump(self, command: int, payload: bytes = b"") -> list[bytes]:
        """The attributes of each object of a kind. Raises NetlinkError."""
        self._send(command, payload, _NLM_F_DUMP)
        return list(self._answers())

    def _send(self, command: int, payload: bytes, flags: int) -> None:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        header = _HEADER.pack(_BODY_AT + len(payload), self._id, _NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + _COMMAND.pack(command, _VERSION, 0) + payload)

    def _answers(self) -> Iterator[bytes]:
        """The bodies that answer the last request, until its end. Left-overs of an interrupted one are passed over."""
        while True:
            try:
                data = self._socket.recv(_BUFFER_BYTES)
            except BlockingIOError as error:
                raise NetlinkError(self._what, errno.EINTR) from error
            at, end = 0, len(data)
            while at + _HEADER.size <= end:
                size, kind, _, sequence, _ = _HEADER.unpack_from(data, at)
                if size < _HEADER.size or at + size > end:
                    break
                if sequence == self._sequence:
                    if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                        number = -_ERROR.unpack_from(data, at + _HEADER.size)[0] if size >= _HEADER.size + 4 else 0
                        if number:
                            raise NetlinkError(self._what, number)
                        return
                    yield data[at + _BODY_AT : at + size]
                at += (size + 3) & ~3
