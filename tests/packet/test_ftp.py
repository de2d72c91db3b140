"""FTP through masquerading: what is said on the control connection makes data connections, and what is changed adds up."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from piranha.dataplane.ebpf.arrivals import Arrivals
from piranha.dataplane.ebpf.departures import Departures
from piranha.dataplane.exchange import Entries, Flag
from piranha.dataplane.port import AddService, Connection
from piranha.model.service import ForwardingMethod, Protocol, Service, ServiceKey
from tests.packet.bench import CLIENT, CLIENT_MAC, DIRECTOR, SERVER, SERVER_MAC, VIP, Bench, Result, assert_checksums
from tests.unit.sync.test_datagram import entry

LAYER = {4: IP, 6: IPv6}
PASV = b"PASV\r\n"
REPLY = b"227 Entering Passive Mode (10,2,0,2,200,13)\r\n"
TOLD = b"227 Entering Passive Mode (10,9,0,1,200,13)\r\n"
LONG = b"227 Entering Passive Mode (010,002,000,002,200,013).\r\n"
SHORT = b"227 =(0,0,0,0,4,1)\r\n"
DATA_PORT = 200 * 256 + 13


def through(bench: Bench, packet: Packet, dev: str) -> Result:
    """By the hook under test; what XDP leaves alone goes to TC, unchanged."""
    out = bench.run(packet, dev)
    if bench.hook == "xdp" and out.verdict == "pass":
        assert out.raw == bytes(packet)
        out = bench.run(packet, dev, hook="tc")
    return out


def text(packet: Packet) -> bytes:
    """The payload, without an Ethernet frame's padding."""
    layer = packet[IP] if IP in packet else packet[IPv6]
    length = layer.len - 4 * layer.ihl if IP in packet else layer.plen
    return bytes(packet[TCP])[4 * packet[TCP].dataofs : length]


@dataclass
class Session:
    """A control connection with two honest ends: each counts what it sends and confirms what it got."""

    bench: Bench
    version: int = 4
    vport: int = 21
    port: int = 21
    sport: int = field(default=0)
    client_next: int = 1000
    server_next: int = 5000
    client_got: int = 0
    server_got: int = 0

    def __post_init__(self) -> None:
        self.sport = self.sport or self.bench.next_port()
        self._client(flags="S", options=[("SAckOK", b"")])
        self._server(flags="SA")
        self._client(flags="A")

    def client(self, data: bytes, **fields: object) -> Result:
        return self._client(data, flags="PA", **fields)

    def server(self, data: bytes, **fields: object) -> Result:
        return self._server(data, flags="PA", **fields)

    def _client(self, data: bytes = b"", *, again: bool = False, **fields: object) -> Result:
        sequence = self.client_next - (len(data) if again else 0)
        tcp = TCP(sport=self.sport, dport=self.vport, seq=sequence, ack=self.client_got, **fields)
        ends = LAYER[self.version](src=CLIENT[self.version], dst=VIP[self.version])
        frame = Ether(src=CLIENT_MAC, dst=self.bench.net.mac["cl"]) / ends / tcp
        out = through(self.bench, frame / Raw(data) if data else frame, "cl")
        if out.verdict == "redirect":
            assert_checksums(out.raw)
            assert out.packet[TCP].dport == self.port
            if not again:
                self.client_next += len(data) + ("S" in str(tcp.flags))
            self.server_got = max(self.server_got, self._end(out.packet))
        return out

    def _server(self, data: bytes = b"", *, again: bool = False, **fields: object) -> Result:
        sequence = self.server_next - (len(data) if again else 0)
        tcp = TCP(sport=self.port, dport=self.sport, seq=sequence, ack=self.server_got, **fields)
        ends = LAYER[self.version](src=SERVER[self.version], dst=CLIENT[self.version])
        frame = Ether(src=SERVER_MAC, dst=self.bench.net.mac["rs"]) / ends / tcp
        out = through(self.bench, frame / Raw(data) if data else frame, "rs")
        if out.verdict == "redirect":
            assert_checksums(out.raw)
            assert str(out.packet[LAYER[self.version]].src) == VIP[self.version]
            if not again:
                self.server_next += len(data) + ("S" in str(tcp.flags))
            self.client_got = self._end(out.packet)
        return out

    @staticmethod
    def _end(packet: Packet) -> int:
        return int(packet[TCP].seq) + len(text(packet)) + ("S" in str(packet[TCP].flags))

    def passive(self, reply: bytes = REPLY, command: bytes = PASV) -> bytes:
        """What the client reads."""
        self.client(command)
        return text(self.server(reply).packet)


