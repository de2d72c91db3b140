"""SCTP: what begins an association, its states and times, what it counts as, and its checksum when ports change.

The table is written here a second time, by event instead of by state, from IPVS's description
(Linux net/netfilter/ipvs/ip_vs_proto_sctp.c); the conformance suite plays associations against the real one.
"""

from __future__ import annotations

import struct

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from piranha.dataplane.ebpf import abi
from piranha.dataplane.port import AddService, ConnectionFilter, EditDestination, RefusedError
from piranha.model.service import Destination, ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, SERVER, SERVER_MAC, VIP, Bench

IP_LAYER: dict[int, type[Packet]] = {4: IP, 6: IPv6}
L4 = {4: 34, 6: 54}
BOTH = pytest.mark.parametrize("version", [4, 6])
CHUNKS = {"DATA": 0, "INIT": 1, "INIT-ACK": 2, "SACK": 3, "HEARTBEAT": 4, "HEARTBEAT-ACK": 5, "ABORT": 6,
          "SHUTDOWN": 7, "SHUTDOWN-ACK": 8, "ERROR": 9, "COOKIE-ECHO": 10, "COOKIE-ACK": 11, "ECNE": 12, "CWR": 13,
          "SHUTDOWN-COMPLETE": 14, "AUTH": 15, "type 16": 16, "FORWARD-TSN": 192, "type 255": 255}  # fmt: skip
NAMES = {
    "NO": "NONE", "I1": "INIT1", "IN": "INIT", "CS": "C-SENT", "CR": "C-REPLIED", "CW": "C-WAIT", "CO": "COOKIE",
    "CE": "C-ECHOED", "ES": "ESTABLISHED", "SS": "S-SENT", "SR": "S-RECEIVED", "SA": "S-ACK-SENT", "RJ": "REJECTED",
    "CL": "CLOSED",
}  # fmt: skip
SHORTS = list(NAMES)
TIMEOUTS_S = dict.fromkeys(NAMES, 61) | {"NO": 2, "I1": 4, "RJ": 4, "ES": 900}

#        from                client: NO I1 IN CS CR CW CO CE ES SS SR SA RJ CL | server | one way
TABLE = """
         DATA              | ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL | ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL | ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL
         INIT              | I1 IN IN CS CR CW CO CE ES SS SR SA IN IN | CW CW CW CW CW CW CW CW ES CW CW CW CW CW | I1 IN IN IN IN IN CO CE ES SS SR SA IN IN
         INIT-ACK          | CW CW CW CS CR CO CO CE ES SS SR SA RJ CL | CS CS CS CS CR CW CO CE ES SS SR SA RJ CL | CE CE CE CE CE CE CO CE ES SS SR SA RJ CL
         COOKIE-ECHO       | CR IN IN CR CR CW CO CE ES SS SR SA RJ CL | CE CE CE CE CE CE CE CE ES SS SR SA RJ CL | ES ES ES ES ES ES CO CE ES SS SR SA RJ CL
         COOKIE-ACK        | ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL | ES ES ES ES ES ES ES ES ES SS SR SA RJ CL | ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL
         SHUTDOWN          | SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL | SS SS SS SS SS SS SS SS SS SS SR SA RJ CL | SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
         SHUTDOWN-ACK      | CL IN IN CS CR CW CO CE ES CL SR CL RJ CL | SA SA SA SA SA CW CO CE ES SA SA SA RJ CL | CL IN IN CS CR CW CO CE CL CL SR CL RJ CL
         SHUTDOWN-COMPLETE | CL CL CL CS CR CW CO CE ES SS SR CL RJ CL | CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL | CL CL CL CL CL CW CO CE ES SS CL CL RJ CL
         ERROR             | CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL | CL CL CL CL CL CW CO CE ES SS SR SA RJ CL | CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
         ABORT             | CL CL CL CL CL RJ CL CL CL CL CL CL CL CL | CL RJ CL CL CL CL CL CL CL CL CL CL CL CL | CL CL CL CL CL RJ CL CL CL CL CL CL CL CL
"""
VIEWS = ("client", "server", "one way")


def transitions() -> dict[tuple[str, str, str], str]:
    found = {}
    for line in TABLE.strip().splitlines():
        event, *columns = (part.strip() for part in line.split("|"))
        for view, column in zip(VIEWS, columns, strict=True):
            found |= {(view, state, event): to for state, to in zip(SHORTS, column.split(), strict=True)}
    return found


NEXT = transitions()


