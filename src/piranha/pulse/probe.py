"""Asking the wire who has a VIP, and hearing whoever says so: before a takeover, and to find duplicates (F40-F42)."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from piranha.base.errors import PiranhaError
from piranha.model.address import IPAddress
from piranha.pulse.addresses import CarriedAddress
from piranha.pulse.frames import (
    ADVERTISEMENT_TARGET_OFFSET,
    ARP_SENDER_OFFSET,
    ETH_P_ARP,
    ETH_P_IPV6,
    ICMPV6_TYPE_OFFSET,
    NEXT_HEADER_OFFSET,
    read_claim,
    solicitation,
    who_has,
)
from piranha.pulse.links import Links

SIGHTINGS_AT_ONCE = 64
_FRAME_BYTES = 256
_SO_ATTACH_FILTER = 26
_LOAD_WORD, _LOAD_BYTE, _JUMP_EQUAL, _RETURN = 0x20, 0x30, 0x15, 0x06
_WHOLE = 0xFFFFFFFF
_MOST_COMPARED = 200  # a jump of classic BPF reaches 255 instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Somebody else's frame that claims one of our VIPs. `answer`: to a question; otherwise it was said unasked."""

    address: IPAddress
    mac: bytes
    device: str
    answer: bool


class Prober:
    """Questions out, claims in. Watch the descriptors of `filenos()`, and call `read` when one is readable.

    A filter in the kernel lets only claims of the watched addresses through, so a flood of ARP does not wake pulse.
    """

    def __init__(self, links: Links) -> None:
        self._links = links
        self._watched: frozenset[IPAddress] = frozenset()
        self._arp = _socket(ETH_P_ARP)
        try:
            self._ndp = _socket(ETH_P_IPV6)
        except BaseException:
            self._arp.close()
            raise
        self.watch(())

    def filenos(self) -> tuple[int, int]:
        return self._arp.fileno(), self._ndp.fileno()

    def watch(self, addresses: Iterable[IPAddress]) -> None:
        """Report claims of these addresses from now on, and of no others."""
        self._watched = frozenset(addresses)
        arp = [int(a) for a in self._watched if isinstance(a, IPv4Address)]
        ndp = [int(a) & 0xFFFFFFFF for a in self._watched if isinstance(a, IPv6Address)]
        _attach_filter(self._arp, _filter([], ARP_SENDER_OFFSET, sorted(arp)))
        advertisement = [(NEXT_HEADER_OFFSET, 58), (ICMPV6_TYPE_OFFSET, 136)]
        _attach_filter(self._ndp, _filter(advertisement, ADVERTISEMENT_TARGET_OFFSET, sorted(set(ndp))))

    def ask(self, addresses: Iterable[CarriedAddress]) -> list[str]:
        """Ask once who has each address, on its interface, from an address that is no VIP; what could not be asked."""
        troubles = []
        for carried in addresses:
            link = self._links.links.get(carried.interface)
            if link is None or not link.mac:
                troubles.append(f"{carried.interface}: no such Ethernet interface to ask for {carried.address}")
                continue
            source = self._links.source(link.name, carried.address.version, not_in=self._watched | {carried.address})
            if isinstance(carried.address, IPv4Address):
                frame = who_has(link.mac, carried.address, source if isinstance(source, IPv4Address) else None)
                out = self._arp
            else:
                frame = solicitation(link.mac, carried.address, source if isinstance(source, IPv6Address) else None)
                out = self._ndp
            try:
                out.sendto(frame, (link.name, 0))
            except OSError as error:
                troubles.append(f"{link.name}: cannot ask for {carried.address}: {error.strerror}")
        return troubles

    def read(self) -> list[Sighting]:
        """Claims of others since the last call, each once; what is more than so many frames waits for the next call."""
        own = self._links.macs()
        found: dict[Sighting, None] = {}
        for source in (self._arp, self._ndp):
            for _ in range(SIGHTINGS_AT_ONCE):
                try:
                    frame, (device, _, kind, *_) = source.recvfrom(_FRAME_BYTES)
                except BlockingIOError:
                    break
                except OSError:  # an interface went down (ENETDOWN): nothing is lost but that word
                    continue
                claim = read_claim(frame) if kind != socket.PACKET_OUTGOING else None
                if claim is None or claim.address not in self._watched or claim.mac in own or frame[6:12] in own:
                    continue
                found[Sighting(address=claim.address, mac=claim.mac, device=device, answer=claim.answer)] = None
        return list(found)

    def close(self) -> None:
        self._arp.close()
        self._ndp.close()


def _socket(protocol: int) -> socket.socket:
    """A packet socket on all interfaces, deaf until its filter is set; what came before that is thrown away."""
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(protocol))
    except PermissionError as error:
        raise PiranhaError("cannot open a packet socket", mend="this needs root (CAP_NET_RAW)") from error
    try:
        made.setblocking(False)
        _attach_filter(made, [(_RETURN, 0, 0, 0)])
        with contextlib.suppress(BlockingIOError):
            while made.recv(1):
                pass
    except BaseException:
        made.close()
        raise
    return made


_Instruction = tuple[int, int, int, int]


def _filter(bytes_equal: list[tuple[int, int]], offset: int, words: list[int]) -> list[_Instruction]:
    """Classic BPF: frames where these bytes are so and the word at `offset` is one of `words` (any, with very many)."""
    program: list[_Instruction] = []
    for at, value in bytes_equal:
        program += [(_LOAD_BYTE, 0, 0, at), (_JUMP_EQUAL, 1, 0, value), (_RETURN, 0, 0, 0)]
    if len(words) > _MOST_COMPARED:
        return [*program, (_RETURN, 0, 0, _WHOLE)]
    program.append((_LOAD_WORD, 0, 0, offset))
    program += [(_JUMP_EQUAL, len(words) - place, 0, word) for place, word in enumerate(words)]
    return [*program, (_RETURN, 0, 0, 0), (_RETURN, 0, 0, _WHOLE)]


def _attach_filter(target: socket.socket, program: list[_Instruction]) -> None:
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    described = struct.pack("@HP", len(program), ctypes.addressof(buffer))
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)
