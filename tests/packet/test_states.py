"""The life of a connection: every TCP state, its time-out, what it counts as, and what begins and ends it.

The table is written here a second time, from IPVS's description (Linux net/netfilter/ipvs/ip_vs_proto_tcp.c): a typing
error in `bpf/tcp_state.h` cannot be in both.
"""

from __future__ import annotations

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet

from piranha.dataplane.ebpf import abi
from piranha.dataplane.port import DeleteDestination, EditDestination, SetTimeouts
from piranha.model.service import ForwardingMethod, Protocol, ServiceKey, Timeouts
from tests.packet.bench import SERVER, Bench

NAMES = {
    "NO": "NONE", "ES": "ESTABLISHED", "SS": "SYN_SENT", "SR": "SYN_RECV", "FW": "FIN_WAIT", "TW": "TIME_WAIT",
    "CL": "CLOSE", "CW": "CLOSE_WAIT", "LA": "LAST_ACK", "LI": "LISTEN", "SA": "SYNACK",
}  # fmt: skip
NUMBERS = {short: [name for name, _ in abi.TCP_STATES].index(long) for short, long in NAMES.items()}
SHORTS = {number: short for short, number in NUMBERS.items()}
TIMEOUTS_S = {
    "NO": 2, "ES": 900, "SS": 120, "SR": 60, "FW": 120, "TW": 120, "CL": 10, "CW": 60, "LA": 30, "LI": 120, "SA": 120,
}  # fmt: skip
ACTIVE = {"ES", "SS", "SR", "SA"}
# Flags of one segment, and the event that it is: RST before SYN before FIN before ACK; none of them closes.
EVENTS = {"S": "SYN", "SA": "SYN", "SF": "SYN", "F": "FIN", "FA": "FIN", "A": "ACK", "PA": "ACK", "R": "RST",
          "RA": "RST", "SR": "RST", "FR": "RST", "": "none", "P": "none"}  # fmt: skip

#        from | client: SYN FIN ACK RST | server         | one way
TABLE = """
         NO   | SR CL ES CL             | SS TW ES CL    | SR CL ES CL
         ES   | ES CW ES CL             | ES FW ES CL    | ES FW ES CL
         SS   | ES SS SS CL             | SS SS SS SS    | ES SS SS CL
         SR   | SR TW ES SR             | SR TW ES CL    | SR TW ES SR
         FW   | SR TW FW CL             | SS FW FW CL    | SR FW FW CL
         TW   | SR TW TW CL             | SS TW TW TW    | SR TW TW CL
         CL   | SR CL CL CL             | SS CL CL CL    | SR CL CL CL
         CW   | SR CW CW CL             | SS TW CW CL    | SR CW CW CL
         LA   | SR LA CL LA             | SS LA LA CL    | SR LA CL LA
         LI   | SR LI LI LI             | LI LI ES CL    | SR LI LI LI
         SA   | SR TW ES SR             | SR TW ES CL    | SR TW ES CL
"""
VIEWS = ("client", "server", "one way")


def transitions() -> dict[tuple[str, str, str], str]:
    found = {}
    for line in TABLE.strip().splitlines():
        state, *columns = (part.split() for part in line.split("|"))
        for view, column in zip(VIEWS, columns, strict=True):
            found |= {
                (view, state[0], event): to for event, to in zip(("SYN", "FIN", "ACK", "RST"), column, strict=True)
            }
            found[view, state[0], "none"] = "CL"
    return found


NEXT = transitions()


def slot_of(bench: Bench) -> int:
    (slot,) = np.flatnonzero(bench.tables.tags)
    return int(slot)


def state_of(bench: Bench) -> str:
    return SHORTS[int(bench.tables.conns["life"][slot_of(bench)]) >> 8 & 0xFF]


def counts(bench: Bench, service: ServiceKey) -> tuple[int, int]:
    """(active, inactive), of all destinations."""
    found = bench.status(service).destinations
    return sum(d.active_connections for d in found), sum(d.inactive_connections for d in found)


def put_into(bench: Bench, state: str) -> None:
    """Set the one connection's state by hand, and its destination's counts with it."""
    slot = slot_of(bench)
    entry = bench.tables.conns[slot]
    flags = int(entry["life"]) >> 16 & ~abi.CONN_INACTIVE
    flags |= 0 if state in ACTIVE else abi.CONN_INACTIVE
    bench.tables.conns["life"][slot] = 6 | NUMBERS[state] << 8 | flags << 16
    dest = int(entry["dest"])
    bench.tables.dests["active"][dest] = int(state in ACTIVE)
    bench.tables.dests["inactive"][dest] = int(state not in ACTIVE)


def left_s(bench: Bench) -> float:
    """Seconds until the one connection expires."""
    left = int(bench.tables.conns["expires"][slot_of(bench)]) - bench.tables.jiffies()
    return (left + 2**31) % 2**32 / bench.tables.hz - 2**31 / bench.tables.hz


def assert_left(bench: Bench, seconds: float) -> None:
    assert seconds - 1 < left_s(bench) <= seconds