def farm(bench: Bench, version: int = 4, *, port: int = 21, vport: int = 21, **fields: object) -> ServiceKey:
    service = bench.service(version, port=vport)
    bench.server(service, port=port, **fields)  # type: ignore[arg-type]
    return service


def data(bench: Bench) -> list[Connection]:
    return [c for c in bench.connections() if c.virtual_port != 21 and not c.is_template]


def frame_to_vip(bench: Bench, sport: int, dport: int, flags: str, version: int = 4) -> Packet:
    return bench.to_vip(version, TCP, sport, dport=dport, flags=flags, load=b"")


def frame_from_server(bench: Bench, sport: int, dport: int, flags: str, version: int = 4) -> Packet:
    return bench.from_server(sport, dport, version, TCP, flags=flags)


# ---- passive ----


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (REPLY, TOLD),
        (LONG, b"227 Entering Passive Mode (10,9,0,1,200,13).\r\n"),
        (SHORT, b"227 =(10,9,0,1,4,1)\r\n"),
        (b"227 10,2,0,2,200,13\r\n", b"227 10,9,0,1,200,13\r\n"),
        (b"227 odd ((10,2,0,2,200,13) x\r\n", b"227 odd ((10,9,0,1,200,13) x\r\n"),
    ],
)
def test_the_client_is_told_the_virtual_address(bench: Bench, reply: bytes, told: bytes) -> None:
    farm(bench)
    session = Session(bench)
    assert session.passive(reply) == told
    out = session.server(b"226 Done.\r\n")
    assert text(out.packet) == b"226 Done.\r\n"
    assert out.packet[TCP].seq - session.server_next + len(b"226 Done.\r\n") == len(told) - len(reply)
    out = session.client(b"QUIT\r\n")
    assert out.packet[TCP].ack == session.server_next


@pytest.mark.parametrize("method", ["PASV", "EPSV"])
def test_a_passive_connection_reaches_the_same_server(bench: Bench, method: str) -> None:
    service = bench.service(port=21)
    for host in (2, 3):
        bench.server(service, f"10.2.0.{host}", port=21)
    sport = bench.next_port()
    out = through(bench, frame_to_vip(bench, sport, 21, "S"), "cl")
    other = through(bench, frame_to_vip(bench, bench.next_port(), 21, "S"), "cl")
    assert {out.packet[IP].dst, other.packet[IP].dst} == {"10.2.0.2", "10.2.0.3"}
    mine = sport if out.packet[IP].dst == "10.2.0.2" else other.packet[TCP].sport
    session = Session(bench, sport=mine)
    if method == "PASV":
        assert session.passive() == TOLD
    else:
        assert session.passive(b"229 Entering Extended Passive Mode (|||51213|)\r\n", b"EPSV\r\n").endswith(
            b"(|||51213|)\r\n"
        )
    (waiting,) = data(bench)
    assert (waiting.client_port, waiting.virtual_port, waiting.destination_port) == (0, DATA_PORT, DATA_PORT)
    assert (waiting.state, str(waiting.destination)) == ("LISTEN", "10.2.0.2")
    out = bench.run(frame_to_vip(bench, 4444, DATA_PORT, "S"))
    assert (out.verdict, out.packet[IP].dst, out.packet[TCP].dport) == ("redirect", "10.2.0.2", DATA_PORT)
    assert_checksums(out.raw)
    (made,) = data(bench)
    assert (made.client_port, made.state) == (4444, "SYN_RECV")
    out = bench.run(frame_from_server(bench, DATA_PORT, 4444, "SA"), "rs")
    assert (out.packet[IP].src, out.packet[TCP].sport) == (VIP[4], DATA_PORT)
    bench.run(frame_to_vip(bench, 4444, DATA_PORT, "A"))
    assert data(bench)[0].state == "ESTABLISHED"
    assert bench.run(frame_to_vip(bench, 4445, DATA_PORT, "S")).verdict == "pass"  # one announced, one taken


