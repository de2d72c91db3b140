"""The client that watches a takeover: probes, open downloads, and who answers for the VIP. Runs in the client's namespace.

    python -m piranha.lab.traffic --vip 10.0.0.100 --downloads 8

It speaks by lines: `mark` on its input begins a new measurement, `report` is answered with one line of JSON, the end of the input
ends it. The first line is a report, printed when every download flows.

| in a report | |
|---|---|
| `probes`, `lost` | UDP datagrams through the VIP since the mark, and how many of those that are old enough have no answer |
| `gap_ms` | the longest time from one answered probe to the next where others in between were not, by when they were sent; else 0 |
| `downloads`, `broken`, `pause_ms` | how many are open, how many were closed or went wrong, the longest silence of one |
| `owners`, `dual_ms` | which MACs answered ARP requests for the VIP, and for how long two did |
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import pairwise
from typing import Any

SECOND = 1_000_000_000
ANSWER_TIME_NS = SECOND // 2
"""A probe that has no answer for so long is lost."""
BLOCK_BYTES = 1024
CONNECT_TIMEOUT_S = 10.0
_RECEIVE_BYTES = 1 << 16
_ETH_P_ARP = 0x0806
_MOST_PROBES = 1_000_000


def block(number: int) -> bytes:
    """One block of a download: its number, so that the reader sees that nothing is missing or doubled."""
    return (b"%015d\n" % number) * (BLOCK_BYTES // 16)


@dataclass(slots=True)
class Probes:
    """UDP probes: what was sent when and is not answered yet, and the gaps between those that were."""

    target: tuple[str, int]
    period_ns: int
    link: socket.socket
    sent: int = 0
    lost: int = 0
    gap_ns: int = 0
    next_at: int = 0
    answered_until: int = 0
    _waiting: dict[int, int] = field(default_factory=dict)
    _lost_until: int = 0

    def mark(self, now: int) -> None:
        self.sent = self.lost = self.gap_ns = self._lost_until = 0
        self._waiting.clear()
        self.answered_until = now

    def send(self, now: int) -> None:
        """The next probe when it is due; missed turns are skipped."""
        if now < self.next_at or self.sent >= _MOST_PROBES:
            return
        self.next_at = now + self.period_ns
        self._waiting[now] = now
        self.sent += 1
        with contextlib.suppress(OSError):  # no route, or the wire said no: it counts as lost
            self.link.sendto(b"%d" % now, self.target)
        self._count_lost(now)

    def receive(self) -> None:
        while True:
            try:
                data = self.link.recv(100)
            except OSError:
                return
            word = data.rpartition(b" ")[2]
            sent_at = self._waiting.pop(int(word), None) if word.isdigit() else None
            if sent_at is not None and sent_at > self.answered_until:
                # Without an unanswered one in between it was this program that was late, not the service.
                if self._lost_until > self.answered_until or next(iter(self._waiting), sent_at) < sent_at:
                    self.gap_ns = max(self.gap_ns, sent_at - self.answered_until)
                self.answered_until = sent_at

    def present_gap_ns(self, now: int) -> int:
        """The longest gap, the one that is not over included once it is longer than an answer may take."""
        waits_ns = now - self.answered_until
        return max(self.gap_ns, waits_ns if waits_ns > ANSWER_TIME_NS else 0)

    def _count_lost(self, now: int) -> None:
        for sent_at in list(self._waiting):
            if now - sent_at < ANSWER_TIME_NS:
                return
            del self._waiting[sent_at]
            self._lost_until = sent_at
            self.lost += 1


@dataclass(slots=True)
class Download:
    """A download that never ends. `broken` says why it did all the same, or what was wrong with its bytes."""

    link: socket.socket
    blocks: int = 0
    heard_at: int = 0
    pause_ns: int = 0
    broken: str = ""
    blocks_at_mark: int = 0
    _head: bytes | None = b""
    _rest: bytes = b""

    def mark(self, now: int) -> None:
        self.pause_ns, self.heard_at, self.blocks_at_mark = 0, now, self.blocks

    def receive(self, now: int) -> None:
        try:
            data = self.link.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = error.strerror or str(error)
            return
        if not data:
            self.broken = "closed by the server"
            return
        self.pause_ns = max(self.pause_ns, now - self.heard_at)
        self.heard_at = now
        if self._head is not None:
            self._head += data
            head, blank, data = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            if b" 200 " not in head.split(b"\r\n", 1)[0]:
                self.broken = "the server refused it"
                return
            self._head = None
        self._rest += data
        while len(self._rest) >= BLOCK_BYTES:
            if self._rest[:BLOCK_BYTES] != block(self.blocks):
                self.broken = f"block {self.blocks} has other bytes than were sent"
                return
            self._rest = self._rest[BLOCK_BYTES:]
            self.blocks += 1

    @property
    def moves(self) -> bool:
        """Whether it went on since the mark."""
        return not self.broken and self.blocks > self.blocks_at_mark


@dataclass(slots=True)
class Owners:
    """ARP requests for the VIP, and who answers them."""

    vip: IPv4Address
    period_ns: int
    link: socket.socket
    next_at: int = 0
    seen: dict[str, list[int]] = field(default_factory=dict)

    def mark(self, now: int) -> None:
        self.seen.clear()

    def send(self, now: int) -> None:
        if now < self.next_at:
            return
        self.next_at = now + self.period_ns
        mac: bytes = self.link.getsockname()[4]
        request = b"\0\1\x08\0\6\4\0\1" + mac + bytes(4) + bytes(6) + self.vip.packed
        with contextlib.suppress(OSError):
            self.link.send(b"\xff" * 6 + mac + b"\x08\x06" + request)

    def receive(self, now: int) -> None:
        while True:
            try:
                frame = self.link.recv(100)
            except OSError:
                return
            if frame[20:22] == b"\0\2" and frame[28:32] == self.vip.packed and frame[:6] != b"\xff" * 6:
                times = self.seen.setdefault(frame[22:28].hex(":"), [now, now])
                times[1] = now

    @property
    def dual_ns(self) -> int:
        """How long the answers of two overlap."""
        spans = sorted(self.seen.values())
        return sum(max(0, before[1] - after[0]) for before, after in pairwise(spans))


class Watcher:
    """All of it, in one loop."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._selector = selectors.DefaultSelector()
        now = time.monotonic_ns()
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        self._probes = Probes((options.vip, options.udp_port), round(options.probe_ms * 1e6), udp, answered_until=now)
        self._owners: Owners | None = None
        if options.arp:
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
            raw.bind((options.arp, _ETH_P_ARP))
            raw.setblocking(False)
            self._owners = Owners(IPv4Address(options.vip), round(options.arp_ms * 1e6), raw)
        self._downloads = [_download(options.vip, options.port) for _ in range(options.downloads)]
        os.set_blocking(0, False)
        self._input = b""
        self._ready = False
        for number in (0, udp.fileno(), *([self._owners.link.fileno()] if self._owners else [])):
            self._selector.register(number, selectors.EVENT_READ)
        for one in self._downloads:
            self._selector.register(one.link, selectors.EVENT_READ, one)

    def run(self) -> None:
        """Until the input ends."""
        while True:
            now = time.monotonic_ns()
            due = min(self._probes.next_at, self._owners.next_at if self._owners else self._probes.next_at)
            for key, _ in self._selector.select(max(0, due - now) / SECOND):
                if isinstance(key.data, Download):
                    key.data.receive(time.monotonic_ns())
                    if key.data.broken:
                        self._selector.unregister(key.fileobj)
                elif key.fd == 0 and not self._command():
                    return
            now = time.monotonic_ns()
            self._probes.receive()
            self._probes.send(now)
            if self._owners is not None:
                self._owners.receive(now)
                self._owners.send(now)
            if not self._ready and all(one.blocks or one.broken for one in self._downloads):
                self._ready = True
                self._mark()
                self._report()

    def _command(self) -> bool:
        data = os.read(0, 4096)
        self._input += data
        *lines, self._input = self._input.split(b"\n")
        for line in lines:
            if line == b"mark":
                self._mark()
            elif line == b"report":
                self._report()
        return bool(data)

    def _mark(self) -> None:
        now = time.monotonic_ns()
        self._probes.mark(now)
        if self._owners is not None:
            self._owners.mark(now)
        for one in self._downloads:
            one.mark(now)

    def _report(self) -> None:
        now = time.monotonic_ns()
        pauses = [max(one.pause_ns, now - one.heard_at) for one in self._downloads if not one.broken]
        document: dict[str, Any] = {
            "probes": self._probes.sent,
            "lost": self._probes.lost,
            "gap_ms": self._probes.present_gap_ns(now) / 1e6,
            "downloads": sum(not one.broken for one in self._downloads),
            "moving": sum(one.moves for one in self._downloads),
            "broken": sorted({one.broken for one in self._downloads if one.broken}),
            "pause_ms": max(pauses, default=0) / 1e6,
            "blocks": sum(one.blocks for one in self._downloads),
        }
        if self._owners is not None:
            document |= {"owners": sorted(self._owners.seen), "dual_ms": self._owners.dual_ns / 1e6}
        sys.stdout.write(json.dumps(document) + "\n")
        sys.stdout.flush()


def _download(vip: str, port: int) -> Download:
    link = socket.create_connection((vip, port), CONNECT_TIMEOUT_S)
    link.sendall(b"GET /stream HTTP/1.0\r\nHost: lab\r\n\r\n")
    link.setblocking(False)
    return Download(link, heard_at=time.monotonic_ns())


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch a takeover from a client.")
    parser.add_argument("--vip", required=True, help="the virtual IP address (IPv4)")
    parser.add_argument("--port", type=int, default=80, help="TCP port of the web service")
    parser.add_argument("--udp-port", type=int, default=5000, help="UDP port of the echo service")
    parser.add_argument("--downloads", type=int, default=0, help="how many downloads to open")
    parser.add_argument("--probe-ms", type=float, default=5, help="milliseconds from one probe to the next")
    parser.add_argument("--arp", metavar="DEVICE", help="ask this device's wire who has the VIP")
    parser.add_argument("--arp-ms", type=float, default=5, help="milliseconds from one ARP request to the next")
    Watcher(parser.parse_args()).run()


if __name__ == "__main__":
    main()
