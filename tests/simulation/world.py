"""The world: one true time, a heap of what happens next, and two wires that delay, lose, split and filter."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from piranha.cluster.timing import MILLISECOND

if TYPE_CHECKING:
    from piranha.cluster.commands import Command
    from tests.simulation.host import Host
    from tests.simulation.watch import Watch

PUBLIC = 0
"""The wire with the clients and the VIPs; the other one, where there is one, carries heartbeats alone."""

LATE_CHANCE = 0.001
MEAN_DELAY_NS = 300_000
LEAST_DELAY_NS = 50_000


class World:
    """Time in nanoseconds from 0. Everything random comes from `random`, so a seed is a history."""

    def __init__(self, seed: int, wires: int) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.wires = wires
        self.loss = 0.0
        self.lossy_until = 0
        """When packets were last lost, and a little: what happens until then may be due to it."""
        self.hosts: list[Host] = []
        self.tells: Callable[[Host, Command], None] | None = None
        """Called with each command, for whoever wants to read along."""
        self.watch: Watch
        self.cut: set[tuple[int, int, int]] = set()
        """(wire, from, to) where nothing passes."""
        self.filtered_until = 0
        """Until when the loss of heartbeats alone may be felt."""
        self.deaf: set[tuple[int, int]] = set()
        """(from, to) where no heartbeat passes."""
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, time: int, act: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, act, arguments))

    def after(self, delay: int, act: Callable[..., None], *arguments: Any) -> None:
        self.at(self.now + delay, act, *arguments)

    def run(self, until: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until:
            self.now, _, act, arguments = heapq.heappop(heap)
            act(*arguments)
        self.now = until

    def delay(self) -> int:
        delay = LEAST_DELAY_NS + int(self.random.expovariate(1.0) * MEAN_DELAY_NS)
        if self.random.random() < LATE_CHANCE:
            delay += int(self.random.random() * 150 * MILLISECOND)
        return delay

    def carries(self, wire: int, source: Host, target: Host) -> bool:
        """Whether a frame can get through at all."""
        return (
            source.carrier[wire]
            and target.carrier[wire]
            and source.has_power
            and target.has_power
            and (wire, source.index, target.index) not in self.cut
        )

    def send(self, wire: int, source: Host, target: Host, act: Callable[..., None], *arguments: Any) -> None:
        """Put a frame on a wire; `act` is what the target does with it."""
        if not self.carries(wire, source, target):
            return
        if self.loss and self.random.random() < self.loss:
            return
        self.after(self.delay(), self._arrive, wire, source, target, act, arguments)

    def _arrive(
        self, wire: int, source: Host, target: Host, act: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        if target.has_power and target.carrier[wire] and (wire, source.index, target.index) not in self.cut:
            act(*arguments)

    # ---- what faults change ----

    def set_cut(self, wire: int, source: int, target: int, cut: bool) -> None:
        (self.cut.add if cut else self.cut.discard)((wire, source, target))
        self.watch.look()

    def set_deaf(self, source: int, target: int, deaf: bool) -> None:
        (self.deaf.add if deaf else self.deaf.discard)((source, target))
        self.filtered_until = self.now + self.watch.timing.dead_ns

    def set_loss(self, loss: float, settle_ns: int) -> None:
        """`settle_ns` is how long a loss may be felt after its end."""
        self.loss = loss
        self.lossy_until = 2**62 if loss else self.now + settle_ns