def test_extended_passive_of_ipv6(bench: Bench) -> None:
    farm(bench, 6)
    for command in (b"EPSV\r\n", b"epsv 2\r\n"):
        session = Session(bench, 6)
        told = session.passive(b"229 Entering Extended Passive Mode (|||40000|)\r\n", command)
        assert told == b"229 Entering Extended Passive Mode (|||40000|)\r\n"
        out = bench.run(frame_to_vip(bench, bench.next_port(), 40000, "S", 6))
        assert (out.packet[IPv6].dst, out.packet[TCP].dport) == (SERVER[6], 40000)


def test_a_server_may_tell_its_address_in_the_extended_reply(tc: Bench) -> None:
    farm(tc, 6)
    session = Session(tc, 6)
    assert session.passive(b"229 Go (|2|fd02::2|40000|)\r\n", b"EPSV\r\n") == b"229 Go (|||40000|)\r\n"
    assert text(session.server(b"200 x\r\n").packet) == b"200 x\r\n"


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (b"EPSV 2\r\n", b"229 Go (|||40000|)\r\n"),
        (b"EPSV ALL\r\n", b"229 Go (|||40000|)\r\n"),
        (b"NOOP\r\n", REPLY),
        (PASV, b"227 Entering Passive Mode (10,2,0,2,200)\r\n"),
        (PASV, b"227-Entering Passive Mode (10,2,0,2,200,13)\r\n"),
        (PASV, b"227 (10,2,0,2,200,13"),
        (PASV, b"229 Go (|||40000|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|||4000x|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|||0|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|1||40000|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|2|::1|40000|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|1|1.2.3|40000|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|1|1.2.3.256|40000|)\r\n"),
        (b"EPSV\r\n", b"229 Go (|||40000\r\n"),
        (PASV, b"227 (10,2,0,2,200,13)".ljust(481, b".")),
    ],
)
def test_what_is_not_understood_is_left_alone(tc: Bench, command: bytes, reply: bytes) -> None:
    farm(tc)
    session = Session(tc)
    assert session.passive(reply, command) == reply
    assert data(tc) == []


def test_a_command_may_stand_behind_others(tc: Bench) -> None:
    farm(tc)
    session = Session(tc)
    assert session.passive(LONG, b"TYPE I\r\nPaSv\r\n").startswith(b"227 Entering Passive Mode (10,9,0,1,")


def test_a_reply_that_comes_again_is_changed_again(tc: Bench) -> None:
    farm(tc)
    session = Session(tc)
    session.client(PASV)
    first = session.server(LONG)
    again = session.server(LONG, again=True)
    assert (text(again.packet), again.packet[TCP].seq) == (text(first.packet), first.packet[TCP].seq)
    after = session.server(b"226 x\r\n")
    assert after.packet[TCP].seq == first.packet[TCP].seq + len(text(first.packet))


def test_a_long_session_adds_up(bench: Bench) -> None:
    """Replies that grow, shrink and stay, with all between them; what the ends count stays true."""
    farm(bench)
    session = Session(bench)
    expected = 5001
    for number in range(30):
        reply = (SHORT, LONG, REPLY)[number % 3]
        out = session.client(PASV)
        assert out.packet[TCP].ack == session.server_next
        out = session.server(reply)
        assert out.packet[TCP].seq == expected
        expected += len(text(out.packet))
        out = session.server(b"226 Transfer complete.\r\n")
        assert out.packet[TCP].seq == expected
        expected += len(text(out.packet))
        assert session.client(b"NOOP\r\n").packet[TCP].ack == session.server_next


def test_blocks_of_selective_acknowledgements_are_shifted(tc: Bench) -> None:
    farm(tc)
    session = Session(tc)
    told = session.passive(SHORT)
    grown = len(told) - len(SHORT)
    assert grown > 0
    edges = (session.client_got + 10, session.client_got + 20)
    options = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2)), ("NOP", None), ("NOP", None), ("SAck", edges)]
    out = session._client(b"", flags="A", options=options)
    assert dict(out.packet[TCP].options)["SAck"] == tuple(edge - grown for edge in edges)
    assert out.packet[TCP].ack == session.server_next


