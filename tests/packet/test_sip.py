"""The persistence engine sip: a call keeps its server. What a Call-ID is, is Linux's rule, byte for byte.

What calls do to templates and connections, in both directions, is compared with IPVS in tests/conformance.
"""

from __future__ import annotations

import random
import string
from dataclasses import replace
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from piranha.dataplane.ebpf.plane import EbpfPlane, PlaneSettings
from piranha.dataplane.port import AddService, DeleteService, EditService
from piranha.model.service import Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, VIP, Bench

_WORD = frozenset(string.ascii_letters + string.digits + "!\"%'()*+-./:<>?[\\]_`{}~\xe9")
START = "OPTIONS sip:x@y SIP/2.0"


def call_id(text: str) -> str | None:
    """As `get_callid` of ip_vs_pe_sip.c with `ct_sip_get_header` of nf_conntrack_sip.c find it, written down step by step.

    Raises ValueError behind two values that are none: there Linux goes on at a wrong place (its offsets add up), and we
    at the right one.
    """
    at = again = 0
    while at < len(text):
        if text[at] not in "\r\n":
            at += 1
            continue
        at += 2 if text[at : at + 2] == "\r\n" else 1
        if at < len(text) and text[at] in " \t":
            at += 1
            continue
        if text[at : at + 7].lower() == "call-id":
            at += 7
        elif text[at : at + 1].lower() == "i" and len(text) - at >= 2 and not text[at + 1].isalpha():
            at += 1
        else:
            at += 1
            continue
        after = _skip(text, at)
        if after is None or text[after : after + 1] != ":":
            return None
        after = _skip(text, after + 1)
        if after is None:
            return None
        end = _word(text, after)
        if end > after and text[end : end + 1] == "@":
            domain = _word(text, end + 1)
            end = domain if domain > end + 1 else after
        if end == after:
            at, again = after, again + 1
            if again > 1:
                raise ValueError(text)
            continue
        found = text[after:end]
        return found if len(found) <= 255 and text[end : end + 1] in ("\r", "\n") else None
    return None


def _skip(text: str, at: int) -> int | None:
    """Blanks, and one fold."""
    while at < len(text) and text[at] in " \t":
        at += 1
    if at < len(text) and text[at] in "\r\n":
        at += 2 if text[at : at + 2] == "\r\n" else 1
        if text[at : at + 1] not in (" ", "\t"):
            return None
        while at < len(text) and text[at] in " \t":
            at += 1
    return at


def _word(text: str, at: int) -> int:
    while at < len(text) and text[at] in _WORD:
        at += 1
    return at


@pytest.fixture
def calls(bench: Bench) -> Bench:
    """A service of calls with two servers."""
    bench.plane.apply([AddService(service=service())])
    for number in (2, 3):
        bench.server(service().key, f"10.2.0.{number}", port=5060)
    return bench


def service(version: int = 4, **fields: object) -> Service:
    key = ServiceKey(protocol=Protocol.UDP, address=ip_address(VIP[version]), port=5060)
    return replace(Service(key=key, scheduler="rr", persistent_s=100, engine="sip"), **fields)  # type: ignore[arg-type]


def say(bench: Bench, text: str, version: int = 4) -> str:
    """Send it from a new port; the verdict. By XDP what is handed on is done by TC."""
    packet = bench.to_vip(version, UDP, dport=5060, load=text.encode("latin-1"))
    out = bench.run(Ether(bytes(packet)))
    return out.verdict


def found(bench: Bench) -> set[str]:
    rows = [row for row in bench.connections() if row.is_template]
    assert all(row.engine == ("sip" if row.engine_data else "") for row in rows)
    return {row.engine_data for row in rows}


@pytest.mark.parametrize(
    "header",
    ["Call-ID: a@b\r\n", "i:a\n", "\tCall-ID: no\r\nI\t:\r\n\t x~y@h:5060\r", "Call-ID: a@b", "Call-ID: a b\r\n",
     "Call-Identity: a\r\n", "Call-ID: @b\r\n", "\n\ni: a\n", "\r\n\r\ni: a\r\n", "i\xe9: a\r\n", "i: a\xe9b\r\n"],
)  # fmt: skip
def test_a_header_names_a_call_or_none(calls: Bench, header: str) -> None:
    text = f"{START}\r\n{header}"
    expected = call_id(text)
    assert say(calls, text) == ("redirect" if expected else "drop")
    assert found(calls) == ({expected} if expected else set())
    assert calls.reasons() == ({} if expected else {"no_call_id": 1})


