"""Which connections a listener is told of, and when again. Pure; whole columns at once.

Half-open connections never are: a SYN flood stays with the director that it meets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from piranha.dataplane.ebpf.departures import Columns
from piranha.model.service import Protocol

_TCP_ESTABLISHED, _TCP_CLOSE = 1, 6
_SCTP_ESTABLISHED = 8
_IPVS_TCP = (1, 4, 5, 6, 7)  # ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSE, CLOSE_WAIT
_IPVS_SCTP = (8, 9, 10, 11, 13)  # ESTABLISHED, the three of a shutdown, CLOSED
_LAST_ACK = 8
_ASSURED = 1
_LEAST_REFRESH_S = 10


def _states(*pairs: tuple[Protocol, tuple[int, ...]]) -> NDArray[np.bool_]:
    """A table by protocol and state; protocols without states have all of theirs in it."""
    table = np.zeros((256, 256), np.bool_)
    table[Protocol.UDP] = True
    for protocol, states in pairs:
        table[protocol, list(states)] = True
    return table


_TOLD_BY_IPVS = _states((Protocol.TCP, _IPVS_TCP), (Protocol.SCTP, _IPVS_SCTP))
_TOLD_BY_US = _states((Protocol.TCP, (*_IPVS_TCP, _LAST_ACK)), (Protocol.SCTP, _IPVS_SCTP))


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryConnection:
    """Each connection once it is established, each change of its state, and again before the copy could expire.

    With `templates_only` connections of persistent services are left to their template (`sync_persist_mode`).
    """

    templates_only: bool = False

    def __call__(self, c: Columns) -> NDArray[np.bool_]:
        worth = np.where(
            c.template, (c.protocol != Protocol.TCP) | (c.state == _ASSURED), _TOLD_BY_US[c.protocol, c.state]
        )
        # One that was reset before anybody was told of it is nobody's concern.
        stillborn = ~c.known & ~c.template & (c.protocol == Protocol.TCP) & (c.state == _TCP_CLOSE)
        if self.templates_only:
            worth &= ~c.in_persistence
        news = ~c.known | (c.state != c.told_state) | (c.told_left < c.left // 2)
        news |= c.session & (c.packets != c.told_packets)
        return np.asarray(worth & news & ~stillborn, np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryFewPackets:
    """IPVS's own rule, `ip_vs_sync_conn_needed`: at a connection's packet `threshold` and each `period` packets after.

    Closing states are told at once. With `refresh_s` the count does not matter as long as the copy's time is about
    right. The table is compared some times a second: of several marks that were passed in between one is told.
    """

    threshold: int = 3
    period: int = 50
    refresh_s: float = 0
    templates_only: bool = False

    def __call__(self, c: Columns) -> NDArray[np.bool_]:
        worth = c.template | _TOLD_BY_IPVS[c.protocol, c.state]
        if self.templates_only:
            worth = worth & ~c.in_persistence
        tcp, sctp = c.protocol == Protocol.TCP, c.protocol == Protocol.SCTP
        closing = ~c.template & ((tcp & (c.state != _TCP_ESTABLISHED)) | (sctp & (c.state != _SCTP_ESTABLISHED)))
        at_once = closing & (~c.known | (c.state != c.told_state))
        return np.asarray(worth & (at_once | (self._passed_a_mark(c) & ~self._fresh(c))), np.bool_)

    def _passed_a_mark(self, c: Columns) -> NDArray[np.bool_]:
        used = np.asarray(~c.known | (c.packets != c.told_packets), np.bool_)
        if self.period == 0 and self.refresh_s:
            return used
        before = np.where(c.known, c.told_packets, 0)
        return np.asarray(np.where(c.template, used, self._marks(c.packets) > self._marks(before)), np.bool_)

    def _marks(self, packets: NDArray[np.uint32]) -> NDArray[np.int64]:
        """How many of the packets so far were to be told."""
        over = packets.astype(np.int64) - self.threshold
        return np.asarray(np.where(over < 0, 0, over // self.period + 1 if self.period else 1), np.int64)

    def _fresh(self, c: Columns) -> NDArray[np.bool_]:
        if not self.refresh_s:
            return np.zeros(len(c.known), np.bool_)
        bound = np.minimum(self.refresh_s * c.hz, np.maximum(c.left // 2, _LEAST_REFRESH_S * c.hz))
        return np.asarray(c.known & (np.abs(c.left - c.told_left) < bound), np.bool_)