def test_a_new_connection_begins_unshifted(tc: Bench) -> None:
    farm(tc)
    session = Session(tc)
    session.passive(LONG)
    session._client(flags="R")
    fresh = Session(tc, sport=session.sport, client_next=90000, server_next=70000)
    assert fresh.client_got == 70001
    assert fresh.passive(REPLY) == TOLD


# ---- active ----


@pytest.mark.parametrize(
    "command", [b"PORT 10,1,0,2,17,92\r\n", b"EPRT |1|10.1.0.2|4444|\r\n", b"eprt !1!10.1.0.2!4444!\r\n"]
)
@pytest.mark.parametrize(("port", "vport"), [(21, 21), (2121, 21)])
def test_the_server_reaches_the_client(bench: Bench, command: bytes, port: int, vport: int) -> None:
    farm(bench, port=port, vport=vport)
    session = Session(bench, port=port, vport=vport)
    assert text(session.client(command).packet) == command
    (waiting,) = data(bench)
    assert (waiting.client_port, waiting.virtual_port, waiting.destination_port) == (4444, vport - 1, port - 1)
    assert waiting.state == "LISTEN"
    out = bench.run(frame_from_server(bench, port - 1, 4444, "S"), "rs")
    assert (out.verdict, out.packet[IP].src, out.packet[TCP].sport) == ("redirect", VIP[4], vport - 1)
    assert_checksums(out.raw)
    out = bench.run(frame_to_vip(bench, 4444, vport - 1, "SA"))
    assert (out.packet[IP].dst, out.packet[TCP].dport) == (SERVER[4], port - 1)
    bench.run(frame_from_server(bench, port - 1, 4444, "A"), "rs")
    assert data(bench)[0].state == "ESTABLISHED"


@pytest.mark.parametrize(
    ("address", "port"),
    [("fd01::2", 4444), ("fd01:0:0:0:0:0:0:2", 65535), ("FD01:0::0:2", 1), ("fd01:0:0:0::0:0:2", 22)],
)
def test_extended_active_of_ipv6(bench: Bench, address: str, port: int) -> None:
    farm(bench, 6)
    session = Session(bench, 6)
    session.client(f"EPRT |2|{address}|{port}|\r\n".encode())
    (waiting,) = data(bench)
    assert (waiting.client, waiting.client_port) == (ip_address("fd01::2"), port)
    out = bench.run(frame_from_server(bench, 20, port, "S", 6), "rs")
    assert (out.packet[IPv6].src, out.packet[TCP].sport) == (VIP[6], 20)


@pytest.mark.parametrize(
    ("version", "command"),
    [
        (6, f"EPRT |2|{address}|4444|\r\n".encode())
        for address in (":1", "1:", "1::2::3", ":::1", "12345::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::", "1::2:3:4:5:6:7:8")
    ]
    + [(6, b"PORT 10,1,0,2,17,92\r\n"), (6, b"EPRT |1|10.1.0.2|4444|\r\n"), (4, b"EPRT |2|fd01::2|4444|\r\n")]
    + [(4, b"PORT 10,1,0,2,17\r\n"), (4, b"PORT 10,1,0,2,17,92"), (4, b"XPORT 10,1,0,2,17,92\r\n")]
    + [(4, b"EPRT ||||4444|\r\n"), (4, b"EPRT |1|10.1.0.2.3|4444|\r\n"), (4, b"EPRT |1|10..0.2|4444|\r\n")],
)  # fmt: skip
def test_no_connection_of_what_is_no_address(tc: Bench, version: int, command: bytes) -> None:
    farm(tc, version)
    session = Session(tc, version)
    assert text(session.client(command).packet) == command
    assert data(tc) == []


def test_every_group_may_be_left_out(tc: Bench) -> None:
    farm(tc, 6)
    session = Session(tc, 6)
    wanted = [
        ip_address(text) for text in ("::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3::7:8", "::2:3:4:5:6:7:8", "1::8")
    ]
    for number, address in enumerate(wanted):
        session.client(f"EPRT |2|{address}|{5000 + number}|\r\n".encode())
    assert sorted((c.client_port, c.client) for c in data(tc)) == [(5000 + n, a) for n, a in enumerate(wanted)]


