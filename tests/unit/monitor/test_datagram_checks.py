"""Checks by datagrams, against servers on loopback: healthy, dead, silent and lying."""

import asyncio
import hmac
from hashlib import md5

import dns.message
import dns.rrset
import pytest
from tests.unit.monitor.scripted import Reply, answering, check, serving

from piranha.monitor.outcome import CheckImpossibleError

SECRET = b"shared"


def name_server(record: str = "192.0.2.80", rcode: int = 0) -> Reply:
    def reply(data: bytes) -> bytes:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.set_rcode(rcode)
        if not rcode:
            kind = "A" if question.question[0].rdtype == 1 else "SOA"
            text = record if kind == "A" else "a. b. 1 2 3 4 5"
            answer.answer.append(dns.rrset.from_text(question.question[0].name, 60, "IN", kind, text))
        return answer.to_wire()

    return reply


@pytest.mark.parametrize(
    ("directives", "server", "ok", "reason"),
    [
        ("", name_server(), True, "answered with 1 records"),
        ("name = www.example.com\nrecord = A\nexpect = 192.0.2.80", name_server(), True, "answered as expected"),
        ("record = A\nname = a\nexpect = 192.0.2.81", name_server(), False, "answers 192.0.2.80, not 192.0.2.81"),
        ("", name_server(rcode=2), False, "answers SERVFAIL"),
        ("", name_server(rcode=3), False, "answers NXDOMAIN"),
        ("", lambda data: b"nonsense", False, "no DNS message"),
    ],
)
async def test_dns(directives: str, server: Reply, ok: bool, reason: str) -> None:
    async with answering(server) as port:
        outcome = await check("dns", directives, port=port)
    assert (outcome.ok, outcome.reason, outcome.answered) == (ok, reason, True)


def radius_server(code: int, secret: bytes = SECRET) -> Reply:
    def reply(data: bytes) -> bytes:
        head = bytes((code, data[1], 0, 20))
        return head + md5(head + data[4:20] + secret).digest()

    return reply


@pytest.mark.parametrize(
    ("directives", "server", "ok", "reason"),
    [
        ("login = me\npassword = pw", radius_server(2), True, "accepted"),
        ("", radius_server(2), True, "accepted"),
        ("login = me\npassword = pw", radius_server(3), False, "rejects the login"),
        (
            "login = me\npassword = pw",
            radius_server(2, b"other"),
            False,
            "an answer that is not signed with our secret",
        ),
        ("", lambda data: b"x", False, "no RADIUS packet"),
    ],
)
async def test_radius(directives: str, server: Reply, ok: bool, reason: str) -> None:
    async with answering(server) as port:
        outcome = await check("radius", f"secret = shared\n{directives}", port=port)
    assert (outcome.ok, outcome.reason) == (ok, reason)


async def test_what_radius_is_asked() -> None:
    asked: list[bytes] = []
    long = "p" * 20
    async with answering(lambda data: asked.append(data)) as port:
        await check("radius", f"secret = shared\nlogin = me\npassword = {long}", port=port, within="100ms")
    data = asked[0]
    assert data[0] == 1
    assert int.from_bytes(data[2:4], "big") == len(data)
    attributes, at = {}, 20
    while at < len(data):
        attributes[data[at]] = data[at + 2 : at + data[at + 1]]
        at += data[at + 1]
    hidden, last, plain = attributes[2], data[4:20], b""
    for block in (hidden[:16], hidden[16:]):
        plain += bytes(a ^ b for a, b in zip(block, md5(SECRET + last).digest(), strict=True))
        last = block
    assert (attributes[1], plain.rstrip(b"\0")) == (b"me", long.encode())
    blank = data[:-16] + bytes(16)
    assert attributes[80] == hmac.new(SECRET, blank, md5).digest()


def sip_server(status: str) -> Reply:
    def reply(data: bytes) -> bytes:
        head, _, _ = data.partition(b"\r\n\r\n")
        kept = [line for line in head.split(b"\r\n") if line[:4] in (b"Via:", b"Call", b"CSeq")]
        return b"\r\n".join([b"SIP/2.0 " + status.encode(), *kept]) + b"\r\n\r\n"

    return reply


@pytest.mark.parametrize(
    ("directives", "server", "ok", "reason"),
    [
        ("login = alice\nhost = example.com", sip_server("200 OK"), True, "status 200"),
        ("", sip_server("503 No"), False, "status 503"),
        ("status = [ 200 503 ]", sip_server("503 No"), True, "status 503"),
        ("", lambda data: b"HTTP/1.1 200 OK\r\n\r\n", False, "no SIP reply: 'HTTP/1.1 200 OK\\r\\n\\r\\n'"),
    ],
)
async def test_sip(directives: str, server: Reply, ok: bool, reason: str) -> None:
    async with answering(server) as port:
        outcome = await check("sip", directives, port=port)
    assert (outcome.ok, outcome.reason) == (ok, reason)


async def test_udp_by_bytes() -> None:
    async with answering(lambda data: b"\x01\xab" + data) as port:
        assert (await check("udp", 'send_hex = "00 ff"\nexpect_hex = "01 ?? 00 ff"', port=port)).ok
        assert not (await check("udp", 'send_hex = "00"\nexpect_hex = "02"', port=port)).ok
        assert "too short" in (await check("udp", 'send_hex = 00\nexpect_hex = "01 ab 00 00"', port=port)).reason
        assert (await check("udp", "send = x", port=port)).reason == "answered as expected"


@pytest.mark.parametrize("kind", ["dns", "radius", "sip", "udp"])
async def test_silent_and_dead(kind: str) -> None:
    directives = {"radius": "secret = x", "udp": "expect = x"}.get(kind, "")
    async with answering(lambda data: None) as port:
        silent = await check(kind, directives, port=port, within="150ms")
    assert (silent.ok, silent.answered) == (False, False)
    dead = await check(kind, directives, port=port)
    assert (dead.ok, dead.reason, dead.answered) == (False, "port unreachable", True)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_icmp(host: str) -> None:
    outcome = await check("icmp", "", port=80, host=host)
    assert (outcome.ok, outcome.reason) == (True, "echoed")


async def test_from_a_chosen_address() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode())
        await reader.read()

    async with serving(serve) as port:
        assert (await check("tcp", 'source = 127.9.9.9\nexpect = "127.9.9.9"', port=port)).ok
        with pytest.raises(CheckImpossibleError, match=r"cannot ask from 192\.0\.2\.77"):
            await check("tcp", "source = 192.0.2.77", port=port)


async def test_silence_is_good_where_no_bytes_are_expected() -> None:
    async with answering(lambda data: None) as port:
        assert (await check("udp", "send_hex = 00", port=port, within="150ms")).ok
        assert not (await check("udp", 'send_hex = 00\nexpect_hex = "??"', port=port, within="150ms")).ok
