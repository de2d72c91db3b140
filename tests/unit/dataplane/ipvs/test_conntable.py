"""Lines of /proc/net/ip_vs_conn, as Linux 6.1 wrote them, into connections; and which of them a filter takes."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from piranha.dataplane.ipvs.conntable import select
from piranha.dataplane.port import Connection, ConnectionFilter, ConnectionPage
from piranha.model.service import Protocol

RECORDED = """\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP 7F000001 E3B2 7F000001 1F41 7F000001 2329 ESTABLISHED     900
UDP 7F000001 E791 7F000001 13C4 7F000001 13C5 UDP             300
TCP 0000:0000:0000:0000:0000:0000:0000:0001 E234 0000:0000:0000:0000:0000:0000:0000:0001 1F41 \
fd00:0000:0000:0000:0000:0000:0000:00ab 2329 FIN_WAIT        118
TCP 7F000000 0000 7F000001 1F41 7F000001 2329 ASSURED         300
UDP 7F000001 0000 7F000001 13C4 7F000001 13C5 NONE             60 sip abc123@host
IP  0A000005 0000 0000004D 0000 0A020001 0000 ASSURED          55
"""
LINES = RECORDED.splitlines()


def page(**wanted: Any) -> ConnectionPage:
    return select(LINES, ConnectionFilter(**wanted))


def test_every_field_of_a_connection() -> None:
    assert page().rows[0] == Connection(
        protocol=Protocol.TCP,
        client=ip_address("127.0.0.1"),
        client_port=58290,
        virtual=ip_address("127.0.0.1"),
        virtual_port=8001,
        destination=ip_address("127.0.0.1"),
        destination_port=9001,
        state="ESTABLISHED",
        expires_s=900,
    )


def test_ipv6_is_written_out_in_full() -> None:
    row = page().rows[2]
    assert (row.client, row.destination) == (ip_address("::1"), ip_address("fd00::ab"))
    assert row.state == "FIN_WAIT"


def test_templates_are_told_from_connections() -> None:
    assert [row.is_template for row in page().rows] == [False, False, False, True, True, True]


def test_the_template_of_an_engine() -> None:
    row = page().rows[4]
    assert (row.engine, row.engine_data) == ("sip", "abc123@host")


def test_the_template_of_a_mark() -> None:
    row = page().rows[5]
    assert (row.protocol, row.mark, row.client) == (Protocol.IP, 77, ip_address("10.0.0.5"))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 6),
        ({"protocol": Protocol.UDP}, 2),
        ({"protocol": Protocol.SCTP}, 0),
        ({"client": ip_address("127.0.0.0")}, 1),
        ({"client": ip_address("::1")}, 1),
        ({"virtual": ip_address("127.0.0.1")}, 4),
        ({"virtual": ip_address("127.0.0.1"), "virtual_port": 8001}, 2),
        ({"virtual_port": 8001}, 3),
        ({"destination": ip_address("fd00::ab")}, 1),
        ({"state": "established"}, 1),
        ({"state": "NONE", "protocol": Protocol.TCP}, 0),
    ],
)
def test_a_filter_takes_what_it_names(wanted: dict[str, Any], found: int) -> None:
    result = page(**wanted)
    assert result.total == len(result.rows) == found


@pytest.mark.parametrize(("limit", "rows"), [(0, 0), (2, 2), (6, 6), (7, 6), (-1, 6)])
def test_a_limit_bounds_the_rows_and_not_the_count(limit: int, rows: int) -> None:
    result = page(limit=limit)
    assert (result.total, len(result.rows)) == (6, rows)


def test_lines_that_are_none_are_passed_over() -> None:
    assert select(["", "AH  1 2 3", LINES[0], "TCP 7F000001"], ConnectionFilter()) == ConnectionPage(total=0, rows=())