def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def test_the_reference_is_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def chunk(kind: str, body: bytes = b"\0" * 4) -> bytes:
    return struct.pack("!BBH", CHUNKS[kind], 0, 4 + len(body)) + body + bytes(-len(body) % 4)


def sctp(sport: int, dport: int, chunks: bytes, *, check: int | None = None, tag: int = 7) -> bytes:
    """A packet; with its own checksum unless `check` is given (the word as it stands in the header)."""
    header = struct.pack("!HHI", sport, dport, tag)
    if check is None:
        check = crc32c(header + bytes(4) + chunks)
    return header + struct.pack("<I", check) + chunks


def frame(bench: Bench, view: str, load: bytes, version: int = 4, **fields: int) -> Packet:
    layer = IP_LAYER[version]
    fields[{4: "proto", 6: "nh"}[version]] = 132
    if view == "server":
        ends = Ether(src=SERVER_MAC, dst=bench.net.mac["rs"]) / layer(
            src=SERVER[version], dst=CLIENT[version], **fields
        )
    else:
        ends = Ether(src=CLIENT_MAC, dst=bench.net.mac["cl"]) / layer(src=CLIENT[version], dst=VIP[version], **fields)
    return ends / Raw(load)


def send(bench: Bench, view: str, chunks: bytes, version: int = 4, port: int = 5000) -> tuple[str, bytes]:
    """One packet of the association of client port `port`: verdict and frame."""
    if view == "server":
        return bench.run_raw(bytes(frame(bench, view, sctp(8080, port, chunks), version)), "rs")
    return bench.run_raw(bytes(frame(bench, view, sctp(port, 5000, chunks), version)))


def assert_checksum(raw: bytes, version: int = 4) -> None:
    packet = Ether(raw)
    end = 14 + (packet[IP].len if version == 4 else packet[IPv6].plen + 40)
    load = raw[L4[version] : end]
    assert load[8:12] == struct.pack("<I", crc32c(load[:8] + bytes(4) + load[12:])), "CRC32c"
    if version == 4:
        copy = packet.copy()
        del copy[IP].chksum
        assert Ether(bytes(copy))[IP].chksum == packet[IP].chksum


def ports(raw: bytes, version: int = 4) -> tuple[int, int]:
    first, second = struct.unpack_from("!HH", raw, L4[version])
    return int(first), int(second)


def set_up(bench: Bench, view: str = "client", version: int = 4, method: ForwardingMethod | None = None) -> ServiceKey:
    service = bench.service(version, Protocol.SCTP, port=5000)
    one_way = method or ForwardingMethod.DIRECT
    if view == "one way":
        bench.server(service, method=one_way, port=5000)
    else:
        bench.server(service, port=8080)
    return service


def slot_of(bench: Bench) -> int:
    (slot,) = np.flatnonzero(bench.tables.tags)
    return int(slot)


def state_of(bench: Bench) -> str:
    return SHORTS[int(bench.tables.conns["life"][slot_of(bench)]) >> 8 & 0xFF]


def counts(bench: Bench, service: ServiceKey) -> tuple[int, int]:
    found = bench.status(service).destinations
    return sum(d.active_connections for d in found), sum(d.inactive_connections for d in found)


def put_into(bench: Bench, state: str) -> None:
    """Set the one association's state by hand, and its destination's counts with it."""
    slot = slot_of(bench)
    entry = bench.tables.conns[slot]
    flags = int(entry["life"]) >> 16 & ~abi.CONN_INACTIVE | (0 if state == "ES" else abi.CONN_INACTIVE)
    bench.tables.conns["life"][slot] = 132 | SHORTS.index(state) << 8 | flags << 16
    bench.tables.dests["active"][int(entry["dest"])] = int(state == "ES")
    bench.tables.dests["inactive"][int(entry["dest"])] = int(state != "ES")


def assert_left(bench: Bench, seconds: float) -> None:
    left = int(bench.tables.conns["expires"][slot_of(bench)]) - bench.tables.jiffies()
    left_s = ((left + 2**31) % 2**32 - 2**31) / bench.tables.hz
    assert seconds - 1 < left_s <= seconds


# ---- forwarding ----


