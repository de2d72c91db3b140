"""Which connections are told of: the new, the changed, those whose copy grows old; never the half-open."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from piranha.dataplane.ebpf.departures import Columns
from piranha.model.service import Protocol
from piranha.sync.rules import EveryConnection, EveryFewPackets

ESTABLISHED, SYN_RECV, FIN_WAIT, CLOSE = 1, 3, 4, 6
HZ = 100


def one(protocol: int = Protocol.TCP, state: int = ESTABLISHED, **fields: Any) -> Columns:
    """One connection, fresh and unknown unless said otherwise."""
    values = {
        "template": False,
        "in_persistence": False,
        "session": False,
        "packets": 1,
        "left": 900 * HZ,
        "known": False,
    }
    values |= {"told_state": 0, "told_packets": 0, "told_left": 0} | fields
    kinds = {"packets": "u4", "told_packets": "u4", "left": "i4", "told_left": "i4", "told_state": "u1"}
    columns = {name: np.array([value], kinds.get(name, "?")) for name, value in values.items()}
    return Columns(protocol=np.array([protocol], "u1"), state=np.array([state], "u1"), hz=HZ, **columns)


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        (one(), True),
        (one(state=SYN_RECV), False),
        (one(state=FIN_WAIT), True),
        (one(state=CLOSE), False),
        (one(known=True, told_state=1, told_left=800 * HZ), False),
        (one(known=True, told_state=1, told_left=449 * HZ), True),
        (one(known=True, state=FIN_WAIT, told_state=1, told_left=900 * HZ), True),
        (one(known=True, state=CLOSE, told_state=1, told_left=900 * HZ), True),
        (one(known=True, told_state=1, told_left=900 * HZ, packets=9, told_packets=8), False),
        (one(known=True, told_state=1, told_left=900 * HZ, packets=9, told_packets=8, session=True), True),
        (one(Protocol.UDP, 0), True),
        (one(Protocol.UDP, 0, known=True, told_left=900 * HZ), False),
        (one(Protocol.SCTP, 8), True),
        (one(Protocol.SCTP, 2), False),
        (one(Protocol.TCP, 0, template=True), False),
        (one(Protocol.TCP, 1, template=True), True),
        (one(Protocol.UDP, 0, template=True), True),
        (one(Protocol.IP, 0, template=True), True),
    ],
)
def test_every_connection(columns: Columns, due: bool) -> None:
    assert list(EveryConnection()(columns)) == [due]


@pytest.mark.parametrize(
    ("packets", "told", "due"),
    [(2, None, False), (3, None, True), (52, 3, False), (53, 3, True), (54, 53, False), (300, 53, True)],
)
def test_the_third_packet_and_each_fiftieth_after(packets: int, told: int | None, due: bool) -> None:
    known = {} if told is None else {"known": True, "told_state": 1, "told_packets": told}
    assert list(EveryFewPackets()(one(packets=packets, **known))) == [due]


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        (one(state=FIN_WAIT, packets=1), True),
        (one(state=FIN_WAIT, known=True, told_state=FIN_WAIT, told_packets=1), False),
        (one(state=SYN_RECV, packets=60), False),
        (one(Protocol.UDP, 0, packets=3), True),
        (one(Protocol.IP, 0, template=True), True),
        (one(Protocol.IP, 0, template=True, known=True, packets=5, told_packets=5), False),
        (one(Protocol.IP, 0, template=True, known=True, packets=6, told_packets=5), True),
    ],
)
def test_ipvs_tells_closing_states_at_once_and_templates_with_each_connection(columns: Columns, due: bool) -> None:
    assert list(EveryFewPackets()(columns)) == [due]


@pytest.mark.parametrize(("told_left_s", "due"), [(890, False), (830, True)])
def test_a_refresh_period_spares_what_the_listener_has_about_right(told_left_s: int, due: bool) -> None:
    rule = EveryFewPackets(threshold=0, period=1, refresh_s=60)
    columns = one(packets=9, known=True, told_state=1, told_packets=2, told_left=told_left_s * HZ)
    assert list(rule(columns)) == [due]


def test_a_threshold_without_period_is_told_once() -> None:
    rule = EveryFewPackets(threshold=3, period=0)
    assert list(rule(one(packets=4))) == [True]
    assert list(rule(one(packets=400, known=True, told_state=1, told_packets=4))) == [False]


@pytest.mark.parametrize("rule", [EveryConnection(templates_only=True), EveryFewPackets(period=1, templates_only=True)])
def test_with_persist_mode_connections_are_left_to_their_template(rule: EveryConnection | EveryFewPackets) -> None:
    assert list(rule(one(packets=9, in_persistence=True))) == [False]
    assert list(rule(one(packets=9, template=True))) == [True]
    assert list(rule(one(packets=9))) == [True]