def set_up(bench: Bench, view: str, method: ForwardingMethod | None = None) -> ServiceKey:
    service = bench.service()
    one_way = method or ForwardingMethod.DIRECT
    bench.server(service, method=one_way if view == "one way" else ForwardingMethod.MASQUERADE, port=80)
    return service


def segment(bench: Bench, view: str, flags: str) -> tuple[Packet, str]:
    """A segment of the flow with client port 5000, and the device that it comes by."""
    if view == "server":
        return bench.from_server(80, 5000, flags=flags), "rs"
    return bench.to_vip(4, TCP, 5000, flags=flags), "cl"


@pytest.mark.parametrize("state", list(NAMES))
@pytest.mark.parametrize("view", VIEWS)
def test_every_transition(bench: Bench, view: str, state: str) -> None:
    service = set_up(bench, view)
    for flags, event in EVENTS.items():
        bench.run(segment(bench, "client", "S")[0])
        put_into(bench, state)
        if view != "server" and "S" in flags and state in ("TW", "CL"):
            continue  # ends this connection: see test_syn_on_a_finished_connection_begins_anew
        packet, dev = segment(bench, view, flags)
        assert bench.run(packet, dev).verdict == "redirect"
        want = NEXT[view, state, event]
        assert state_of(bench) == want, f"{view}: {state} and {flags!r}"
        assert_left(bench, TIMEOUTS_S[want])
        assert counts(bench, service) == ((1, 0) if want in ACTIVE else (0, 1)), f"{view}: {state} and {flags!r}"


@pytest.mark.parametrize("method", [ForwardingMethod.DIRECT, ForwardingMethod.TUNNEL])
def test_one_way_methods_share_a_view(bench: Bench, method: ForwardingMethod) -> None:
    set_up(bench, "one way", method)
    for flags, want in (("S", "SR"), ("A", "ES"), ("PA", "ES"), ("FA", "FW"), ("A", "FW"), ("R", "CL")):
        bench.run(segment(bench, "one way", flags)[0])
        assert state_of(bench) == want


def test_a_whole_masqueraded_connection(bench: Bench) -> None:
    """Handshake, data, closed by the client, then gone; the counts follow and end at 0."""
    service = set_up(bench, "client")
    story = [
        ("client", "S", "SR", (1, 0)), ("server", "SA", "SR", (1, 0)), ("client", "A", "ES", (1, 0)),
        ("client", "PA", "ES", (1, 0)), ("server", "A", "ES", (1, 0)), ("client", "FA", "CW", (0, 1)),
        ("server", "A", "CW", (0, 1)), ("server", "FA", "TW", (0, 1)), ("client", "A", "TW", (0, 1)),
    ]  # fmt: skip
    for view, flags, want, counted in story:
        packet, dev = segment(bench, view, flags)
        assert bench.run(packet, dev).verdict == "redirect"
        assert (state_of(bench), counts(bench, service)) == (want, counted)
    bench.age(121)
    assert bench.sweep() == (0, 1)
    assert counts(bench, service) == (0, 0)
    assert not bench.connections()


def test_udp_is_always_inactive(bench: Bench) -> None:
    service = bench.service(4, Protocol.UDP)
    bench.server(service)
    for _ in range(2):
        bench.run(bench.to_vip(4, UDP, 5000))
        bench.run(bench.from_server(8080, 5000, 4, UDP), "rs")
        assert counts(bench, service) == (0, 1)
        assert bench.connections()[0].state == "UDP"
        assert_left(bench, 300)
    bench.age(301)
    assert bench.sweep() == (0, 1)
    assert counts(bench, service) == (0, 0)


def test_every_packet_starts_the_time_out_anew(bench: Bench) -> None:
    set_up(bench, "client")
    for flags in ("S", "A"):
        bench.run(segment(bench, "client", flags)[0])
    bench.age(800)
    assert_left(bench, 100)
    bench.run(segment(bench, "server", "A")[0], "rs")
    assert_left(bench, 900)
    bench.age(800)
    bench.run(segment(bench, "client", "A")[0])
    assert_left(bench, 900)


def test_timeouts_that_can_be_set(bench: Bench) -> None:
    """`ipvsadm --set` changes ESTABLISHED, FIN_WAIT and UDP, from a connection's next packet on; 0 changes nothing."""
    set_up(bench, "one way")
    udp = bench.service(4, Protocol.UDP)
    bench.server(udp)
    bench.plane.apply([SetTimeouts(timeouts=Timeouts(tcp_s=100, tcp_fin_s=20, udp_s=7))])
    bench.plane.apply([SetTimeouts(timeouts=Timeouts(tcp_fin_s=30))])
    assert bench.plane.timeouts() == Timeouts(tcp_s=100, tcp_fin_s=30, udp_s=7)
    for flags, seconds in (("S", 60), ("A", 100), ("FA", 30), ("R", 10)):
        bench.run(segment(bench, "one way", flags)[0])
        assert_left(bench, seconds)
    bench.age(11)
    bench.sweep()
    bench.run(bench.to_vip(4, UDP, 5000))
    assert_left(bench, 7)