@BOTH
def test_masquerading_both_ways(bench: Bench, version: int) -> None:
    service = set_up(bench, version=version)
    layer = IP_LAYER[version]
    verdict, raw = send(bench, "client", chunk("INIT", bytes(range(16))), version)
    assert verdict == "redirect"
    assert (Ether(raw)[layer].src, Ether(raw)[layer].dst) == (CLIENT[version], SERVER[version])
    assert ports(raw, version) == (5000, 8080)
    assert_checksum(raw, version)
    verdict, raw = send(bench, "server", chunk("INIT-ACK", bytes(300)), version)
    assert verdict == "redirect"
    assert (Ether(raw)[layer].src, Ether(raw)[layer].dst) == (VIP[version], CLIENT[version])
    assert ports(raw, version) == (5000, 5000)
    assert_checksum(raw, version)
    counters = bench.status(service).destinations[0].counters
    assert (counters.connections, counters.in_packets, counters.out_packets) == (1, 1, 1)
    assert counters.in_bytes == 12 + 20 + (20 if version == 4 else 40)


@BOTH
@pytest.mark.parametrize("view", ["client", "server"])
def test_checksum_of_every_length(bench: Bench, view: str, version: int) -> None:
    """Every length that a frame of Ethernet holds, whole words or not, with an Ethernet trailer that is no part of it."""
    set_up(bench, version=version)
    send(bench, "client", chunk("INIT"), version)
    noise = np.random.default_rng(7).integers(0, 256, 1500, np.uint8).tobytes()
    source, target = (8080, 5000) if view == "server" else (5000, 5000)
    for length in range(0, 1465 if version == 4 else 1445, 1 if version == 4 else 13):
        load = sctp(source, target, chunk("SACK", b"") + noise[:length])
        raw = bytes(frame(bench, view, load, version))
        verdict, out = bench.run_raw(raw + bytes(max(0, 60 - len(raw))), "rs" if view == "server" else "cl")
        assert verdict == "redirect"
        assert ports(out, version) == ((5000, 5000) if view == "server" else (5000, 8080))
        assert_checksum(out, version)


@pytest.mark.parametrize("length", [2032, 2045, 2500, 3000])
def test_checksum_of_jumbo_frames(bench: Bench, length: int) -> None:
    """As long as a test run takes; longer ones are computed in tests/unit/dataplane/ebpf/test_crc32c.py."""
    set_up(bench)
    bench.resolve(SERVER[4], mtu=9000)
    send(bench, "client", chunk("INIT"))
    verdict, out = send(bench, "client", chunk("SACK", b"") + np.random.default_rng(length).bytes(length))
    assert (verdict, ports(out)) == ("redirect", (5000, 8080))
    assert_checksum(out)


def test_a_wrong_checksum_stays_wrong(bench: Bench) -> None:
    """By the same difference: nothing hides that the packet was broken on its way."""
    set_up(bench)
    load = sctp(5000, 5000, chunk("INIT", bytes(16)))
    good = bench.run_raw(bytes(frame(bench, "client", load)))[1]
    broken = load[:8] + struct.pack("<I", struct.unpack_from("<I", load, 8)[0] ^ 0x40) + load[12:]
    bad = bench.run_raw(bytes(frame(bench, "client", broken)))[1]
    assert struct.unpack_from("<I", good, 42)[0] ^ struct.unpack_from("<I", bad, 42)[0] == 0x40


@pytest.mark.parametrize("method", list(ForwardingMethod)[:3])
def test_a_checksum_that_is_left_to_the_device(bench: Bench, method: ForwardingMethod) -> None:
    """It is 0 and stays 0; XDP hands the packet to TC, whose output has it filled in."""
    service = bench.service(4, Protocol.SCTP, port=5000)
    bench.server(service, method=method, port=5000 if method is not ForwardingMethod.MASQUERADE else 8080)
    raw = bytes(frame(bench, "client", sctp(5000, 5000, chunk("INIT"), check=0)))
    verdict, out = bench.run_raw(raw)
    if bench.hook == "xdp":
        assert (verdict, out, bench.reasons()) == ("pass", raw, {"xdp_handed_on": 1})
        assert not bench.connections()
        return
    assert verdict == "redirect"
    at = len(out) - len(raw) + 42
    assert out[at : at + 4] == bytes(4)


def test_the_same_port_leaves_the_checksum(bench: Bench) -> None:
    service = bench.service(4, Protocol.SCTP, port=5000)
    bench.server(service, port=5000)
    load = sctp(5000, 5000, chunk("INIT"))
    verdict, out = bench.run_raw(bytes(frame(bench, "client", load)))
    assert (verdict, out[34:]) == ("redirect", load)


