"""The kernel's generic-netlink family IPVS, as far as the conformance suite needs it (Linux `uapi/linux/ip_vs.h`).

Independent of the product's own reader of the same family on purpose: this one is the suite's reference.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

NETLINK_GENERIC = 16
REQUEST, ACK, DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
CONTROL_FAMILY, GET_FAMILY, FAMILY_ID, FAMILY_NAME = 16, 3, 1, 2

NEW_SERVICE, SET_SERVICE, DELETE_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DESTINATION, SET_DESTINATION, DELETE_DESTINATION, GET_DESTINATION = 5, 6, 7, 8
SET_CONFIG, GET_CONFIG, ZERO, FLUSH = 12, 13, 16, 17
SERVICE, DESTINATION, TIMEOUT_TCP, TIMEOUT_TCP_FIN, TIMEOUT_UDP = 1, 2, 4, 5, 6
NESTED = 0x8000

Attributes = dict[int, bytes]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def u16(value: int) -> bytes:
    return struct.pack("=H", value)


def u32(value: int) -> bytes:
    return struct.pack("=I", value & 0xFFFFFFFF)


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def read_attributes(data: bytes) -> Attributes:
    """The attributes in `data` by number."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4 : at + length]
        at += (length + 3) & ~3
    return found


class IpvsSocket:
    """The family in the network namespace of the thread that made this. Refusals are OSError with the kernel's number."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._socket.bind((0, 0))
        self._sequence = 0
        (reply,) = self._exchange(CONTROL_FAMILY, GET_FAMILY, attribute(FAMILY_NAME, text("IPVS")), 0)
        self._family = struct.unpack("=H", reply[FAMILY_ID])[0]

    def close(self) -> None:
        self._socket.close()

    def change(self, command: int, payload: bytes = b"") -> None:
        """One command that the kernel acknowledges."""
        list(self._exchange(self._family, command, payload, ACK))

    def read(self, command: int, payload: bytes = b"") -> list[Attributes]:
        """One dump, as the attributes of each message."""
        return list(self._exchange(self._family, command, payload, DUMP))

    def _exchange(self, family: int, command: int, payload: bytes, flags: int) -> Iterator[Attributes]:
        self._sequence += 1
        body = struct.pack("=BBH", command, 1, 0) + payload
        self._socket.send(struct.pack("=IHHII", 16 + len(body), family, REQUEST | flags, self._sequence, 0) + body)
        while True:
            data, at = self._socket.recv(1 << 17), 0
            while at < len(data):
                length, kind, _flags, sequence, _port = struct.unpack_from("=IHHII", data, at)
                message = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", message)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return
                yield read_attributes(message[4:])
                if not flags:
                    return