# ---- the director itself as a server ----


@pytest.mark.parametrize("reply", [REPLY, LONG, SHORT])
def test_the_reply_of_a_local_server_is_changed_on_its_way_out(tc: Bench, reply: bytes) -> None:
    farm(tc, address=DIRECTOR[4], local=True)
    tc.run(frame_to_vip(tc, 7000, 21, "S"))
    tc.run(local_frame(tc, b"", "SA", 1), "rs", hook="egress")
    tc.run(frame_to_vip(tc, 7000, 21, "A"))
    out = tc.run(tc.to_vip(4, TCP, 7000, dport=21, flags="PA", load=PASV))
    assert (out.verdict, out.packet[IP].dst) == ("pass", DIRECTOR[4])
    out = tc.run(local_frame(tc, reply, "PA", 2), "rs", hook="egress")
    assert (out.verdict, out.packet[IP].src) == ("pass", VIP[4])
    assert b"10,9,0,1," in text(out.packet)
    assert_checksums(out.raw)
    (waiting,) = data(tc)
    assert (waiting.state, str(waiting.destination)) == ("LISTEN", DIRECTOR[4])
    acknowledged = 2 + len(text(out.packet))
    out = tc.run(tc.to_vip(4, TCP, 7000, dport=21, flags="PA", ack=acknowledged, load=b"NOOP\r\n"))
    assert out.packet[TCP].ack == 2 + len(reply)


def local_frame(bench: Bench, load: bytes, flags: str, sequence: int) -> Packet:
    """From the director's own FTP server to the client."""
    tcp = TCP(sport=21, dport=7000, flags=flags, seq=sequence, ack=1)
    return Ether(
        bytes(Ether(src=bench.net.mac["cl"], dst=CLIENT_MAC) / IP(src=DIRECTOR[4], dst=CLIENT[4]) / tcp / Raw(load))
    )


# ---- what belongs to the control connection ----


def test_the_control_connection_lives_as_long_as_its_data(tc: Bench) -> None:
    service = farm(tc)
    session = Session(tc)
    session.passive()
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "S"))
    tc.run(frame_from_server(tc, DATA_PORT, 4444, "SA"), "rs")
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "A"))
    assert tc.sweep() == (2, 0)
    tc.age(899)
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "A"))
    tc.age(10)  # the control connection is past its time, its data connection is not
    assert session.server(b"426 late\r\n").verdict == "redirect"
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "A"))
    tc.age(899)
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "A"))
    tc.age(10)
    assert tc.sweep() == (2, 0)
    tc.age(901)
    tc.sweep()  # whichever of the two it meets first
    tc.age(61)
    assert tc.sweep()[0] == 0
    (destination,) = tc.status(service).destinations
    assert (destination.active_connections, destination.inactive_connections) == (0, 0)
    assert not list(tc.tables.maps["ftp_controls"].keys())


def test_only_masqueraded_connections_of_its_port_are_read(tc: Bench) -> None:
    service = tc.service(port=21)
    tc.server(service, port=21, method=ForwardingMethod.DIRECT)
    out = tc.run(frame_to_vip(tc, 4000, 21, "S"))
    assert out.verdict == "redirect"
    tc.run(frame_to_vip(tc, 4000, 21, "A"))
    packet = tc.to_vip(4, TCP, 4000, dport=21, flags="PA", load=b"PORT 10,1,0,2,17,92\r\n")
    assert tc.run(packet).packet[IP].dst == VIP[4]
    assert data(tc) == []
    farm(tc, port=2121, vport=2121)
    other = Session(tc, port=2121, vport=2121)
    assert other.passive() == REPLY


def test_another_port_by_setting(tc: Bench) -> None:
    tc.tables.settings["ftp_ports"][0][1] = 2121
    farm(tc, port=2121, vport=2121)
    session = Session(tc, port=2121, vport=2121)
    assert session.passive() == TOLD


