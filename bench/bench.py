"""What every case gets: the namespace, the driver, how long to measure, and worlds that are not made twice in a row."""

from __future__ import annotations

from bench.driver import Driver
from bench.measure import Effort
from bench.net import Net
from bench.world import Shape, World


class Bench:
    """Holds at most one world: cases that follow each other and want the same shape share it."""

    def __init__(self, net: Net, effort: Effort) -> None:
        self.net = net
        self.effort = effort
        self.driver = Driver(net)
        self._world: World | None = None

    def world(self, shape: Shape) -> World:
        """A world of this shape, every connection established."""
        if self._world is None or self._world.shape != shape:
            self.close_world()
            self._world = World(self.net, self.driver, shape)
            self._world.fill()
        return self._world

    def empty_world(self, shape: Shape) -> World:
        """A world without connections, the caller's to close."""
        self.close_world()
        return World(self.net, self.driver, shape)

    def close_world(self) -> None:
        if self._world is not None:
            self._world.close()
            self._world = None

    def close(self) -> None:
        self.close_world()
        self.driver.close()
