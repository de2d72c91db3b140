"""fos at work: follows the role, starts and stops the services, and on the standby checks them and asks for the change-over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from piranha.base.clock import Clock
from piranha.base.errors import PiranhaError
from piranha.fos.gateway import answers, default_gateway
from piranha.fos.judge import Act, Judge, State
from piranha.fos.services import ServiceCommands, start_all, stop_all
from piranha.model.configuration import Configuration, RealServer, VirtualServer
from piranha.model.service import DestinationKey, ServiceKey
from piranha.monitor.rules import target_of
from piranha.monitor.target import Target, TargetKey, TargetStatus

logger = logging.getLogger(__name__)

LOOK_S = 0.1


class Checks(Protocol):
    """The nanny."""

    def set_targets(self, targets: Mapping[TargetKey, Target]) -> None: ...
    def statuses(self) -> tuple[TargetStatus, ...]: ...


class Keeper:
    """One director's failover services.

    `switch` asks pulse for the change-over (raises PiranhaError where it is refused); `report` tells pulse how the services are.
    """

    def __init__(
        self,
        configuration: Configuration,
        checks: Checks,
        clock: Clock,
        *,
        switch: Callable[[], Awaitable[None]],
        report: Callable[[dict[str, Any]], None],
        gateway: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        self._checks = checks
        self._clock = clock
        self._ask_switch = switch
        self._report = report
        self._gateway = gateway or _gateway_answers
        self._role_changed = asyncio.Event()
        self._working = asyncio.Lock()
        self._serving = False
        self._judge = Judge()
        self._seen_at: dict[TargetKey, float | None] = {}
        self._started: dict[str, str] = {}
        self._peer_heard = False
        self._last_report: dict[str, Any] = {}
        self._configure(configuration)

    def _configure(self, configuration: Configuration) -> None:
        blocks = [block for block in configuration.failovers if block.active]
        self._commands = [ServiceCommands.of(block) for block in blocks]
        self._targets: dict[TargetKey, tuple[str, Target]] = {}
        for block in blocks:
            if block.address is not None:
                key, target = _target(block)
                self._targets[key] = (block.name, target)

    def take_role(self, *, serving: bool, peer_heard: bool) -> None:
        """What pulse says; called as often as it says so."""
        if serving != self._serving:
            self._serving = serving
            self._role_changed.set()
        if peer_heard and not self._peer_heard:
            self._judge.heard_peer(self._clock.now())
        self._peer_heard = peer_heard

    async def reconfigure(self, configuration: Configuration) -> None:
        """A reload: what is gone is stopped, what is new is started where we serve; what stays is left alone."""
        async with self._working:
            before = self._commands
            self._configure(configuration)
            await stop_all([command for command in before if command not in self._commands])
            self._watch(not self._serving)
            if self._serving:
                new = [command for command in self._commands if command not in before]
                self._started |= {one.name: one.trouble for one in await start_all(new)}
            self._tell()

    async def run(self, ready: Callable[[], None]) -> None:
        """Until cancelled. `ready` is called when the services are stopped, and this director may become active."""
        await stop_all(self._commands)
        self._watch(True)
        ready()
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._role_changed.wait()
            except TimeoutError:
                await self._look()
                continue
            self._role_changed.clear()
            async with self._working:
                await self._change()

    async def stop(self) -> None:
        """The daemon ends: nothing of ours runs on."""
        self._watch(False)
        await stop_all(self._commands)

    async def _change(self) -> None:
        serving = self._serving
        self._judge.become(serving=serving, now=self._clock.now())
        self._watch(not serving)
        if serving:
            self._started = {one.name: one.trouble for one in await start_all(self._commands)}
        else:
            self._started = {}
            await stop_all(self._commands)
        self._tell()

    def _watch(self, on: bool) -> None:
        self._seen_at.clear()
        self._checks.set_targets({key: target for key, (_, target) in self._targets.items()} if on else {})

    async def _look(self) -> None:
        """Hand what the checks have found to the judge, and do what it says."""
        for status in self._checks.statuses():
            if (
                status.last_at is None
                or self._seen_at.get(status.key) == status.last_at
                or status.key not in self._targets
            ):
                continue
            self._seen_at[status.key] = status.last_at
            name, now = self._targets[status.key][0], self._clock.now()
            if self._judge.checked(name, bool(status.last_ok), status.last_reason, now) is Act.ASK_GATEWAY:
                await self._ask_gateway()
        self._tell()

    async def _ask_gateway(self) -> None:
        logger.warning('service failed why="%s"; the default gateway is asked whose fault that is', self._judge.why)
        act = self._judge.gateway(await self._gateway(), self._clock.now())
        if act is None:
            logger.error('no takeover why="%s"', self._judge.why)
            return
        logger.warning('takeover asked for why="%s"', self._judge.why)
        try:
            await self._ask_switch()
        except PiranhaError as error:
            self._judge.refused(str(error), self._clock.now())
            logger.error('takeover refused why="%s"', error)

    def _tell(self) -> None:
        checked = {self._targets[s.key][0]: s for s in self._checks.statuses() if s.key in self._targets}
        document = {
            "state": self._judge.state.value,
            "why": self._judge.why,
            "services": [
                {
                    "name": command.name,
                    "running": self._serving and self._started.get(command.name) == "",
                    "trouble": self._started.get(command.name, ""),
                    "check": checked[command.name].last_reason if command.name in checked else "",
                    "healthy": checked[command.name].last_ok if command.name in checked else None,
                }
                for command in self._commands
            ],
        }
        if document != self._last_report:
            self._last_report = document
            self._report(document)

    @property
    def state(self) -> State:
        return self._judge.state


def _target(block: VirtualServer) -> tuple[TargetKey, Target]:
    """The check of a service through its VIP, as a nanny checks a real server at that address."""
    assert block.address is not None
    address = block.address.address
    checked = replace(block, reentry_s=0.0, rise=1, fall=1)
    target = target_of(checked, RealServer(name=block.name, address=address, active=True, port=block.port))
    service = ServiceKey(protocol=block.protocol, address=address, port=block.port)
    return TargetKey(service=service, destination=DestinationKey(address=address, port=block.port)), target


async def _gateway_answers() -> bool:
    """Without a default gateway there is nobody to ask: the other director is taken to be at fault."""
    found = await asyncio.to_thread(default_gateway)
    return True if found is None else await answers(*found)