def test_without_room_for_its_record_the_command_is_dropped(tc: Bench) -> None:
    farm(tc)
    records = tc.tables.maps["ftp_controls"]
    for number in range(records.max_entries):
        records.update(number.to_bytes(36, "little"), bytes(records.value_size))
    session = Session(tc)
    assert session.client(PASV).verdict == "drop"
    assert tc.reasons()["table_full"] == 1
    records.delete(bytes(36))
    assert session.passive() == TOLD


def test_counts_are_those_of_one_connection(tc: Bench) -> None:
    service = farm(tc)
    session = Session(tc)
    session.passive()
    (destination,) = tc.status(service).destinations
    assert (destination.active_connections, destination.inactive_connections) == (1, 1)
    tc.run(frame_to_vip(tc, 4444, DATA_PORT, "S"))
    (destination,) = tc.status(service).destinations
    assert (destination.active_connections, destination.inactive_connections) == (2, 0)
    assert destination.counters.connections == 1


# ---- the service itself ----


def persistent(bench: Bench, method: ForwardingMethod = ForwardingMethod.DIRECT) -> ServiceKey:
    key = ServiceKey(protocol=Protocol.TCP, address=ip_address(VIP[4]), port=21)
    bench.plane.apply([AddService(service=Service(key=key, scheduler="rr", persistent_s=300))])
    for host in (2, 3):
        bench.server(key, f"10.2.0.{host}", port=21, method=method)
    return key


@pytest.mark.parametrize("dport", [20, 1024, 51213])
def test_data_ports_follow_a_persistent_client(bench: Bench, dport: int) -> None:
    persistent(bench, ForwardingMethod.MASQUERADE)
    control = bench.run(frame_to_vip(bench, 4000, 21, "S", 4))
    server = (
        (control if control.verdict == "redirect" else bench.run(frame_to_vip(bench, 4000, 21, "S"), hook="tc"))
        .packet[IP]
        .dst
    )
    for sport in (4001, 4002):
        out = bench.run(frame_to_vip(bench, sport, dport, "S"))
        assert (out.packet[IP].dst, out.packet[TCP].dport) == (server, dport)
    templates = [c for c in bench.connections() if c.is_template]
    assert [(t.client_port, t.virtual_port, t.destination_port) for t in templates] == [(0, 0, 0)]


def test_other_ports_of_an_ftp_service_are_not_its_own(bench: Bench) -> None:
    persistent(bench)
    assert bench.run(frame_to_vip(bench, 4000, 80, "S")).verdict == "pass"


def test_without_persistence_data_ports_are_not_scheduled(bench: Bench) -> None:
    farm(bench)
    assert bench.run(frame_to_vip(bench, 4000, 5000, "S")).verdict == "pass"
    assert bench.connections() == ()


# ---- connection sync ----


def test_what_the_peer_is_told_of_data_connections(tc: Bench) -> None:
    farm(tc, port=2121)
    session = Session(tc, port=2121)
    session.client(b"PORT 10,1,0,2,17,92\r\n")
    session.passive()
    (piece,) = [piece for piece in Departures(tc.tables, lambda columns: ~columns.known).pieces() if piece is not None]
    rows = {int(row["virtual_port"]): row for row in piece.entries.rows}
    assert {port: (row["client_port"], row["server_port"]) for port, row in rows.items()} == {
        21: (session.sport, 2121),
        20: (4444, 2120),
        DATA_PORT: (0, DATA_PORT),
    }
    assert [port for port, row in rows.items() if row["flags"] & Flag.NO_CLIENT_PORT] == [DATA_PORT]


def test_a_control_connection_that_a_peer_told_of_is_read(tc: Bench) -> None:
    farm(tc)
    told = {"client": CLIENT[4], "virtual": VIP[4], "server": SERVER[4], "client_port": 4000, "virtual_port": 21}
    way = Arrivals(tc.tables)
    way.take(Entries(entry(version=4, server_port=21, state=1, timeout_s=600, **told)))
    way.close()
    tc.run(tc.to_vip(4, TCP, 4000, dport=21, flags="PA", load=b"PORT 10,1,0,2,17,92\r\n"))
    assert [(c.client_port, c.state) for c in data(tc)] == [(4444, "LISTEN")]