@BOTH
@pytest.mark.parametrize("method", [ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL])
def test_direct_routing_and_tunnels_leave_it_as_it_is(bench: Bench, version: int, method: ForwardingMethod) -> None:
    set_up(bench, "one way", version, method)
    load = sctp(5000, 5000, chunk("INIT", bytes(16)))
    verdict, out = bench.run_raw(bytes(frame(bench, "client", load, version)))
    assert (verdict, out[-len(load) :]) == ("redirect", load)
    assert len(out) == L4[version] + len(load) + (0 if method is ForwardingMethod.DIRECT else L4[version] - 14)
    assert bench.run_raw(bytes(frame(bench, "server", sctp(5000, 5000, chunk("INIT-ACK")), version)), "rs")[0] == "pass"


def test_local_node_both_ways(tc: Bench) -> None:
    service = tc.service(4, Protocol.SCTP, port=5000)
    tc.server(service, port=8080, local=True)
    verdict, out = send(tc, "client", chunk("INIT"))
    assert (verdict, ports(out)) == ("pass", (5000, 8080))
    assert_checksum(out)
    raw = bytes(frame(tc, "server", sctp(8080, 5000, chunk("INIT-ACK"))))
    verdict, out = tc.run_raw(raw, "rs", hook="egress")
    assert (verdict, ports(out), Ether(out)[IP].src) == ("pass", (5000, 5000), VIP[4])
    assert_checksum(out)
    assert tc.state() == "C-SENT"


# ---- what begins an association ----


@pytest.mark.parametrize("sloppy", [False, True])
@pytest.mark.parametrize("kind", list(CHUNKS))
def test_what_begins_an_association(bench: Bench, kind: str, sloppy: bool) -> None:
    set_up(bench)
    bench.tables.settings[0]["rules"] = abi.Rule.SLOPPY_SCTP if sloppy else 0
    verdict, _ = send(bench, "client", chunk(kind))
    if kind == "INIT" or (sloppy and kind != "ABORT"):
        assert (verdict, len(bench.connections())) == ("redirect", 1)
    else:
        assert (verdict, bench.connections(), bench.reasons()) == ("pass", (), {"no_connection": 1})


@BOTH
@pytest.mark.parametrize("length", range(16))
def test_shorter_than_header_and_chunk_is_malformed(bench: Bench, version: int, length: int) -> None:
    set_up(bench, version=version)
    raw = bytes(frame(bench, "client", sctp(5000, 5000, chunk("INIT"))[:length], version))
    assert bench.run_raw(raw) == ("pass", raw)
    assert bench.reasons() == {"malformed": 1}


@pytest.mark.parametrize("cut", [1, 7, 15])
def test_an_ip_length_that_ends_in_the_header(bench: Bench, cut: int) -> None:
    """The bytes behind the packet are no part of it."""
    set_up(bench)
    raw = bytes(frame(bench, "client", sctp(5000, 5000, chunk("INIT")), len=20 + cut))
    assert bench.run_raw(raw) == ("pass", raw)
    assert bench.reasons() == {"malformed": 1}


def test_protocols_do_not_share_services(bench: Bench) -> None:
    set_up(bench)
    assert bench.run(bench.to_vip(4, TCP, 5000, dport=5000, flags="S")).verdict == "pass"
    assert bench.reasons() == {"no_service": 1}


@BOTH
def test_no_destination_is_answered_with_port_unreachable(tc: Bench, version: int) -> None:
    """With the tag of the INIT chunk in the quote: by it the client knows its association."""
    service = set_up(tc, version=version)
    (status,) = tc.status(service).destinations
    idle = Destination(key=status.destination.key, method=status.destination.method, weight=0)
    tc.plane.apply([EditDestination(service=service, destination=idle)])
    load = sctp(5000, 5000, chunk("INIT", bytes(range(1, 17))), tag=0)
    verdict, out = tc.run_raw(bytes(frame(tc, "client", load, version)))
    assert verdict == "redirect"
    packet = Ether(out)
    error = packet[ICMP] if version == 4 else packet[ICMPv6DestUnreach]
    assert (error.type, error.code) == ((3, 3) if version == 4 else (1, 4))
    assert out[-20:] == load[:20]


def test_a_short_packet_is_quoted_whole(tc: Bench) -> None:
    tc.service(4, Protocol.SCTP, port=5000)
    load = sctp(5000, 5000, chunk("INIT", b""))
    verdict, out = tc.run_raw(bytes(frame(tc, "client", load)))
    assert (verdict, out[-16:], Ether(out)[ICMP].type) == ("redirect", load, 3)