def test_headers_at_random(tc: Bench) -> None:
    """Pieces that matter, thrown together: the program and the step by step reading above never differ."""
    tc.plane.apply([AddService(service=service())])
    tc.server(service().key, port=5060)
    usual = ["\r\n", "To: a", "\r\n", "Call-ID", ":", " ", "ab", "@", "x1", "\r\n", "From: b"]
    pieces = ["Call-ID", "call-id", "Call", "-ID", "i", "I", ":", ":", " ", "\t", "\r\n", "\r\n", "\n", "\r", "@", "ab", "x1",
              ";", ",", "To: <sip:a@b>", "Via: SIP/2.0/UDP 10.1.0.1;branch=z9hG4bK"]  # fmt: skip
    dice = random.Random(7)
    named = 0
    for _ in range(1500):
        body = list(usual)
        for _ in range(dice.randint(0, 4)):
            place = dice.randrange(len(body))
            body[place : place + dice.randint(0, 1)] = dice.choices(pieces, k=dice.randint(0, 2))
        text = f"{START}{''.join(body)}"
        try:
            expected = call_id(text)
        except ValueError:
            continue
        before = found(tc)
        assert say(tc, text) == ("redirect" if expected else "drop"), repr(text)
        assert found(tc) == before | ({expected} if expected else set()), repr(text)
        named += expected is not None
    assert 300 < named < 1200


def test_long_calls(calls: Bench) -> None:
    longest = "n" * 255
    assert say(calls, f"{START}\r\ni: {longest}\r\n") == "redirect"
    assert say(calls, f"{START}\r\ni: {longest}n\r\n") == "drop"
    assert say(calls, f"{START}\r\n" + "Via: SIP/2.0/UDP 10.1.0.1\r\n" * 40 + "i: far\r\n") == "redirect"
    assert found(calls) == {longest, "far"}
    assert say(calls, "") == "drop"


def test_a_call_stays_with_its_server_and_leaves_nothing_behind(calls: Bench) -> None:
    key = service().key
    for number in (1, 2, 3, 1, 2, 3):
        assert say(calls, f"{START}\r\nCall-ID: {number}@h\r\n") == "redirect"
    by_call = {}
    for row in calls.connections():
        if row.is_template:
            by_call[row.engine_data] = row.destination
    assert by_call["1@h"] == by_call["3@h"] != by_call["2@h"]
    assert [d.inactive_connections for d in calls.status(key).destinations] == [2, 4]
    held = calls.tables.maps["calls"]
    assert len(held.keys()) == 3
    calls.plane.apply([DeleteService(key=key)])
    calls.tables.conns["expires"] = calls.tables.jiffies() - 10_000
    for _ in range(2):  # templates after what they hold
        calls.tables.sweep(0, len(calls.tables.tags) // 16)
        calls.tables.conns["expires"] = calls.tables.jiffies() - 10_000
    calls.tables.sweep(0, len(calls.tables.tags) // 16)
    assert held.keys() == []


def test_six(tc: Bench) -> None:
    tc.plane.apply([AddService(service=service(6))])
    tc.server(service(6).key, port=5060)
    assert say(tc, f"{START}\r\nCall-ID: six@h\r\n", 6) == "redirect"
    assert found(tc) == {"six@h"}


def test_adopted(calls: Bench) -> None:
    again = Bench.__new__(Bench)
    again.__dict__ = dict(calls.__dict__)
    calls.tables.adopted = True
    try:
        again.plane = EbpfPlane(calls.tables, None, PlaneSettings(), calls.clock, None)
    finally:
        calls.tables.adopted = False
    assert again.status(service().key).service == service()
    again.plane.apply([EditService(service=service(engine=""))])
    assert say(again, "no call at all") == "redirect"
    assert found(again) == {""}


def test_xdp_hands_on_what_a_server_begins(xdp: Bench) -> None:
    xdp.plane.apply([AddService(service=service())])
    xdp.server(service().key, port=5060)
    load = f"{START}\r\ni: out\r\n".encode()
    packet = xdp.from_server(5060, 5070, 4, UDP)
    packet[UDP].remove_payload()
    packet = Ether(bytes(packet / Raw(load)))
    del packet[UDP].len, packet[UDP].chksum, packet[IP].len, packet[IP].chksum
    assert xdp.run(packet, "rs").verdict == "pass"
    out = xdp.run(packet, "rs", hook="tc")
    assert (out.verdict, out.packet[IP].src, out.packet[IP].dst) == ("redirect", VIP[4], CLIENT[4])
    assert found(xdp) == {"out"}
    assert xdp.run(packet, "rs").verdict == "redirect"
