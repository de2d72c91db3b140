"""Telling the wire who has the VIPs: gratuitous ARP as request and as reply, unsolicited neighbour advertisements.

One announcement at a time; how often (the burst, every minute) the failover machine says.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from piranha.pulse.addresses import CarriedAddress
from piranha.pulse.frames import REPLY, REQUEST, gratuitous_arp, unsolicited_advertisement
from piranha.pulse.links import Link, Links

FRAMES_AT_ONCE = 64


class Announcer:
    """Frames on their way out. A shut gate drops them, so a director that has lost its lease claims nothing.

    `send` never waits; with many addresses it sends a part, so that heartbeats come in between: call it while `pending`.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.setblocking(False)
        self._frames: dict[tuple[str, bytes], None] = {}
        self.sent = 0
        self.unsent: dict[str, str] = {}
        """Why nothing left an interface at the last attempt, by its name."""

    @property
    def pending(self) -> bool:
        return bool(self._frames)

    def announce(self, addresses: Iterable[CarriedAddress]) -> None:
        """Each address once, on its interface. What still waits is not sent twice."""
        for carried in addresses:
            link = self._links.links.get(carried.interface)
            if link is None or not link.mac:
                continue  # nobody there to tell, or no such thing as a MAC
            for frame in _frames(carried, link):
                self._frames[(link.name, frame)] = None

    def stop(self) -> None:
        """Throw away what has not left yet."""
        self._frames.clear()

    def send(self) -> None:
        """Send what waits, at most FRAMES_AT_ONCE. What an interface refuses is gone: the next burst says it again."""
        for name, frame in list(self._frames)[:FRAMES_AT_ONCE]:
            del self._frames[(name, frame)]
            try:
                self._socket.sendto(frame, (name, 0))
            except BlockingIOError:
                return
            except OSError as error:
                self.unsent[name] = str(error.strerror)
            else:
                self.sent += 1
                self.unsent.pop(name, None)

    def close(self) -> None:
        self._socket.close()


def _frames(carried: CarriedAddress, link: Link) -> list[bytes]:
    if isinstance(carried.address, IPv4Address):
        return [gratuitous_arp(link.mac, carried.address, operation) for operation in (REQUEST, REPLY)]
    return [unsolicited_advertisement(link.mac, carried.address, router=_forwards(link.name))]


def _forwards(name: str) -> bool:
    """Whether the interface is a router's; an advertisement without the flag takes us off the neighbours' router lists."""
    try:
        return Path(f"/proc/sys/net/ipv6/conf/{name}/forwarding").read_text().strip() not in ("", "0")
    except OSError:
        return False
