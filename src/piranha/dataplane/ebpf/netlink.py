"""A synchronous rtnetlink socket. pyroute2 encodes and decodes the messages; its own sockets cannot be called from a
coroutine (they run an event loop of their own inside), so sending and receiving is done here.

A socket belongs to the network namespace of the thread that made it.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from piranha.base.errors import PiranhaError

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_DUMP_INTERRUPTED, _NLM_F_ACK_TLVS = 0x10, 0x200
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 1, 10, 11
_HEADER = struct.Struct("=IHHII")
_BUFFER_BYTES = 256 * 1024
_EVENT_BUFFER_BYTES = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33
_DUMP_ATTEMPTS = 5
_TIMEOUT_S = 5.0

_CLASSES: dict[int, Any] = {
    RTM_NEWLINK: ifinfmsg,
    RTM_DELLINK: ifinfmsg,
    RTM_NEWADDR: ifaddrmsg,
    RTM_DELADDR: ifaddrmsg,
    RTM_NEWROUTE: rtmsg,
    RTM_DELROUTE: rtmsg,
    RTM_NEWNEIGH: ndmsg,
    RTM_DELNEIGH: ndmsg,
    RTM_NEWRULE: fibmsg,
    RTM_DELRULE: fibmsg,
    RTM_NEWQDISC: tcmsg,
    RTM_NEWTFILTER: tcmsg,
}


class NetlinkError(PiranhaError):
    """The kernel refused a netlink request. `errno` says how."""

    def __init__(self, what: str, number: int, explanation: str = "") -> None:
        mend = "this needs root or CAP_NET_ADMIN" if number == errno.EPERM else ""
        super().__init__(f"{what}: {explanation or os.strerror(number)}", mend=mend)
        self.errno = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One message of the kernel. `body` is pyroute2's; `error` is an errno where `sequence` was refused."""

    type: int
    sequence: int
    body: Any = None
    error: int = 0
    explanation: str = ""


class EventsLost(PiranhaError):  # noqa: N818 -- past tense, as events are
    """The kernel dropped events because they were not read in time; what is known must be read anew."""


class NetlinkSocket:
    """Requests with their answers, or the events of `groups` (one socket should not do both)."""

    def __init__(self, groups: Iterable[int] = ()) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self._socket.settimeout(_TIMEOUT_S)
        self._sequence = 0
        for option in (_CAP_ACK, _EXT_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))
        wanted = list(groups)
        if wanted:
            self._socket.setblocking(False)
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _EVENT_BUFFER_BYTES)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _EVENT_BUFFER_BYTES)
        for group in wanted:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        return self._sequence

    def dump(self, body: Any, request_type: int) -> list[Any]:
        """All objects of a kind, as pyroute2 messages. A dump that the kernel calls inconsistent is asked for again."""
        for _ in range(_DUMP_ATTEMPTS):
            self._send(body, request_type, NLM_F_REQUEST | NLM_F_DUMP)
            found: list[Any] = []
            interrupted = False
            while True:
                replies, flags, done = self._receive_answers()
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTERRUPTED)
                found.extend(reply.body for reply in replies if reply.body is not None)
                if done:
                    break
            for reply in replies:
                if reply.error:
                    raise NetlinkError("cannot list network objects", reply.error, reply.explanation)
            if not interrupted:
                return found
        return found

    def request(self, body: Any, request_type: int, flags: int = 0, *, what: str = "netlink request") -> None:
        """A change, answered by an acknowledgement. Raises NetlinkError."""
        self._send(body, request_type, NLM_F_REQUEST | NLM_F_ACK | flags)
        while True:
            replies, _, done = self._receive_answers()
            for reply in replies:
                if reply.error:
                    raise NetlinkError(what, reply.error, reply.explanation)
            if done:
                return

    def exchange(self, requests: Sequence[bytes]) -> dict[int, Reply]:
        """Send ready messages (each with its own sequence) in one go; the first answer to each, by sequence."""
        if not requests:
            return {}
        awaited = {int(_HEADER.unpack_from(request)[3]) for request in requests}
        answers: dict[int, Reply] = {}
        self._socket.send(b"".join(requests))
        while awaited:
            for reply in self._parse(self._read())[0]:
                if reply.sequence in awaited:
                    awaited.discard(reply.sequence)
                    answers[reply.sequence] = reply
        return answers

    def events(self) -> list[Reply]:
        """What arrived since; empty when nothing did. Raises EventsLost when the kernel had to drop some."""
        try:
            return self._parse(self._socket.recv(_BUFFER_BYTES))[0]
        except BlockingIOError:
            return []
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                raise EventsLost("network events were lost") from error
            raise

    def _send(self, body: Any, request_type: int, flags: int) -> None:
        body["header"]["type"] = request_type
        body["header"]["flags"] = flags
        body["header"]["sequence_number"] = self.next_sequence()
        body["header"]["pid"] = 0
        body.encode()
        self._socket.send(body.data)

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_BUFFER_BYTES)
        except TimeoutError as error:
            raise NetlinkError("the kernel does not answer on netlink", errno.ETIMEDOUT) from error

    def _receive_answers(self) -> tuple[list[Reply], int, bool]:
        """(replies to the last request, their flags together, whether that was the end)."""
        replies, flags, ended = self._parse(self._read())
        mine = [reply for reply in replies if reply.sequence == self._sequence]
        return mine, flags, self._sequence in ended

    @staticmethod
    def _parse(data: bytes) -> tuple[list[Reply], int, set[int]]:
        replies: list[Reply] = []
        all_flags, ended, at = 0, set[int](), 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
            if length < _HEADER.size or at + length > len(data):
                break
            all_flags |= flags if kind != _NLMSG_ERROR else 0
            if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                number = -struct.unpack_from("=i", data, at + 16)[0] if length >= 20 else 0
                text = _explanation(data[at : at + length], flags) if number else ""
                replies.append(Reply(type=kind, sequence=sequence, error=number, explanation=text))
                ended.add(sequence)
            elif kind in _CLASSES:
                body = _CLASSES[kind](data[at : at + length])
                body.decode()
                replies.append(Reply(type=kind, sequence=sequence, body=body))
            else:
                replies.append(Reply(type=kind, sequence=sequence))
            at += (length + 3) & ~3
        return replies, all_flags, ended


def _explanation(message: bytes, flags: int) -> str:
    """The kernel's own sentence (NLMSGERR_ATTR_MSG), where it sends one."""
    at = 16 + 4 + 16
    while flags & _NLM_F_ACK_TLVS and at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            break
        if kind & 0x3FFF == 1:
            return message[at + 4 : at + length].split(b"\0")[0].decode(errors="replace")
        at += (length + 3) & ~3
    return ""
