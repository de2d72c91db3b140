"""What the watching client measures."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address

from piranha.lab.traffic import ANSWER_TIME_NS, BLOCK_BYTES, Download, Owners, Probes, block

MS = 1_000_000


def test_a_gap_is_measured_from_one_answered_probe_to_the_next() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link,
    ):
        server.bind(("127.0.0.1", 0))
        link.setblocking(False)
        probes = Probes(server.getsockname(), 5 * MS, link, answered_until=0)
        probes.mark(0)
        for turn in range(1, 101):
            now = turn * 5 * MS
            probes.send(now)
            data, client = server.recvfrom(100)
            if not 40 <= turn < 60:
                server.sendto(b"web1 " + data, client)
            probes.receive()
        assert probes.sent == 100
        assert probes.gap_ns == 21 * 5 * MS
        probes.mark(now)
        for late in (now + 70 * MS, now + 140 * MS):
            probes.send(late)
            server.sendto(b"web1 " + server.recvfrom(100)[0], client)
            probes.receive()
        assert probes.gap_ns == 0, "a prober that is late is no service that is away"
        probes.mark(0)
        probes.send(now + 200 * MS)
        probes.send(now + 200 * MS + ANSWER_TIME_NS)
        assert probes.lost == 1


def test_a_download_that_skips_a_block_is_broken() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        download = Download(here)
        there.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + block(0) + block(1)[:100])
        download.receive(1)
        download.mark(2)
        assert (download.blocks, download.broken, download.moves) == (1, "", False)
        there.sendall(block(1)[100:])
        download.receive(9)
        assert (download.blocks, download.pause_ns, download.moves) == (2, 7, True)
        there.sendall(block(3))
        download.receive(10)
        assert "block 2 has other bytes" in download.broken
        assert len(block(10**14)) == BLOCK_BYTES


def test_a_closed_download_is_broken() -> None:
    here, there = socket.socketpair()
    with here:
        there.close()
        download = Download(here)
        download.receive(1)
        assert download.broken


def test_dual_is_the_time_in_which_the_answers_of_two_overlap() -> None:
    here, there = socket.socketpair()
    with here, there:
        owners = Owners(IPv4Address("10.0.0.100"), 5 * MS, here)
        owners.seen = {"a": [0, 100], "b": [90, 500], "c": [600, 700]}
        assert owners.dual_ns == 10