@pytest.mark.parametrize("state", ["TW", "CL"])
@pytest.mark.parametrize("view", ["client", "one way"])
def test_syn_on_a_finished_connection_begins_anew(bench: Bench, view: str, state: str) -> None:
    service = set_up(bench, view)
    bench.run(segment(bench, view, "S")[0])
    put_into(bench, state)
    method = ForwardingMethod.DIRECT if view == "one way" else ForwardingMethod.MASQUERADE
    bench.server(service, "10.2.0.3", port=80, method=method)  # the newest: next in turn after the first
    assert bench.run(segment(bench, view, "S")[0]).verdict == "redirect"
    (connection,) = bench.connections()
    status = bench.status(service)
    assert (str(connection.destination), connection.state) == ("10.2.0.3", "SYN_RECV")
    assert status.counters.connections == 2
    assert [(d.active_connections, d.inactive_connections) for d in status.destinations] == [(0, 0), (1, 0)]


@pytest.mark.parametrize("state", [s for s in NAMES if s not in ("TW", "CL")])
def test_syn_on_any_other_connection_belongs_to_it(bench: Bench, state: str) -> None:
    service = set_up(bench, "client")
    bench.run(segment(bench, "client", "S")[0])
    put_into(bench, state)
    bench.server(service, "10.2.0.3", port=80)
    assert bench.run(segment(bench, "client", "S")[0]).packet[IP].dst == SERVER[4]
    assert bench.status(service).counters.connections == 1


@pytest.mark.parametrize("flags", ["A", "PA", "FA", "R", "RA", "SR", ""])
def test_what_creates_no_connection_goes_to_the_local_stack(bench: Bench, flags: str) -> None:
    """Only a SYN without RST is scheduled; the local stack answers the rest with RST."""
    set_up(bench, "client")
    packet = segment(bench, "client", flags)[0]
    out = bench.run(packet)
    assert (out.verdict, out.raw) == ("pass", bytes(packet))
    assert bench.reasons() == {"no_connection": 1}
    assert not bench.connections()


def test_syn_with_ack_is_scheduled(bench: Bench) -> None:
    """As IPVS does ("no !th->ack check", ip_vs_proto_tcp.c)."""
    set_up(bench, "client")
    assert bench.run(segment(bench, "client", "SA")[0]).verdict == "redirect"


def test_rst_on_a_finished_connection_ends_the_reuse(bench: Bench) -> None:
    """SYN and RST at once: the old connection is over, and a new one does not begin."""
    service = set_up(bench, "client")
    bench.run(segment(bench, "client", "S")[0])
    put_into(bench, "TW")
    assert bench.run(segment(bench, "client", "SR")[0]).verdict == "pass"
    assert (counts(bench, service), bench.connections()) == ((0, 0), ())


def test_active_ftp_data_is_never_scheduled(bench: Bench) -> None:
    set_up(bench, "client")
    assert bench.run(bench.to_vip(4, TCP, 20, flags="S")).verdict == "pass"
    assert bench.reasons() == {"no_connection": 1}
    udp = bench.service(4, Protocol.UDP)
    bench.server(udp)
    assert bench.run(bench.to_vip(4, UDP, 20)).verdict == "redirect"


@pytest.mark.parametrize("flags", ["S", "A", "R"])
def test_expired_is_dead_before_the_sweep(bench: Bench, flags: str) -> None:
    """An expired entry is nothing: a SYN makes a new one, another segment finds none, a reply is not translated."""
    service = set_up(bench, "client")
    bench.run(segment(bench, "client", "S")[0])
    bench.age(61)
    assert bench.run(segment(bench, "server", "A")[0], "rs").verdict == "pass"
    assert bench.run(segment(bench, "client", flags)[0]).verdict == ("redirect" if flags == "S" else "pass")
    assert counts(bench, service) == ((1, 0) if flags == "S" else (0, 0))
    assert bench.status(service).counters.connections == (2 if flags == "S" else 1)


def test_quiesced_and_removed_destinations(bench: Bench) -> None:
    """Weight 0: old connections go on, new ones do not come. Removed: even the old ones are dropped."""
    service = set_up(bench, "client")
    bench.run(segment(bench, "client", "S")[0])
    (status,) = bench.status(service).destinations
    quiesced = type(status.destination)(key=status.destination.key, method=status.destination.method, weight=0)
    bench.plane.apply([EditDestination(service=service, destination=quiesced)])
    assert bench.run(segment(bench, "client", "A")[0]).verdict == "redirect"
    assert bench.run(bench.to_vip(4, TCP, 5001, flags="S"), hook="tc").verdict == "redirect"  # the ICMP error
    assert bench.reasons()["no_destination"] == 1
    bench.plane.apply([DeleteDestination(service=service, key=status.destination.key)])
    assert bench.run(segment(bench, "client", "A")[0]).verdict == "drop"
    assert bench.reasons()["destination_removed"] == 1
    assert state_of(bench) == "ES"
