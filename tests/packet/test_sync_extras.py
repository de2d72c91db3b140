"""What connection sync tells beside the columns: calls of SIP, shifted sequence numbers of FTP; by way of real datagrams."""

from __future__ import annotations

import pytest
from scapy.layers.inet import TCP

from piranha.dataplane.ebpf.arrivals import Arrivals, Outcome, Taken
from piranha.dataplane.ebpf.departures import Departures
from piranha.dataplane.exchange import Entries, Extra, joined
from piranha.dataplane.port import AddService
from piranha.sync.datagram import read, write
from piranha.sync.rules import EveryConnection
from tests.packet.bench import CLIENT, SERVER, VIP, Bench
from tests.packet.test_ftp import LONG, SHORT, Session, farm, text
from tests.packet.test_sip import START, say, service
from tests.unit.sync.test_datagram import entry


def told(departures: Departures) -> Entries:
    pieces = [piece for piece in departures.pieces() if piece is not None]
    for piece in pieces:
        departures.told(piece)
    return joined([piece.entries for piece in pieces])


def returned(bench: Bench, entries: Entries) -> Taken:
    """The table forgets everything, and is told it again."""
    for _ in range(2):  # a template goes after its connections
        bench.age(5000)
        alive, _ = bench.sweep()
    assert alive == 0
    reading = read([datagram for datagram, _ in write(entries, 7, 1472)])
    assert reading.faults == []
    way = Arrivals(bench.tables)
    try:
        return way.take(reading.entries)
    finally:
        way.close()


def calls_at(bench: Bench) -> dict[str, str]:
    """Server by Call-ID."""
    return {row.engine_data: str(row.destination) for row in bench.connections() if row.is_template}


def test_calls_keep_their_servers_at_the_partner(bench: Bench) -> None:
    bench.plane.apply([AddService(service=service())])
    for number in (2, 3):
        bench.server(service().key, f"10.2.0.{number}", port=5060)
    for number in range(6):
        say(bench, f"{START}\r\nCall-ID: call{number}@host\r\n")
    before = calls_at(bench)
    assert len(set(before.values())) == 2
    entries = told(Departures(bench.tables, EveryConnection()))
    templates = [extra for extra in entries.extras.values() if extra.engine == b"sip"]
    assert {extra.engine_data.decode() for extra in templates} == set(before)
    taken = returned(bench, entries)
    assert taken.count(Outcome.MADE) == 12
    assert calls_at(bench) == before
    for number in range(6):
        say(bench, f"{START}\r\nCall-ID: call{number}@host\r\n")
    assert calls_at(bench) == before
    made = [c for c in bench.connections() if not c.is_template]
    assert len(made) == 12, "the packets found the templates"


def test_a_second_record_of_a_call_is_an_update(bench: Bench) -> None:
    bench.plane.apply([AddService(service=service())])
    bench.server(service().key, port=5060)
    say(bench, f"{START}\r\nCall-ID: a@b\r\n")
    entries = told(Departures(bench.tables, EveryConnection()))
    way = Arrivals(bench.tables)
    assert way.take(entries).count(Outcome.UPDATED) == 2
    way.close()
    assert len(bench.connections()) == 2


@pytest.mark.parametrize(
    "extra", [Extra(engine=b"other", engine_data=b"x"), Extra(engine=b"sip"), Extra(engine_data=b"x")]
)
def test_a_template_of_an_unknown_engine_is_refused(bench: Bench, extra: Extra) -> None:
    bench.plane.apply([AddService(service=service())])
    bench.server(service().key, port=5060)
    ends = {"client": CLIENT[4], "virtual": VIP[4], "server": SERVER[4]}
    row = entry(protocol=17, flags=0x1000, virtual_port=5060, server_port=5060, timeout_s=60, **ends)
    way = Arrivals(bench.tables)
    assert way.take(Entries(row, {0: extra})).count(Outcome.INVALID) == 1
    way.close()


@pytest.mark.parametrize("reply", [LONG, SHORT])
def test_an_ftp_session_goes_on_with_its_numbers(tc: Bench, reply: bytes) -> None:
    farm(tc)
    session = Session(tc)
    departures = Departures(tc.tables, EveryConnection())
    told(departures)
    session.passive(reply)
    entries = told(departures)
    (extra,) = entries.extras.values()
    assert extra.sequence_out is not None
    assert extra.sequence_out.delta not in (0, extra.sequence_out.previous_delta)
    control = [place for place in range(len(entries)) if entries.rows["client_port"][place] == session.sport]
    assert list(entries.extras) == control
    shift = session.client_got - session.server_next
    assert shift != 0
    returned(tc, entries)
    answer = session.server(b"200 yes\r\n")
    assert text(answer.packet) == b"200 yes\r\n"
    assert session.client_got - session.server_next == shift
    request = session.client(b"NOOP\r\n")
    assert request.packet[TCP].ack == session.server_next