# ---- states ----


@pytest.mark.parametrize("state", list(NAMES))
@pytest.mark.parametrize("view", VIEWS)
def test_every_transition(bench: Bench, view: str, state: str) -> None:
    service = set_up(bench, view)
    for kind in CHUNKS:
        send(bench, "client", chunk("INIT"))
        put_into(bench, state)
        if view != "server" and kind == "INIT" and state == "CL":
            continue  # begins another: see test_init_on_a_closed_association_begins_anew
        verdict, _ = send(bench, view, chunk(kind)) if view != "one way" else send(bench, "client", chunk(kind))
        assert verdict == "redirect"
        want = NEXT[view, state, kind if (view, state, kind) in NEXT else "DATA"]
        assert state_of(bench) == want, f"{view}: {state} and {kind}"
        assert bench.state() == NAMES[want]
        assert_left(bench, TIMEOUTS_S[want])
        assert counts(bench, service) == ((1, 0) if want == "ES" else (0, 1)), f"{view}: {state} and {kind}"


@pytest.mark.parametrize("first", ["COOKIE-ECHO", "COOKIE-ACK", "SACK", "ERROR"])
@pytest.mark.parametrize("body", [0, 1, 3, 4, 260, 1001])
def test_abort_behind_a_cookie_counts(bench: Bench, first: str, body: int) -> None:
    """And behind nothing else, as in IPVS."""
    set_up(bench)
    send(bench, "client", chunk("INIT"))
    put_into(bench, "ES")
    send(bench, "client", chunk(first, bytes(body)) + chunk("ABORT", b""))
    assert state_of(bench) == ("CL" if first.startswith("COOKIE") else "ES")


@pytest.mark.parametrize("length", [0, 3, 5, 2000, 65535])
def test_a_cookie_of_wrong_length(bench: Bench, length: int) -> None:
    """Less than a chunk has, or more than the packet: the cookie stays what it is."""
    set_up(bench)
    send(bench, "client", chunk("INIT"))
    put_into(bench, "CS")
    bad = struct.pack("!BBHBBH", CHUNKS["COOKIE-ECHO"], 0, length, 0, 0, 0)
    assert send(bench, "client", bad)[0] == "redirect"
    assert state_of(bench) == "CR"


STORY = [
    ("client", "INIT", "INIT1", (0, 1)), ("server", "INIT-ACK", "C-SENT", (0, 1)),
    ("client", "COOKIE-ECHO", "C-REPLIED", (0, 1)), ("server", "COOKIE-ACK", "ESTABLISHED", (1, 0)),
    ("client", "DATA", "ESTABLISHED", (1, 0)), ("server", "SACK", "ESTABLISHED", (1, 0)),
    ("client", "SHUTDOWN", "S-RECEIVED", (0, 1)), ("server", "SHUTDOWN-ACK", "S-ACK-SENT", (0, 1)),
    ("client", "SHUTDOWN-COMPLETE", "CLOSED", (0, 1)),
]  # fmt: skip


@BOTH
def test_a_whole_masqueraded_association(bench: Bench, version: int) -> None:
    service = set_up(bench, version=version)
    for view, kind, want, counted in STORY:
        verdict, raw = send(bench, view, chunk(kind, bytes(40)), version)
        assert verdict == "redirect"
        assert_checksum(raw, version)
        assert (bench.state(), counts(bench, service)) == (want, counted)
        assert bench.plane.connection_counts().tolist() == [[0, 0], list(counted)]
    bench.age(62)
    assert bench.sweep() == (0, 1)
    assert (counts(bench, service), bench.connections()) == ((0, 0), ())


@pytest.mark.parametrize("mode", [0, 1, 2])
def test_init_on_a_closed_association_begins_anew(bench: Bench, mode: int) -> None:
    """Unless conn_reuse_mode is 0."""
    service = set_up(bench)
    bench.tables.settings[0]["conn_reuse_mode"] = mode
    send(bench, "client", chunk("INIT"))
    put_into(bench, "CL")
    bench.server(service, "10.2.0.3", port=8080)  # the newest: next in turn after the first
    _, raw = send(bench, "client", chunk("INIT"))
    assert (Ether(raw)[IP].dst, bench.state()) == (("10.2.0.3", "INIT1") if mode else (SERVER[4], "INIT"))
    assert bench.status(service).counters.connections == (2 if mode else 1)
    assert counts(bench, service) == (0, 1)


