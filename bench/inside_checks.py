"""The nanny alone in a process of its own: checks very many targets for a while, and says what that took, as JSON.

`python -m bench.inside_checks KIND PORT TARGETS INTERVAL_S SECONDS`
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from ipaddress import ip_address
from pathlib import Path

from piranha.base.clock import MonotonicClock
from piranha.model.check_block import CheckBlock, CheckKind
from piranha.model.configuration import RealServer, VirtualServer
from piranha.model.health import Health
from piranha.model.service import DestinationKey, Protocol, ServiceKey
from piranha.monitor.engine import Nanny
from piranha.monitor.rules import target_of
from piranha.monitor.target import Target, TargetKey

_SERVICE = ServiceKey(protocol=Protocol.TCP, address=ip_address("10.9.0.1"), port=80)
_TIMEOUT_S = 2.0
_FIRST_ROUND_S = 60


def main(kind: str, port: int, targets: int, interval_s: float, seconds: float) -> None:
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_run(_targets(kind, port, targets, interval_s), seconds))


def _targets(kind: str, port: int, count: int, interval_s: float) -> dict[TargetKey, Target]:
    virtual = VirtualServer(
        name="v", checks=(CheckBlock(kind=CheckKind(kind)),), interval_s=interval_s, timeout_s=_TIMEOUT_S
    )
    found = {}
    for number in range(count):
        address = ip_address("127.1.0.1") + number
        key = TargetKey(service=_SERVICE, destination=DestinationKey(address=address, port=port))
        found[key] = target_of(virtual, RealServer(name="s", address=address, port=port))
    return found


async def _run(targets: dict[TargetKey, Target], seconds: float) -> None:
    downs = ups = 0

    def changed(key: TargetKey, health: Health, reason: str) -> None:
        nonlocal downs, ups
        downs += health is Health.DOWN
        ups += health is Health.UP

    nanny = Nanny(MonotonicClock(), changed)
    nanny.set_targets(targets)
    running = asyncio.create_task(nanny.run())
    async with asyncio.timeout(_FIRST_ROUND_S):
        while ups < len(targets):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    before, cpu, began = nanny.overview(), time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    after, cpu, took = nanny.overview(), time.process_time() - cpu, time.monotonic() - began
    running.cancel()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")  # noqa: ASYNC240
    started = after.started - before.started
    print(
        json.dumps(
            {
                "checks": started,
                "checks_a_second": started / took,
                "cores": cpu / took,
                "us_a_check": cpu / max(started, 1) * 1e6,
                "resident_mb": resident / 1e6,
                "downs": downs,
                "skipped": after.skipped - before.skipped,
                "voids": after.voids - before.voids,
                "stalls": after.stalls - before.stalls,
                "longest_stall_s": after.longest_stall_s,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))
