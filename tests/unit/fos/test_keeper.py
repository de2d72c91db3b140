from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piranha.base.clock import ManualClock
from piranha.base.errors import PiranhaError
from piranha.config.parser import parse
from piranha.fos.judge import State
from piranha.fos.keeper import Keeper
from piranha.model.configuration import Configuration
from piranha.model.health import Health
from piranha.monitor.target import Target, TargetKey, TargetStatus


class FakeChecks:
    def __init__(self) -> None:
        self.found: dict[TargetKey, TargetStatus] = {}

    def set_targets(self, targets: Mapping[TargetKey, Target]) -> None:
        self.found = {
            key: TargetStatus(key=key, target=target, health=Health.UNKNOWN, since_at=0)
            for key, target in targets.items()
        }

    def statuses(self) -> tuple[TargetStatus, ...]:
        return tuple(self.found.values())

    def say(self, ok: bool, at: float) -> None:
        self.found = {
            key: replace(status, last_ok=ok, last_at=at, last_reason="ok" if ok else "connection refused")
            for key, status in self.found.items()
        }


def configuration(folder: Path, *names: str) -> Configuration:
    text = "service = fos\n"
    for number, name in enumerate(names):
        text += (
            f"failover {name} {{\nactive = 1\naddress = 192.0.2.10{number} eth0:{number}\nport = 80\n"
            f'start_cmd = "/usr/bin/touch {folder}/{name}"\nstop_cmd = "/bin/rm -f {folder}/{name}"\n}}\n'
        )
    parsed = parse(text)
    assert parsed.is_usable, parsed.problems
    return parsed.configuration


class World:
    def __init__(self, folder: Path, *, gateway: bool = True, refuses: bool = False) -> None:
        self.folder = folder
        self.checks, self.clock = FakeChecks(), ManualClock()
        self.switches = 0
        self.reports: list[dict[str, Any]] = []
        self.ready = asyncio.Event()
        self.refuses = refuses

        async def switch() -> None:
            self.switches += 1
            if self.refuses:
                raise PiranhaError("not now")

        async def asked() -> bool:
            return gateway

        self.keeper = Keeper(
            configuration(folder, "web"),
            self.checks,
            self.clock,
            switch=switch,
            report=self.reports.append,
            gateway=asked,
        )

    def running(self, name: str = "web") -> bool:
        return (self.folder / name).exists()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - files and reports have no event
                await asyncio.sleep(0.02)


@asynccontextmanager
async def world(folder: Path, **options: bool) -> AsyncIterator[World]:
    made = World(folder, **options)
    task = asyncio.create_task(made.keeper.run(made.ready.set))
    try:
        async with asyncio.timeout(20):
            await made.ready.wait()
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_services_follow_the_role(tmp_path: Path) -> None:
    (tmp_path / "web").touch()
    async with world(tmp_path) as it:
        assert not it.running(), "what ran before is stopped first"
        it.keeper.take_role(serving=True, peer_heard=True)
        await it.until(lambda: it.reports[-1:] != [] and it.reports[-1]["services"][0]["running"])
        assert it.running()
        assert it.checks.found == {}
        it.keeper.take_role(serving=False, peer_heard=True)
        await it.until(lambda: not it.running() and it.checks.found != {})


async def test_a_failed_service_is_taken_over(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.checks.say(True, 1.0)
        await it.until(lambda: it.reports != [] and it.reports[-1]["services"][0]["healthy"] is True)
        it.checks.say(False, 2.0)
        await it.until(lambda: it.switches == 1)
        assert it.keeper.state is State.TAKING_OVER
        it.keeper.take_role(serving=True, peer_heard=True)
        await it.until(it.running)


async def test_our_own_broken_network_takes_nothing_over(tmp_path: Path) -> None:
    async with world(tmp_path, gateway=False) as it:
        it.checks.say(False, 1.0)
        await it.until(lambda: any(True for _ in it.keeper._judge.failures()))
        it.checks.say(False, 2.0)
        await it.until(lambda: it.keeper.state is State.NETWORK_FAULT)
        assert it.switches == 0
        it.keeper.take_role(serving=False, peer_heard=True)
        assert it.keeper.state is State.WATCHING


async def test_a_refusal_is_not_asked_again_at_once(tmp_path: Path) -> None:
    async with world(tmp_path, refuses=True) as it:
        it.checks.say(True, 1.0)
        await it.until(lambda: it.reports != [] and it.reports[-1]["services"][0]["healthy"] is True)
        for second in range(2, 6):
            it.checks.say(False, float(second))
            await it.until(lambda: it.keeper.state is State.QUIET)
        assert it.switches == 1


@pytest.mark.parametrize("serving", [True, False])
async def test_a_reload_touches_only_what_changed(tmp_path: Path, serving: bool) -> None:
    async with world(tmp_path) as it:
        if serving:
            it.keeper.take_role(serving=True, peer_heard=True)
            await it.until(lambda: it.reports[-1:] != [] and it.reports[-1]["services"][0]["running"])
            before = (tmp_path / "web").stat().st_mtime_ns
        await it.keeper.reconfigure(configuration(tmp_path, "web", "mail"))
        assert it.running("mail") is serving
        if serving:
            assert (tmp_path / "web").stat().st_mtime_ns == before
        assert len(it.checks.found) == (0 if serving else 2)
        await it.keeper.reconfigure(configuration(tmp_path, "web"))
        assert not it.running("mail")