def test_expired_is_dead_before_the_sweep(bench: Bench) -> None:
    set_up(bench)
    send(bench, "client", chunk("INIT"))
    bench.age(5)
    assert send(bench, "server", chunk("INIT-ACK"))[0] == "pass"
    assert send(bench, "client", chunk("COOKIE-ECHO"))[0] == "pass"
    assert send(bench, "client", chunk("INIT"))[0] == "redirect"


def test_expire_nodest_takes_an_init_from_a_quiesced_destination(bench: Bench) -> None:
    service = set_up(bench)
    bench.tables.settings[0]["rules"] = abi.Rule.EXPIRE_NODEST_CONN
    send(bench, "client", chunk("INIT"))
    put_into(bench, "ES")
    (status,) = bench.status(service).destinations
    idle = Destination(key=status.destination.key, method=status.destination.method, weight=0)
    bench.plane.apply([EditDestination(service=service, destination=idle)])
    bench.server(service, "10.2.0.3", port=8080)
    assert Ether(send(bench, "client", chunk("SACK"))[1])[IP].dst == SERVER[4]
    assert Ether(send(bench, "client", chunk("INIT"))[1])[IP].dst == "10.2.0.3"


# ---- ICMP, listing ----


@BOTH
def test_icmp_about_an_association_is_translated(tc: Bench, version: int) -> None:
    set_up(tc, version=version)
    _, raw = send(tc, "client", chunk("INIT", bytes(16)), version)
    if version == 4:
        quote = IP(raw[14:])
        error = IP(src=SERVER[4], dst=CLIENT[4]) / ICMP(type=3, code=3) / quote
    else:
        quote = IPv6(raw[14:])
        error = IPv6(src=SERVER[6], dst=CLIENT[6]) / ICMPv6DestUnreach(code=4) / quote
    verdict, out = tc.run_raw(bytes(Ether(src=SERVER_MAC, dst=tc.net.mac["rs"]) / error), "rs")
    assert verdict == "redirect"
    inner = out[L4[version] + 8 :]
    address = inner[16:20] if version == 4 else inner[24:40]
    assert (
        address
        == (IP(dst=VIP[4]) if version == 4 else IPv6(dst=VIP[6])).build()[16 if version == 4 else 24 :][: len(address)]
    )
    assert struct.unpack_from("!HH", inner, 20 if version == 4 else 40) == (5000, 5000)
    assert tc.reasons() == {"icmp_relayed": 1}


def test_listing_by_state_and_protocol(bench: Bench) -> None:
    set_up(bench)
    tcp = bench.service()
    bench.server(tcp, port=80)
    for flags in ("S", "A"):
        bench.run(bench.to_vip(4, TCP, 5000, flags=flags))
    send(bench, "client", chunk("INIT"))
    for kind in ("INIT", "COOKIE-ECHO"):
        send(bench, "client", chunk(kind), port=5001)
        send(bench, "server", chunk({"INIT": "INIT-ACK", "COOKIE-ECHO": "COOKIE-ACK"}[kind]), port=5001)

    def found(**wanted: object) -> set[tuple[str, str]]:
        rows = bench.plane.connections(ConnectionFilter(**wanted)).rows  # type: ignore[arg-type]
        return {(row.protocol.word, row.state) for row in rows}

    assert found() == {("tcp", "ESTABLISHED"), ("sctp", "INIT1"), ("sctp", "ESTABLISHED")}
    assert found(protocol=Protocol.SCTP) == {("sctp", "INIT1"), ("sctp", "ESTABLISHED")}
    assert found(state="established") == {("tcp", "ESTABLISHED"), ("sctp", "ESTABLISHED")}
    assert found(state="INIT1") == {("sctp", "INIT1")}
    assert found(state="UDP") == set()
    assert bench.plane.connection_counts().tolist() == [[1, 0], [1, 1]]


def test_a_persistent_service_of_all_ports(bench: Bench) -> None:
    key = ServiceKey(protocol=Protocol.SCTP, address=bench.service(4, Protocol.SCTP, port=9).address, port=0)
    with pytest.raises(RefusedError):
        bench.service(4, Protocol.SCTP, port=0)
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", persistent_s=60))])
    for address in ("10.2.0.3", SERVER[4]):
        bench.server(key, address, port=0)
    targets = {Ether(send(bench, "client", chunk("INIT"), port=port)[1])[IP].dst for port in range(5000, 5004)}
    assert len(targets) == 1
    assert {row.protocol for row in bench.connections()} == {Protocol.SCTP}
