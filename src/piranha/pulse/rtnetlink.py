"""rtnetlink on a plain socket: messages as bytes, requests that never wait, notifications for a poll loop.

The kernel answers a request while it is being sent, so the answers lie on the socket when `send` returns: nothing here
blocks. Layouts: <linux/netlink.h>, <linux/rtnetlink.h>.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from piranha.base.errors import PiranhaError

NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP, REPLACE, EXCL, CREATE = 0x001, 0x004, 0x300, 0x100, 0x200, 0x400
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
GROUP_LINK, GROUP_IPV4_ADDRESS, GROUP_IPV6_ADDRESS = 0x1, 0x10, 0x100

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TYPE_BITS = 0x3FFF
_READ_BYTES = 1 << 16
_MESSAGES_AT_ONCE = 64  # their answers fit into any receive buffer
_READS_AT_ONCE = 256


class NetlinkError(PiranhaError):
    """The kernel refused a request, or has no such socket; `errno` says why."""

    def __init__(self, what: str, number: int) -> None:
        mend = "this needs root (CAP_NET_ADMIN)" if number == errno.EPERM else ""
        super().__init__(f"{what}: {os.strerror(number)}", mend=mend)
        self.errno = number


class Message(NamedTuple):
    """One message: `body` begins with the fixed header of its kind."""

    kind: int
    body: bytes


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute, padded to a whole word."""
    return _ATTRIBUTE.pack(4 + len(data), kind) + data + bytes(-len(data) % 4)


def attributes(raw: bytes) -> dict[int, bytes]:
    """Attributes by kind; the last one of a kind counts. What is cut short ends the list."""
    found, position = {}, 0
    while position + 4 <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, position)
        if length < 4 or position + length > len(raw):
            break
        found[kind & _TYPE_BITS] = raw[position + 4 : position + length]
        position += (length + 3) & ~3
    return found


def message(kind: int, flags: int, body: bytes, sequence: int = 0) -> bytes:
    """A whole message; `body` holds the fixed header and attributes."""
    return _HEADER.pack(16 + len(body), kind, flags | REQUEST, sequence, 0) + body


class RouteSocket:
    """A socket for requests, or (with `groups`) for notifications; in the network namespace of the calling thread."""

    def __init__(self, groups: int = 0, *, receive_bytes: int = 1 << 20, protocol: int = 0) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self._socket.setblocking(False)
            self._socket.bind((0, groups))
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def ask(self, requests: Sequence[tuple[int, int, bytes]]) -> list[int]:
        """Send requests (kind, flags, body), as many as fit in one datagram; for each 0 or the errno of its refusal."""
        results: list[int] = []
        for start in range(0, len(requests), _MESSAGES_AT_ONCE):
            results += self._ask_some(requests[start : start + _MESSAGES_AT_ONCE])
        return results

    def transact(self, requests: Sequence[tuple[int, int, bytes]]) -> list[int]:
        """As `ask`, all in one datagram; the first and the last are the brackets of a batch and are not answered."""
        return self._ask_some(requests, brackets=True)

    def _ask_some(self, requests: Sequence[tuple[int, int, bytes]], *, brackets: bool = False) -> list[int]:
        first = self._sequence + 1
        self._sequence += len(requests)
        silent = {0, len(requests) - 1} if brackets else set()
        self._socket.send(
            b"".join(
                message(kind, flags if n in silent else flags | ACK, body, first + n)
                for n, (kind, flags, body) in enumerate(requests)
            )
        )
        answers = {first + n: 0 for n in silent}
        for _ in range(_READS_AT_ONCE):
            if len(answers) == len(requests):
                break
            try:
                datagram = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                break  # the kernel has said all it will
            for kind, sequence, body in _split(datagram):
                if kind == NLMSG_ERROR and first <= sequence <= self._sequence:
                    answers[sequence] = -struct.unpack_from("=i", body)[0]
        return [answers.get(first + n, errno.EIO) for n in range(len(requests))]

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Everything of a kind. Raises NetlinkError."""
        self._sequence += 1
        self._socket.send(message(kind, DUMP, body, self._sequence))
        found: list[Message] = []
        while True:
            for answer, sequence, content in _split(self._socket.recv(_READ_BYTES)):
                if sequence != self._sequence:
                    continue
                if answer == NLMSG_DONE:
                    return found
                if answer == NLMSG_ERROR:
                    raise NetlinkError("the kernel does not list its tables", -struct.unpack_from("=i", content)[0])
                found.append(Message(answer, content))

    def notifications(self) -> list[Message] | None:
        """What came since the last call, at most some hundred datagrams; None when some were lost."""
        found: list[Message] = []
        lost = False
        for _ in range(_READS_AT_ONCE):
            try:
                found += [Message(kind, body) for kind, _, body in _split(self._socket.recv(_READ_BYTES))]
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
        return None if lost else found


def _split(datagram: bytes) -> list[tuple[int, int, bytes]]:
    """(kind, sequence, body) of each message."""
    found, position = [], 0
    while position + 16 <= len(datagram):
        length, kind, _, sequence, _ = _HEADER.unpack_from(datagram, position)
        if length < 16 or position + length > len(datagram):
            break
        found.append((kind, sequence, datagram[position + 16 : position + length]))
        position += (length + 3) & ~3
    return found
